"""Tracking an object from prompts (boxes, points, painted masks) to a mask per frame; the task `track`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fusion": ["Tracked", "track"],
        "pipeline": ["TrackEngine", "TrackPipeline"],
        "prompts": ["ObjectPrompt", "Point", "check_prompts"],
    },
)
