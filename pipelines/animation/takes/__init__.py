"""Takes: stretches of a driving video between cuts, each followed from a frame of its own; and where nothing drives."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "detection_stage": ["FaceDetections"],
        "rest": ["Rest", "Rests", "cut_warning", "find_rests"],
        "shot_stage": ["ShotStage", "Shots", "read_shots"],
        "takes": ["Take", "Takes", "make_takes"],
    },
)
