"""Rounding with an ordered pattern, so that smooth gradients show no bands and every run gives the same samples."""

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.types import Floats

_ACROSS, _DOWN, _GAIN = 0.06711056, 0.00583715, 52.9829189
"""Interleaved gradient noise (Jimenez, Next Generation Post Processing in Call of Duty, 2014): a formula of position
whose neighbours differ much, so that it is as fine as blue noise."""
_NEXT_FRAME, _CYCLE_FRAMES = 5.588238, 64
"""Shift in pixels from frame to frame, and after how many it repeats: so that the pattern does not stand still."""

_EDGE = 1 / 256
"""Least threshold: keeps whole numbers, to the precision of float32 at 16 bits, from being rounded down."""


def dither(
    values: Floats, bits: int, index: int, *, top: int = 0, left: int = 0
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round codes (H, W) or (H, W, C) to integers of `bits`, up or down by how near they are and by a pattern.

    The pattern depends on the position in the picture, of which `values` is the part from `top` and `left` on, and on
    the frame's `index` alone. Whole numbers stay. Channels share the pattern, so that grey stays grey.
    """
    threshold = pattern(values.shape[0], values.shape[1], index, top=top, left=left)
    threshold = threshold.reshape(threshold.shape + (1,) * (values.ndim - 2))
    whole: Floats = np.clip(np.floor(values + threshold), 0, 2**bits - 1)
    return whole.astype(np.uint8) if bits <= 8 else whole.astype(np.uint16)


def pattern(rows: int, columns: int, index: int, *, top: int = 0, left: int = 0) -> Floats:
    """Return thresholds (rows, columns) float32, evenly spread over 0 to 1, both excluded."""
    shift = _NEXT_FRAME * (index % _CYCLE_FRAMES)
    across = _ACROSS * (np.arange(left, left + columns) + shift)
    down = _DOWN * (np.arange(top, top + rows) + shift)
    noise = np.modf(_GAIN * np.modf(across + down[:, None])[0])[0]
    return (_EDGE + noise * (1 - 2 * _EDGE)).astype(np.float32)
