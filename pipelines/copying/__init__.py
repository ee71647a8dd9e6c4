"""The task `copy`: decode and encode again, to try the machinery on a file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"pipeline": ["CopyEngine", "CopyPipeline"]}
)
