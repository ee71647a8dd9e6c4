"""Decoded frames prepared for Q-Align and the built-in analysis: a small square, a record, the change of brightness."""

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from PIL import Image

from pipelines.scoring.metrics.frame_features import FrameFeatures, compare, features_of
from pipelines.scoring.metrics.smoothness import MOVEMENT_FRAMES
from pipelines.scoring.metrics.verdicts import Records
from pipelines.spans import Span
from pipelines.video.reader import Frame
from pipelines.vision.types import Pixels

_FILL = (122, 116, 104)
"""Padding colour of the square: the mean of CLIP's training pictures, rounded down, as published."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Frame `index` as a square `(side, side, 3)` uint8 RGB, with its record `(1,)`; None if it is only a halo.

    `change` is the mean change of brightness from the previous frame, grey levels; NaN after the first frames.
    """

    index: int
    square: Pixels
    record: Records | None
    change: float


def prepared(
    frames: Generator[Frame], side: int, width: int, span: Span, encoded: Span, whole: Span
) -> Generator[Prepared]:
    """Prepare the frames `encoded` for the windows of `span`; those of `span` get a record, analysed at `width`.

    `frames` start with the first of `encoded` or the frame before `span`, whichever is earlier; `whole` is the span of
    the job. Holds a frame and the brightness of the previous one.
    """
    before: FrameFeatures | None = None
    gray: Pixels | None = None
    with closing(frames):
        for frame in frames:
            rgb, record = frame.rgb(), None
            if span.start - 1 <= frame.index < span.stop:
                now = features_of(frame.luma(width))
                record, before = compare(before, now), now
            change, gray = _change(gray, rgb if frame.index < whole.start + MOVEMENT_FRAMES else None)
            if frame.index >= encoded.start:
                yield Prepared(frame.index, square(rgb, side), record, change)


def _change(before: Pixels | None, rgb: Pixels | None) -> tuple[float, Pixels | None]:
    """Return the change of brightness from `before` to `rgb`, and the brightness of `rgb`."""
    gray = None if rgb is None else cast(Pixels, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    if before is None or gray is None:
        return math.nan, gray
    return float(np.mean(cv2.absdiff(before, gray))), gray


def square(rgb: Pixels, side: int) -> Pixels:
    """Centre `(H, W, 3)` uint8 RGB in a square of a fixed colour and resize it to `side` with Pillow's bicubic.

    The columns of a wide picture are resized before padding and its rows after: that gives the same bytes without a
    square of full width in memory. For a tall picture the square is held.
    """
    height, width = rgb.shape[:2]
    picture = Image.fromarray(rgb)
    if width > height:
        picture = picture.resize((side, height), Image.Resampling.BICUBIC)
        picture = _on_canvas(picture, (side, width), (0, (width - height) // 2))
    elif height > width:
        picture = _on_canvas(picture, (height, height), ((height - width) // 2, 0))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


def _on_canvas(picture: Image.Image, size: tuple[int, int], offset: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size, _FILL)
    canvas.paste(picture, offset)
    return canvas


def without_fill(squared: Pixels, width: int, height: int) -> Pixels:
    """Crop the picture of `width` x `height` out of its square, for a preview."""
    side, longer = len(squared), max(width, height)
    rows, columns = (max(1, round(side * length / longer)) for length in (height, width))
    top, left = (side - rows) // 2, (side - columns) // 2
    return squared[top : top + rows, left : left + columns]
