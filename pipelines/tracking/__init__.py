"""Tracking an object from prompts (boxes, points, painted masks) to a mask per frame; the task `track`."""
