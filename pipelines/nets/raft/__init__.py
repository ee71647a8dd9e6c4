"""RAFT (Teed and Deng, ECCV 2020): optical flow between two frames."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"model": ["Features", "Raft", "load_raft"]}
)
