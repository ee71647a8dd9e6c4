"""Decoders that yield frames from any position, and the count of frames that a file really holds."""
