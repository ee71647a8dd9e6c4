"""Decoded samples as they are stored, at any depth, and the static HDR metadata that describes them."""
