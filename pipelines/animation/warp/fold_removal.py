"""Removal of folds from a map: where neighbouring pixels would swap, the map is smoothed until they do not."""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import Floats

MIN_AREA = 0.08
"""Smallest area of a pixel after mapping; anything above 0 is free of folds, and this leaves some room."""

_KERNEL_SIDES = (5, 5, 9, 17, 33)
"""Sides of the box filter, in nodes, one round after the other: wider as long as folds remain."""
_SHRINK_FACTOR, _MAX_SHRINKS = 0.7, 16
"""Last resort: all offsets are shortened by this factor, at most so many times."""


def remove_folds(offsets: Floats, step: float) -> Floats:
    """Smooth `offsets` `(h, w, 2)` float32 in pixels, at nodes `step` pixels apart, where their map folds.

    Where smoothing does not help, all offsets are shortened. The guarantee holds for values interpolated between the
    nodes, too: the area is checked at the corners of each cell and is no smaller in between.
    """
    folded = smallest_areas(offsets, step) < MIN_AREA
    if not folded.any():
        return offsets
    offsets = offsets.copy()
    for kernel in _KERNEL_SIDES:
        # No node farther away changes, so none needs to be checked.
        region = _around(folded, 2 * kernel)
        values = offsets[region]
        mask = cv2.dilate(folded[region].astype(np.float32), np.ones((kernel, kernel), np.uint8))
        weight = cv2.blur(mask, (kernel, kernel))[..., None]
        offsets[region] = values + (cv2.blur(values, (kernel, kernel)) - values) * weight
        folded[region] = smallest_areas(offsets[region], step) < MIN_AREA
        if not folded.any():
            return offsets
    for _ in range(_MAX_SHRINKS):
        offsets *= np.float32(_SHRINK_FACTOR)
        if float(smallest_areas(offsets, step).min()) >= MIN_AREA:
            return offsets
    return np.zeros_like(offsets)


def _around(folded: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the region of all folds with a margin."""
    rows, columns = (np.flatnonzero(folded.any(axis=axis)) for axis in (1, 0))
    first, last = (rows[0], columns[0]), (rows[-1], columns[-1])
    top, left = (max(0, int(index) - margin) for index in first)
    bottom, right = (int(index) + margin + 1 for index in last)
    return slice(top, bottom), slice(left, right)


def smallest_areas(offsets: Floats, step: float) -> Floats:
    """Return the smallest area `(h, w)` of a mapped pixel in the cells around each node; 1 where nothing moves."""
    # One plane at a time: contiguous memory is twice as fast.
    x, y = cv2.split(offsets / np.float32(step))
    across_x, across_y = np.diff(x, axis=1) + np.float32(1), np.diff(y, axis=1)
    down_x, down_y = np.diff(x, axis=0), np.diff(y, axis=0) + np.float32(1)
    smallest = np.full(offsets.shape[:2], np.inf, np.float32)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            area = across_x[rows] * down_y[:, columns] - across_y[rows] * down_x[:, columns]
            np.minimum(smallest[rows, columns], area, out=smallest[rows, columns])
    return cast(Floats, smallest)
