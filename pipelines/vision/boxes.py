"""Boxes `(x, y, width, height)` in pixels of the work size, and the part of a picture that one covers."""

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.crop import Crop

Box = NDArray[np.float64]
Outline = NDArray[np.uint8]
"""{0, 1}, of a crop or of a whole picture."""

_OUTERMOST = 0.02


def box_crop(box: Box, shape: tuple[int, ...]) -> Crop:
    """The part under `box` of a picture of `shape` (rows, columns, ...)."""
    x, y, width, height = box
    left, top = max(0, int(np.floor(x))), max(0, int(np.floor(y)))
    right, bottom = min(shape[1], int(np.ceil(x + width))), min(shape[0], int(np.ceil(y + height)))
    return Crop(left, top, max(left, right), max(top, bottom))


def grow(box: Box, share: float) -> Box:
    """`box` about the same middle, larger by a share of its mean side: thin things move as far as square ones."""
    more = share * float(np.sqrt(box[2] * box[3]))
    return box_at(centre(box), box[2:] + more)


def box_at(centre: Box, size: Box) -> Box:
    """The box of `size` about a centre."""
    return np.concatenate([centre - size / 2, size])


def centre(box: Box) -> Box:
    """Its centre `(x, y)`."""
    centre: Box = box[:2] + box[2:] / 2
    return centre


def outline_box(outline: Outline, crop: Crop) -> Box:
    """The box around all but the outermost pixels of an outline in `crop`."""
    sides = []
    for axis in (0, 1):
        filled = np.cumsum(outline.sum(axis=axis, dtype=np.int64))
        sides.append(np.searchsorted(filled, (_OUTERMOST * filled[-1], (1 - _OUTERMOST) * filled[-1])))
    (left, right), (top, bottom) = sides
    return np.array([crop.left + left, crop.top + top, right + 1 - left, bottom + 1 - top], np.float64)


def iou(first: Box, second: Box) -> float:
    """Intersection over union."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(1e-9, float(np.prod(first[2:]) + np.prod(second[2:])) - shared)
