"""Removing an object from a video: masks, tracking, filling, and what of it was invented."""
