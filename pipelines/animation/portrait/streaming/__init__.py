"""LivePortrait over videos of any length: passes that keep small records of each frame, then drawing."""
