"""Faces: found, followed, cut out and put back."""
