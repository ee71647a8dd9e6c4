"""Removing an object from a video: masks, tracking, filling, and what of it was invented."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["Fill", "Filled", "InPlaceEngine", "InpaintEngine"],
        "pipeline": ["InpaintPipeline"],
    },
)
