"""The built-in inpainting engine: fills holes from other frames by optical flow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"engine": ["FlowEngine", "FlowFill"]}
)
