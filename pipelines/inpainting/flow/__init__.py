"""The built-in engine: holes filled from other frames by optical flow."""
