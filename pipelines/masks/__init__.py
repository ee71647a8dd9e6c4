"""Masks from images, folders, zip archives, GIFs and videos, read as one mask per frame."""
