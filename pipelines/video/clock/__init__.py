"""The times of frames: stamps, their repair, and time codes."""
