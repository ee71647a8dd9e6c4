"""Files as ffmpeg and PyAV open them."""
