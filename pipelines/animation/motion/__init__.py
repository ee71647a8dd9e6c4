"""Facial motion as numbers: keypoints, expressions, templates and their smoothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "motions": ["Motions"],
        "smoothing": ["smooth", "smooth_file"],
        "templates": ["Template", "read_template", "write_template"],
    },
)
