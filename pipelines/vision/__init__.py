"""Image geometry shared by several tasks: crops, boxes and camera motion."""
