"""The networks of LivePortrait (Guo et al., 2024): portrait features, motion, warping, drawing and retargeting."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loading": [
            "NetworkDevice",
            "load_appearance",
            "load_generator",
            "load_motion",
            "load_retargeting",
            "load_warping",
        ],
        "appearance": ["AppearanceExtractor"],
        "generator": ["SpadeGenerator"],
        "motion": ["MotionExtractor"],
        "retargeting": ["Perceptron"],
        "warping": ["Source", "WarpingModule"],
    },
)
