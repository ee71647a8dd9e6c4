"""Pixels and time: probing, reading, writing and joining videos. Knows no networks."""
