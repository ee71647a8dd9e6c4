"""The built-in engine: a portrait warped after a driving face by optical flow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "driving_flow": ["DrivingFlow", "Motion"],
        "flow_warp": ["FlowWarp", "WarpedFrame"],
        "mesh_warp": ["MeshWarp"],
        "motion_limits": ["MotionExtent"],
    },
)
