"""The task `compare`: a result and its source in one video, so that a page can show both in step."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"pipeline": ["CompareEngine", "ComparePipeline"]}
)
