"""Reusable memory for intermediate results."""

import math
import mmap

import torch
from torch import Tensor

_FLOAT_BYTES = 4
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def mapped_zeros(*shape: int) -> Tensor:
    """Return zeros in float32 outside the C library's heap, which large arrays would fragment permanently."""
    count = math.prod(shape)
    memory = mmap.mmap(-1, max(count, 1) * _FLOAT_BYTES, flags=_PRIVATE)
    return torch.frombuffer(memory, dtype=torch.float32)[:count].view(shape)


class Scratch:
    """Named arrays that are reused from call to call: on the CPU, fresh memory costs more than the arithmetic.

    The networks of a device share one, so only one thread may compute with them at a time.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}
        self._taken: dict[tuple[str, bool], int] = {}

    def take(self, name: str, *shape: int, back: bool = False) -> Tensor:
        """Return an uninitialised float32 array; it overwrites the one that was last taken under `name`.

        An array from the front of the memory and one from its `back` do not overwrite each other.
        """
        size = math.prod(shape)
        self._taken[name, back] = size
        needed = size + self._taken.get((name, not back), 0)
        if name not in self._kept or len(self._kept[name]) < needed:
            # Drop the smaller array before the larger one is allocated, so that both are not held at once.
            self._kept.pop(name, None)
            self._kept[name] = mapped_zeros(needed)
        kept = self._kept[name]
        return (kept[len(kept) - size :] if back else kept[:size]).view(shape)

    def release(self) -> None:
        """Declare all arrays unused: front and back need not fit beside each other any more. Keeps the memory."""
        self._taken.clear()

    def held_bytes(self) -> int:
        """The memory of all arrays together."""
        return sum(kept.nbytes for kept in self._kept.values())
