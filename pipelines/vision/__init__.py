"""Image geometry shared by several tasks: crops, boxes and camera motion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "boxes": ["Box", "box_crop", "iou"],
        "crop": ["Crop"],
        "camera_motion": ["Homography", "fit_simplest_motion", "misaligned_difference", "move_box"],
        "types": ["Flags", "Floats", "Mask", "Pixels", "Size"],
    },
)
