"""The networks of ProPainter (Zhou et al., ICCV 2023): flow completion, propagation and the inpainting generator.

`memory_cost` says without torch how much memory they take.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["memory_cost"],
    submod_attrs={
        "flow_completion": ["FlowCompletion", "load_flow_completion"],
        "generator": ["InpaintGenerator", "load_generator", "quarter_flows", "quarter_masks"],
        "image_propagation": ["HoleState", "codes_of", "colours_of", "propagate"],
    },
)
