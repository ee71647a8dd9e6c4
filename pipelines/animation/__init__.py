"""A portrait that follows a driving video: faces, motion, and what draws it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["Animated", "PortraitEngine"],
        "inputs": ["PortraitInputs"],
        "pipeline": ["AnimatePipeline"],
    },
)
