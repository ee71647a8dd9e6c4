"""Source, driving and result beside each other, for people to compare."""

from collections.abc import Sequence

import cv2
import numpy as np

from pipelines.animation.engine import Animated
from pipelines.vision.types import Pixels, Size

MAX_WIDTH_PX = 3840


def panels(item: Animated) -> list[Pixels]:
    """Source, driving where it has pixels, and result."""
    return [item.source, *([] if item.driving is None else [item.driving]), item.pixels]


def beside(pictures: Sequence[Pixels], height_px: int, max_width_px: int = MAX_WIDTH_PX) -> Pixels:
    """Pictures `(H, W, 3)` uint8 RGB in a row, each so high, or less high where the row would be too wide."""
    sizes = row_sizes([(picture.shape[1], picture.shape[0]) for picture in pictures], height_px, max_width_px)
    return np.hstack([_resized(picture, size) for picture, size in zip(pictures, sizes, strict=True)])


def row_sizes(sizes: Sequence[Size], height_px: int, max_width_px: int = MAX_WIDTH_PX) -> list[Size]:
    """How large pictures of these sizes are in such a row."""
    shares = [width / height for width, height in sizes]
    height = max(1, min(height_px, int(max_width_px / sum(shares))))
    return [(max(1, round(height * share)), height) for share in shares]


def stacked(rows: Sequence[Pixels]) -> Pixels:
    """Rows of one height below each other, the narrower ones filled up with black."""
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def _resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    shrinks = size[1] < picture.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=how).astype(np.uint8, copy=False)
