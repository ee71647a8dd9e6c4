"""Bytes and devices: what is there, what is held, what will be, and what to do when it ends."""
