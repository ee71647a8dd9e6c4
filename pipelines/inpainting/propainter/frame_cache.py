"""Sliding cache of frames and masks on the host: each is read once, and dropped when no step needs it any more."""

from collections.abc import Generator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.types import Mask, Pixels

Indices = NDArray[np.int64]


class SlidingFrameCache:
    """Frames from `first` on, read on demand. Holds 3 bytes per pixel and a packed mask for each cached frame."""

    def __init__(self, frames: Generator[tuple[Pixels, Mask]], first: int) -> None:
        self._source = frames
        self._next = first
        self._frames: dict[int, Pixels] = {}
        self._masks: dict[int, NDArray[np.uint8] | None] = {}

    def __len__(self) -> int:
        """Number of cached frames."""
        return len(self._frames)

    def close(self) -> None:
        """Release the decoder and all frames."""
        self._source.close()
        self._frames.clear()
        self._masks.clear()

    def frame(self, index: int) -> Pixels:
        """Return frame `index` `(H, W, 3)` uint8 RGB; do not write to it."""
        self._read_to(index)
        return self._frames[index]

    def mask(self, index: int) -> Mask:
        """Return the hole `(H, W)` bool of a frame."""
        self._read_to(index)
        height, width = self._frames[index].shape[:2]
        bits = self._masks[index]
        if bits is None:
            return np.zeros((height, width), np.bool_)
        return cast(Mask, np.unpackbits(bits, count=height * width).reshape(height, width).view(np.bool_))

    def hole_indices(self, index: int) -> Indices:
        """Return the flat pixel indices `(k,)` of the hole of a frame."""
        return np.flatnonzero(self.mask(index))

    def is_masked(self, index: int) -> bool:
        """Whether the frame has a hole."""
        self._read_to(index)
        return self._masks[index] is not None

    def any_masked(self, indices: range) -> bool:
        """Whether any of the frames has a hole; reads no further than the first that has."""
        return any(self.is_masked(i) for i in indices)

    def drop_before(self, index: int) -> None:
        """Drop frames before `index`; they cannot be read again."""
        for each in [i for i in self._frames if i < index]:
            del self._frames[each], self._masks[each]

    def _read_to(self, index: int) -> None:
        while self._next <= index:
            pixels, mask = next(self._source)
            self._frames[self._next] = np.require(pixels, requirements=["C", "W"])
            self._masks[self._next] = np.packbits(mask) if mask.any() else None
            self._next += 1
