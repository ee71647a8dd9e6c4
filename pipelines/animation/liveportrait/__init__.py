"""The engine `liveportrait`: the published system (Guo et al., 2024), frame by frame at constant memory."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "crops": ["animate_crops"],
        "networks": ["LivePortrait"],
        "pose": ["Poser"],
        "targets": ["KeypointDriver"],
    },
)
