"""What the network engine holds, for the planner: fixed, and for each frame of a batch. Bytes; no length of a video."""

from memory.plan import Cost, Load
from memory.units import GIB, MIB

_PROCESSOR = Load(fixed=1.03 * GIB, per_batch_frame=2 * MIB)
"""Python, torch, weights, and one frame at work, measured by `tests/bench/bench_liveportrait.py`; the others of a batch
wait as crops and as pictures."""

_BESIDE_CARD = Load(fixed=1.6 * GIB, per_batch_frame=2 * MIB)
"""Python, torch with a card's libraries, and the largest weights while they are read; not measured."""

_WEIGHTS = {"float32": 494 * MIB, "float16": 301 * MIB}
_FRAME = {"float32": 356 * MIB, "float16": 178 * MIB}
"""The tensors that live at once while the generator draws one frame of a batch, counted."""
_WORKSPACE = 1.25
"""What convolutions and an allocator's rounding take on top; not measured."""
_CONTEXT = 0.75 * GIB


def cost(*, on_card: bool, half: bool = True) -> Cost:
    """What the engine holds on the host and on a card, where it computes in float16 or, not `half`, in float32."""
    if not on_card:
        return Cost(_PROCESSOR)
    kind = "float16" if half else "float32"
    return Cost(
        _BESIDE_CARD, Load(fixed=_CONTEXT + _WEIGHTS[kind], per_batch_frame=_FRAME[kind] * _WORKSPACE)
    )
