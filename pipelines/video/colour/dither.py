"""Rounding with an ordered pattern, so that smooth gradients show no bands and every run gives the same samples."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.types import Deep, Floats, Pixels

_ACROSS, _DOWN, _GAIN = 0.06711056, 0.00583715, 52.9829189
"""Interleaved gradient noise (Jimenez, Next Generation Post Processing in Call of Duty, 2014): a formula of position
whose neighbours differ much, so that it is as fine as blue noise."""
_CYCLE_FRAMES = 64
"""After how many frames the pattern repeats."""
_NEXT_FRAME = (23, 37)
"""Rows and columns by which it moves from frame to frame, around the cycle, so that it does not stand still: odd, so
that all frames of a cycle differ."""
_ROOM_PX = 256
"""Sizes to which the pattern is computed are multiples of this, so that planes and crops share it."""
_EDGE = 1 / 128
"""Least threshold: keeps whole numbers, to twice the precision of float32 at 16 bits, from being rounded down."""
_HALF = np.float32(0.5)


_SHARES = np.linspace(_EDGE, 1 - _EDGE, 256, dtype=np.float32)
"""Thresholds of the pattern's 256 levels."""


class _Sheet:
    """The pattern as far as it was needed until now: one byte per pixel of the largest picture."""

    def __init__(self) -> None:
        self._levels: Pixels = np.zeros((0, 0), np.uint8)

    def up_to(self, rows: int, columns: int) -> Pixels:
        """Return at least so many rows and columns of thresholds, 0 to 255; the same wherever it ends."""
        levels = self._levels
        if levels.shape[0] < rows or levels.shape[1] < columns:
            # Threads may compute it at the same time: each gets what it asked for.
            size = (
                max(have, -(-want // _ROOM_PX) * _ROOM_PX)
                for have, want in zip(levels.shape, (rows, columns), strict=True)
            )
            levels = self._levels = _noise(*size)
        return levels


_sheet = _Sheet()


def dither(
    values: Floats, bits: int, index: int, *, top: int = 0, left: int = 0
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round codes (H, W) or (H, W, C) to integers of `bits`, up or down by how near they are and by a pattern.

    The pattern depends on the position in the picture, of which `values` is the part from `top` and `left` on, and on
    the frame's `index` alone. Whole numbers stay. Channels share the pattern, so that grey stays grey.
    """
    rows, columns = values.shape[:2]
    # To the nearest whole number after the half is taken off is down to the next without.
    shift = pattern(rows, columns, index, top=top, left=left) - _HALF
    if values.ndim == 3:
        shift = cast(Floats, cv2.merge([shift] * values.shape[2]))
    whole = cv2.add(
        values.astype(np.float32, copy=False), shift, dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U
    )
    whole = whole.reshape(values.shape)
    return cast(Deep, whole if bits in (8, 16) else np.minimum(whole, 2**bits - 1, dtype=whole.dtype))


def dithered_levels(levels: Deep, index: int, *, top: int = 0) -> Pixels:
    """Round levels (h, W, 3) in 1/256, of which 65280 is white, to uint8 as `dither` does; a part from row `top` on."""
    rows, columns = levels.shape[:2]
    thresholds = cv2.merge([_thresholds(rows, columns, index, top, 0).astype(np.uint16)] * 3)
    # The nearest whole number after almost a half is taken off is the high byte.
    return cast(Pixels, cv2.convertScaleAbs(cv2.add(levels, thresholds), alpha=1 / 256, beta=-127.5 / 256))


def pattern(rows: int, columns: int, index: int, *, top: int = 0, left: int = 0) -> Floats:
    """Return thresholds (rows, columns) float32, evenly spread over 0 to 1, both excluded."""
    return cast(Floats, cv2.LUT(_thresholds(rows, columns, index, top, left), _SHARES))


def _thresholds(rows: int, columns: int, index: int, top: int, left: int) -> Pixels:
    """Return a view (rows, columns) of the pattern, 0 to 255, where frame `index` has it."""
    top, left = (at + index * step % _CYCLE_FRAMES for at, step in zip((top, left), _NEXT_FRAME, strict=True))
    return _sheet.up_to(top + rows, left + columns)[top : top + rows, left : left + columns]


def _noise(rows: int, columns: int) -> Pixels:
    levels = np.empty((rows, columns), np.uint8)
    across = _ACROSS * np.arange(columns)
    for row in range(rows):
        noise = np.modf(_GAIN * np.modf(across + _DOWN * row)[0])[0]
        levels[row] = noise * 256
    return levels
