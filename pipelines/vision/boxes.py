"""Boxes `(x, y, width, height)` in pixels at work size, and the crop of a frame that a box covers."""

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.crop import Crop

Box = NDArray[np.float64]
Outline = NDArray[np.uint8]
"""A mask {0, 1} of a crop or of a whole frame."""

_TRIMMED_SHARE = 0.02
"""Share of an outline's pixels that is ignored at each side: single stray pixels must not widen its box."""


def box_crop(box: Box, shape: tuple[int, ...]) -> Crop:
    """Return the crop under `box`, rounded outwards and clipped to a frame of `shape` (rows, columns, ...)."""
    x, y, width, height = box
    left, top = max(0, int(np.floor(x))), max(0, int(np.floor(y)))
    right, bottom = min(shape[1], int(np.ceil(x + width))), min(shape[0], int(np.ceil(y + height)))
    return Crop(left, top, max(left, right), max(top, bottom))


def grow(box: Box, share: float) -> Box:
    """Enlarge `box` about its centre by `share` of its mean side, so that thin boxes gain as much as square ones."""
    more = share * float(np.sqrt(box[2] * box[3]))
    return box_at(centre(box), box[2:] + more)


def box_at(position: Box, size: Box) -> Box:
    """Return the box of `size` (width, height) whose centre is at `position` (x, y)."""
    return np.concatenate([position - size / 2, size])


def centre(box: Box) -> Box:
    """Return the centre `(x, y)` of `box`."""
    position: Box = box[:2] + box[2:] / 2
    return position


def outline_box(outline: Outline, crop: Crop) -> Box:
    """Return the box around an outline in `crop`, without the outermost 2 % of its pixels on each side."""
    sides = []
    for axis in (0, 1):
        filled = np.cumsum(outline.sum(axis=axis, dtype=np.int64))
        sides.append(
            np.searchsorted(filled, (_TRIMMED_SHARE * filled[-1], (1 - _TRIMMED_SHARE) * filled[-1]))
        )
    (left, right), (top, bottom) = sides
    return np.array([crop.left + left, crop.top + top, right + 1 - left, bottom + 1 - top], np.float64)


def iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(1e-9, float(np.prod(first[2:]) + np.prod(second[2:])) - shared)
