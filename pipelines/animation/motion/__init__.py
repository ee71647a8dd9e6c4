"""Facial motion as numbers: keypoints, expressions, templates and their smoothing."""
