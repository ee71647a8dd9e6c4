"""Sharpness, blur, frozen frames, cuts and smoothness of a video, frame by frame."""
