"""Geometry of images that several tasks share: crops, boxes, camera motion."""
