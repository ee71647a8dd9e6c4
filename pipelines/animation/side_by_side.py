"""Source, driving and result side by side, to compare by eye."""

from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.animation.engine import Animated
from pipelines.vision.types import Pixels, Size

MAX_WIDTH_PX = 3840
"""Widest row: that of a 4K video."""


def panels(item: Animated) -> list[Pixels]:
    """Return source, driving (if it has pixels) and result."""
    return [item.source, *([] if item.driving is None else [item.driving]), item.pixels]


def beside(pictures: Sequence[Pixels], height_px: int, max_width_px: int = MAX_WIDTH_PX) -> Pixels:
    """Put pictures `(H, W, 3)` uint8 RGB in a row of this height, or less where the row would be too wide."""
    sizes = row_sizes([(picture.shape[1], picture.shape[0]) for picture in pictures], height_px, max_width_px)
    return np.hstack([_resized(picture, size) for picture, size in zip(pictures, sizes, strict=True)])


def row_sizes(sizes: Sequence[Size], height_px: int, max_width_px: int = MAX_WIDTH_PX) -> list[Size]:
    """Return the sizes that pictures of these sizes have in such a row."""
    ratios = [width / height for width, height in sizes]
    height = max(1, min(height_px, int(max_width_px / sum(ratios))))
    return [(max(1, round(height * ratio)), height) for ratio in ratios]


def stacked(rows: Sequence[Pixels]) -> Pixels:
    """Stack rows of one height, padding the narrower ones with black."""
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    shrinks = size[1] < picture.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=interpolation).astype(np.uint8, copy=False)
