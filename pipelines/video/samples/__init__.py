"""Decoded samples as they are stored, at any depth and chroma."""
