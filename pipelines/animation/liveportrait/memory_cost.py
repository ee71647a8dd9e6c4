"""Memory cost of the network engine for the planner, in bytes: fixed, and per frame of a batch.

It does not depend on the length of a video.
"""

from memory.plan import Cost, Load
from memory.units import GIB, MIB

_CPU = Load(fixed=1.03 * GIB, per_batch_frame=2 * MIB)
"""Python, torch, weights and one frame in work, measured by `tests/bench/bench_liveportrait.py`; the other frames of
a batch wait as crops and as pictures."""

_BESIDE_GPU = Load(fixed=1.6 * GIB, per_batch_frame=2 * MIB)
"""Python, torch with the GPU's libraries, and the largest weights while they are read; not measured."""

_WEIGHTS = {"float32": 494 * MIB, "float16": 301 * MIB}
"""Weights of all networks on the GPU, by precision."""
_FRAME = {"float32": 356 * MIB, "float16": 178 * MIB}
"""Tensors that live at once while the generator renders one frame of a batch, counted."""
_WORKSPACE = 1.25
"""Workspace of convolutions and rounding of the allocator on top; not measured."""
_CONTEXT = 0.75 * GIB
"""Context of the GPU; not measured."""


def cost(*, on_gpu: bool, half: bool = True) -> Cost:
    """Return the cost on the host and on a GPU that computes in float16 or, without `half`, in float32."""
    if not on_gpu:
        return Cost(_CPU)
    kind = "float16" if half else "float32"
    return Cost(_BESIDE_GPU, Load(fixed=_CONTEXT + _WEIGHTS[kind], per_batch_frame=_FRAME[kind] * _WORKSPACE))
