"""The built-in inpainting engine: fills holes from other frames by optical flow."""
