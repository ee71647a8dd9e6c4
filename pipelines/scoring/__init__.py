"""Sharpness, blur, frozen frames, cuts and smoothness of a video, frame by frame."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"engine": ["ScoringEngine"], "pipeline": ["ScorePipeline"]}
)
