"""Brush strokes of a visitor, turned into the masks that a job reads.

A stroke is a word, as boxes and points are: `width:x,y,x,y,...@frame`, in pixels of the video; one that begins with an
exclamation mark erases what was painted before it.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.errors import BadInput, OverLimit
from pipelines.storage.atomic import write_bytes

Mark = NDArray[np.bool_]
"""`(H, W)`, true where something was painted, at the size of the video."""

MOST_CHARACTERS = 400_000
MOST_FRAMES = 200
"""Limits of one request: each painted frame is drawn as a mask on the server."""
_STROKE = re.compile(r"(!?)(\d{1,4}):(\d{1,6},\d{1,6}(?:,\d{1,6},\d{1,6})*)@(\d{1,9})")
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""The date of all members of a zip, so that equal marks give equal bytes; the earliest that the format has."""


@dataclass(frozen=True)
class Stroke:
    """A line through `points` `(x, y)`, drawn with a round brush; it paints, or with `wipes` erases."""

    frame: int
    width: int
    points: tuple[tuple[int, int], ...]
    wipes: bool = False

    @classmethod
    def parse(cls, word: str) -> "Stroke":
        """A stroke as the page writes it. Raises BadInput for what is none."""
        match = _STROKE.fullmatch(word)
        if not match:
            raise BadInput(f"{word[:40]!r} is no stroke of a brush.", "Paint on the frame.")
        numbers = iter(map(int, match[3].split(",")))
        return cls(int(match[4]), int(match[2]), tuple(zip(numbers, numbers, strict=True)), bool(match[1]))


def read_strokes(text: str) -> list[Stroke]:
    """The strokes in `text`, between spaces. Raises BadInput for what is none, OverLimit for far too many."""
    if len(text) > MOST_CHARACTERS:
        raise OverLimit("More is painted than can be taken in.", "Use a wider brush, or a box.")
    strokes = [Stroke.parse(word) for word in text.split()]
    if (frames := len({stroke.frame for stroke in strokes})) > MOST_FRAMES:
        raise OverLimit(
            f"{frames} frames are painted on; {MOST_FRAMES} is the most.",
            "Follow from fewer, or give a mask.",
        )
    return strokes


def painted(strokes: Sequence[Stroke], size: tuple[int, int]) -> Generator[tuple[int, Mark]]:
    """Yield number and mark of each frame on which paint is left, in order; `size` is width, height. Holds one mark."""
    in_order = sorted(strokes, key=lambda stroke: stroke.frame)  # stable: as they were painted
    for frame, of_frame in groupby(in_order, key=lambda stroke: stroke.frame):
        canvas = Image.new("L", size)
        for stroke in of_frame:
            _draw(canvas, stroke)
        mark = np.asarray(canvas) > 0
        if mark.any():
            yield frame, mark


def _draw(canvas: Image.Image, stroke: Stroke) -> None:
    pen, ink, reach = ImageDraw.Draw(canvas), 0 if stroke.wipes else 255, stroke.width / 2
    pen.line(stroke.points, ink, stroke.width)
    for x, y in stroke.points:
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), ink)


def save_marks(marks: Iterable[tuple[int, Mark]], folder: Path, *, follow: bool) -> Path | None:
    """Write marks as a mask file below `folder`; equal marks give equal bytes, and so the same job. None without marks.

    `follow`: a zip of pictures, each named by its frame number, as prompts for that frame. Otherwise the union of all
    marks, as one picture for every frame; the marks then have one size. Holds two marks.
    """
    marks = iter(marks)
    if (first := next(marks, None)) is None:
        return None
    marks = chain([first], marks)
    if follow:
        data, name = _zip((f"{frame:08d}.png", _png(mark)) for frame, mark in marks), "marks.zip"
    else:
        data, name = _png(_union(mark for _, mark in marks)), "mark.png"
    path = folder / hashlib.sha256(data).hexdigest() / name
    write_bytes(path, data)
    return path


def _union(marks: Iterable[Mark]) -> Mark:
    marks = iter(marks)
    union = next(marks).copy()
    for mark in marks:
        union |= mark
    return union


def _png(mark: Mark) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mark.view(np.uint8) * np.uint8(255)).save(file, "png")
    return file.getvalue()


def _zip(pictures: Iterable[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        for name, data in pictures:
            bundle.writestr(zipfile.ZipInfo(name, _FIXED_DATE), data)
    return file.getvalue()
