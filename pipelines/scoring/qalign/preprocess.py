"""Decoded frames as Q-Align and the built-in analysis want them: a small square, a record, a change of brightness."""

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
"""The mean colour of CLIP's training pictures, rounded down: what a picture is made square with."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is kept of frame `index`: the square `(side, side, 3)` uint8 RGB; its record `(1,)` where it is asked for.

    `change` is the mean change of brightness from the frame before, grey levels; NaN where nobody needs it.
    """

    index: int
    square: Pixels
    record: Records | None
    change: float


def prepared(
    frames: Generator[Frame], side: int, width: int, asked: Span, shown: Span, whole: Span
) -> Generator[Prepared]:
    """The frames `shown` in windows; those `asked` for with their records, analysed at `width`.

    `frames` begin with the first shown or the one before the first asked, whichever comes first.
    Holds a frame and the brightness of the one before.
    """
    seen: FrameFeatures | None = None
    gray: Pixels | None = None
    with closing(frames):
        for frame in frames:
            rgb, record = frame.rgb(), None
            if asked.start - 1 <= frame.index < asked.stop:
                now = features_of(frame.luma(width))
                record, seen = compare(seen, now), now
            change, gray = _change(gray, rgb if frame.index < whole.start + MOVEMENT_FRAMES else None)
            if frame.index >= shown.start:
                yield Prepared(frame.index, square(rgb, side), record, change)


def _change(before: Pixels | None, rgb: Pixels | None) -> tuple[float, Pixels | None]:
    """The change of brightness to `rgb`, and its brightness."""
    gray = None if rgb is None else cast(Pixels, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    if before is None or gray is None:
        return math.nan, gray
    return float(np.mean(cv2.absdiff(before, gray))), gray


def square(rgb: Pixels, side: int) -> Pixels:
    """`(H, W, 3)` uint8 RGB in the middle of a square of a fixed colour, resized to `side` with Pillow's bicubic.

    Of a wide picture the columns are resized before the square is filled, and the rows after: the same bytes as the
    other way round, and no square of the full width is held. Of a tall one it is held.
    """
    height, width = rgb.shape[:2]
    picture = Image.fromarray(rgb)
    if width > height:
        picture = picture.resize((side, height), Image.Resampling.BICUBIC)
        picture = _on_canvas(picture, (side, width), (0, (width - height) // 2))
    elif height > width:
        picture = _on_canvas(picture, (height, height), ((height - width) // 2, 0))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))


def _on_canvas(picture: Image.Image, size: tuple[int, int], place: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size, _FILL)
    canvas.paste(picture, place)
    return canvas


def without_fill(squared: Pixels, width: int, height: int) -> Pixels:
    """The picture of `width` x `height` within its square: what a person wants to see of it."""
    side, longer = len(squared), max(width, height)
    rows, columns = (max(1, round(side * length / longer)) for length in (height, width))
    top, left = (side - rows) // 2, (side - columns) // 2
    return squared[top : top + rows, left : left + columns]
