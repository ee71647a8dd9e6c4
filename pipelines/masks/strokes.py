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
from PIL import Image

from pipelines.errors import BadInput, OverLimit
from pipelines.storage.atomic import write_bytes

Mark = NDArray[np.bool_]
"""`(H, W)`, true where something was painted, at the size of the video."""
Line = NDArray[np.int32]

MOST_CHARACTERS = 400_000
MOST_FRAMES = 200
"""Limits of one request: each painted frame is drawn as a mask on the server."""
MOST_PIXELS = 1_000_000_000
"""Pixels that one request may have drawn, as `_Run.cost` counts them: 8 s of a core (130 Mpx/s on a 2 GHz Xeon), and
what ten strokes over a quarter of the picture on each of 200 frames in 4K take twice over."""
_OVERHEAD_PIXELS = 10_000
"""What a run costs however small it is."""
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
            raise BadInput(
                f"{word[:40]!r} is no stroke of a brush.", "Paint on the frame.", "paint.unreadable"
            )
        numbers = iter(map(int, match[3].split(",")))
        return cls(int(match[4]), int(match[2]), tuple(zip(numbers, numbers, strict=True)), bool(match[1]))


def read_strokes(text: str) -> list[Stroke]:
    """The strokes in `text`, between spaces. Raises BadInput for what is none, OverLimit for far too many."""
    if len(text) > MOST_CHARACTERS:
        raise OverLimit(
            "More is painted than can be taken in.", "Use a wider brush, or a box.", "paint.too_much"
        )
    strokes = [Stroke.parse(word) for word in text.split()]
    if (frames := len({stroke.frame for stroke in strokes})) > MOST_FRAMES:
        raise OverLimit(
            f"{frames} frames are painted on; {MOST_FRAMES} is the most.",
            "Follow from fewer, or give a mask.",
            "paint.too_many_frames",
            frames=frames,
            most=MOST_FRAMES,
        )
    return strokes


def painted(strokes: Sequence[Stroke], size: tuple[int, int]) -> Generator[tuple[int, Mark]]:
    """Yield number and mark of each frame on which paint is left, in order; `size` is width, height. Holds one mark.

    Points outside of the picture are moved to its edge. Raises OverLimit before anything is drawn.
    """
    in_order = sorted(strokes, key=lambda stroke: stroke.frame)  # stable: as they were painted
    runs = [_Run(*pen, _lines(run, size), size) for pen, run in groupby(in_order, _pen)]
    if (pixels := sum(run.cost for run in runs)) > MOST_PIXELS:
        raise OverLimit(
            f"What is painted takes {pixels / 1e6:,.0f} megapixels to draw; {MOST_PIXELS / 1e6:,.0f} is the most.",
            "Paint fewer and shorter strokes with one width of the brush, or use a box.",
            "paint.too_much",
        )
    return _marks(runs, size)


def _marks(runs: list["_Run"], size: tuple[int, int]) -> Generator[tuple[int, Mark]]:
    width, height = size
    for frame, of_frame in groupby(runs, key=lambda run: run.frame):
        mark = np.zeros((height, width), np.bool_)
        for run in of_frame:
            run.draw(mark)
        if mark.any():
            yield frame, mark


def _pen(stroke: Stroke) -> tuple[int, int, bool]:
    return stroke.frame, stroke.width, stroke.wipes


def _lines(strokes: Iterable[Stroke], size: tuple[int, int]) -> list[Line]:
    """The points of each stroke as `(N, 2)` int32, N > 1, within the picture."""
    most = np.array(size) - 1
    points = (stroke.points if len(stroke.points) > 1 else stroke.points * 2 for stroke in strokes)
    return [np.minimum(np.array(each), most).astype(np.int32) for each in points]


class _Run:
    """Strokes of one pen, one after the other: everything within half its width of a thin line along them.

    The distance of each pixel to the nearest line costs the same however many and wide the strokes are.
    """

    def __init__(self, frame: int, width: int, wipes: bool, lines: list[Line], size: tuple[int, int]) -> None:
        self.frame = frame
        self._reach = width / 2
        self._wipes = wipes
        self._lines = lines
        margin = int(self._reach) + 2
        left, top = np.min([line.min(axis=0) for line in lines], axis=0) - margin
        right, bottom = np.max([line.max(axis=0) for line in lines], axis=0) + margin + 1
        self._left, self._top = max(0, int(left)), max(0, int(top))
        self._right, self._bottom = min(size[0], int(right)), min(size[1], int(bottom))

    @property
    def cost(self) -> int:
        """Pixels that are touched: those of the rectangle in which the run lies, and those along its lines."""
        along = sum(int(np.abs(np.diff(line, axis=0)).max(axis=1).sum()) + len(line) for line in self._lines)
        return (self._right - self._left) * (self._bottom - self._top) + along + _OVERHEAD_PIXELS

    def draw(self, mark: Mark) -> None:
        """Paint or wipe on `mark`."""
        import cv2  # slow to import, and not everybody draws

        corner = np.array((self._left, self._top), np.int32)
        thin = np.ones((self._bottom - self._top, self._right - self._left), np.uint8)
        for line in self._lines:
            cv2.polylines(thin, [line - corner], isClosed=False, color=0)
        distances = cv2.distanceTransform(thin, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        mark[self._top : self._bottom, self._left : self._right][distances <= self._reach] = not self._wipes


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
