"""Maps without folds: where neighbouring pixels would change places, a map is made smoother until they do not."""

from typing import cast

import cv2
import numpy as np

from pipelines.animation.face_view import Floats

LEAST_AREA = 0.08
"""What is left of a pixel's area, at the least, when it is looked up: more than 0 is no fold."""

_SPREADS = (5, 5, 9, 17, 33)
"""Sides, in nodes, of what is taken the mean of: ever wider, as long as there are folds."""
_LESS, _SCALES = 0.7, 16


def unfolded(offsets: Floats, step: float) -> Floats:
    """`offsets` `(h, w, 2)` float32 in pixels, at nodes `step` pixels apart, smoothed where the map they make folds.

    Where smoothing does not help, all of them are made shorter. Exact for what is interpolated between the nodes: the
    area of each cell's corners is looked at, and in between it is no smaller than there.
    """
    for side in _SPREADS:
        folded = least_areas(offsets, step) < LEAST_AREA
        if not folded.any():
            return offsets
        near = cv2.dilate(folded.astype(np.float32), np.ones((side, side), np.uint8))
        share = cv2.blur(near, (side, side))[..., None]
        offsets = offsets + (cv2.blur(offsets, (side, side)) - offsets) * share
    for _ in range(_SCALES):
        if float(least_areas(offsets, step).min()) >= LEAST_AREA:
            return offsets
        offsets = offsets * np.float32(_LESS)
    return np.zeros_like(offsets)


def least_areas(offsets: Floats, step: float) -> Floats:
    """The smallest area `(h, w)` that a map makes of a pixel in the cells around each node; 1 where nothing moves."""
    right = (offsets[:, 1:] - offsets[:, :-1]) / np.float32(step)
    below = (offsets[1:] - offsets[:-1]) / np.float32(step)
    right[..., 0] += 1
    below[..., 1] += 1
    least = np.full(offsets.shape[:2], np.inf, np.float32)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            across, down = right[rows], below[:, columns]
            area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
            np.minimum(least[rows, columns], area, out=least[rows, columns])
    return cast(Floats, least)
