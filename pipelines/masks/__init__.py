"""Masks from images, folders, zip archives, GIFs and videos, read as one mask per frame."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "reading": ["FrameMask", "read_holes", "read_masks", "read_pixels"],
        "resize": ["paste_back", "work_size"],
        "sequence": ["Masks", "dilate", "open_masks"],
    },
)
