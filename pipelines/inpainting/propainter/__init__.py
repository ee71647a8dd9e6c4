"""The engine `propainter`: ProPainter (Zhou et al., ICCV 2023), streamed frame by frame at constant memory."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"engine": ["ProPainterEngine"], "schedule": ["Schedule"], "streaming": ["Chain", "Recipe"]},
)
