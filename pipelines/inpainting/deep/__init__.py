"""Filling deep video: samples outside the hole stay as decoded, fills have the depth of the source."""
