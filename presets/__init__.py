"""Settings that suit the hardware, the video and the wish for quality, with the reason."""
