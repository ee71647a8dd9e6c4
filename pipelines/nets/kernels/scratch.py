"""Memory for what is computed on the way."""

import math
import mmap

import torch
from torch import Tensor

_FLOAT_BYTES = 4
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def own_memory(*shape: int) -> Tensor:
    """A float32 array of zeros that is no part of the C library's heap, where large ones leave holes for good."""
    numbers = math.prod(shape)
    room = mmap.mmap(-1, max(numbers, 1) * _FLOAT_BYTES, flags=_PRIVATE)
    return torch.frombuffer(room, dtype=torch.float32)[:numbers].view(shape)


class Scratch:
    """Arrays that are kept from call to call: fresh memory costs more than the sums do.

    Networks share one, so they compute for one thread at a time.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}
        self._taken: dict[tuple[str, bool], int] = {}

    def take(self, name: str, *shape: int, back: bool = False) -> Tensor:
        """A float32 array with anything in it; the one that was taken before under `name` is lost.

        One from the front and one from the `back` are there side by side, the last of each.
        """
        size = math.prod(shape)
        self._taken[name, back] = size
        needed = size + self._taken.get((name, not back), 0)
        if name not in self._kept or len(self._kept[name]) < needed:
            # What is outgrown goes first, unless somebody still looks at it.
            self._kept.pop(name, None)
            self._kept[name] = own_memory(needed)
        kept = self._kept[name]
        return (kept[len(kept) - size :] if back else kept[:size]).view(shape)

    def forget(self) -> None:
        """Nothing that was taken is needed any more: from now on, it stands in nobody's way."""
        self._taken.clear()

    def held_bytes(self) -> int:
        """What all arrays take together."""
        return sum(kept.nbytes for kept in self._kept.values())
