"""A picture to draw charts on: smooth lines, areas and words, each with its opacity."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.drawing import fonts

Points = NDArray[np.float64]
"""Places in pixels, `(N, 2)`: x from the left, y from the top."""

_FRACTION_BITS = 4
"""Places are kept to a sixteenth of a pixel."""
_HATCH_PX = 10
"""Distance of the lines of a hatching, from left to left."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, its right and lower edges excluded."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Words:
    """Words on a chart, and the box that they take."""

    text: str
    box: Box


class Chart:
    """A white RGB picture `(height, width, 3)` uint8, drawn on in the order of the calls. Equal calls, equal pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels: NDArray[np.uint8] = np.full((height, width, 3), 255, np.uint8)
        self.words: list[Words] = []

    def rectangle(self, box: Box, colour: str, opacity: float = 1.0) -> None:
        """Fill a rectangle; its edges may lie between pixels."""
        corners = [
            (box.left, box.top),
            (box.right, box.top),
            (box.right, box.bottom),
            (box.left, box.bottom),
        ]
        self.area(np.array(corners), colour, opacity, box)

    def hatching(self, box: Box, colour: str, opacity: float = 1.0) -> None:
        """Draw slanting lines over a rectangle."""
        mask, place = self._mask(box)
        height, width = mask.shape
        rows, columns = np.ogrid[:height, :width]
        mask[(rows + columns + place[0]) % _HATCH_PX < 2] = 255
        self._blend(mask, place, colour, opacity)

    def area(self, outline: Points, colour: str, opacity: float, within: Box) -> None:
        """Fill the polygon with this outline, as far as it lies `within` a box."""
        mask, place = self._mask(_part(within, outline, 2))
        cv2.fillPoly(mask, [_fixed(outline, place)], 255, cv2.LINE_AA, _FRACTION_BITS)
        self._blend(mask, place, colour, opacity)

    def line(
        self,
        points: Points,
        colour: str,
        within: Box,
        *,
        width_px: int = 1,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """Draw lines from point to point; `dash`: the lengths of strokes and gaps of a straight one, in pixels."""
        mask, place = self._mask(_part(within, points, width_px + 2))
        strokes = [points] if dash is None else _dashes(points, dash)
        fixed = [_fixed(stroke, place) for stroke in strokes]
        cv2.polylines(mask, fixed, False, 255, width_px, cv2.LINE_AA, _FRACTION_BITS)
        self._blend(mask, place, colour, 1.0)

    def dots(self, points: Points, colour: str, within: Box, *, radius_px: float) -> None:
        """Draw a dot at each point."""
        mask, place = self._mask(within)
        one = 1 << _FRACTION_BITS
        for x, y in _fixed(points, place)[:, 0].tolist():
            cv2.circle(mask, (x, y), round(radius_px * one), 255, -1, cv2.LINE_AA, _FRACTION_BITS)
        self._blend(mask, place, colour, 1.0)

    def picture(self, pixels: NDArray[np.uint8], left: int, top: int) -> None:
        """Put `(H, W, 3)` uint8 pixels there; they have to fit."""
        height, width = pixels.shape[:2]
        self.pixels[top : top + height, left : left + width] = pixels

    def text(
        self,
        text: str,
        x: float,
        y: float,
        colour: str,
        *,
        size_px: float = 14.5,
        bold: bool = False,
        anchor: str = "ls",
        turned: bool = False,
        board: float = 0.0,
    ) -> Box:
        """Write one line or several and return the box that they take; it is remembered in `words`, too.

        Args:
            text: the words; lines are parted by newlines, and centred.
            x: the place of the anchor, in pixels.
            y: the place of the anchor, in pixels.
            colour: of the letters.
            size_px: height of the font.
            bold: thicken the letters.
            anchor: `l`, `m` or `r`, then `a` (top), `m` (middle) or `s` (baseline of the first line).
            turned: a quarter turn to the left.
            board: opacity of a white board below the words.
        """
        drawn = [_line(line, size_px, bold) for line in text.split("\n")]
        step = round(size_px * 1.15)
        width, height = (
            max(mask.shape[1] for mask, _ in drawn),
            step * (len(drawn) - 1) + drawn[0][0].shape[0],
        )
        mask = np.zeros((height, width), np.uint8)
        for number, (line, _) in enumerate(drawn):
            left = (width - line.shape[1]) // 2
            into = mask[number * step : number * step + line.shape[0], left : left + line.shape[1]]
            np.maximum(into, line[: into.shape[0]], out=into)
        if turned:
            mask = np.ascontiguousarray(np.rot90(mask))
        height, width = mask.shape
        left = round(x - {"l": 0, "m": width / 2, "r": width}[anchor[0]])
        top = round(y - {"a": 0, "m": height / 2, "s": drawn[0][1]}[anchor[1]])
        box = Box(left, top, left + width, top + height)
        if board:
            self.rectangle(Box(left - 2, top - 1, box.right + 2, box.bottom + 1), "#ffffff", board)
        self._blend(mask, (left, top), colour, 1.0)
        self.words.append(Words(text, box))
        return box

    def save(self, path: Path) -> None:
        """Write a PNG, without anything that differs from run to run. Raises OSError."""
        Image.fromarray(self.pixels).save(path, format="png")

    def _mask(self, box: Box) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Return an empty mask over `box` as far as it lies in the picture, and where its corner is."""
        height, width = self.pixels.shape[:2]
        left, top = max(0, int(np.floor(box.left))), max(0, int(np.floor(box.top)))
        right, bottom = min(width, int(np.ceil(box.right))), min(height, int(np.ceil(box.bottom)))
        return np.zeros((max(0, bottom - top), max(0, right - left)), np.uint8), (left, top)

    def _blend(self, mask: NDArray[np.uint8], place: tuple[int, int], colour: str, opacity: float) -> None:
        """Lay a colour over the picture, where and as much as `mask`, whose corner is at `place`, says."""
        (left, top), (height, width) = place, self.pixels.shape[:2]
        mask = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
        left, top = max(0, left), max(0, top)
        there = self.pixels[top : top + mask.shape[0], left : left + mask.shape[1]]
        rows, columns = np.nonzero(mask)  # most of a chart stays white
        share = mask[rows, columns, None] * np.float32(opacity / 255)
        mixed = there[rows, columns] * (1 - share) + _rgb(colour) * share
        there[rows, columns] = (mixed + 0.5).astype(np.uint8)


def width_of(text: str, size_px: float = 14.5, *, bold: bool = False) -> int:
    """Return how many pixels wide one line of words is."""
    return int(_line(text, size_px, bold)[0].shape[1])


def _line(text: str, size_px: float, bold: bool) -> tuple[NDArray[np.uint8], int]:
    """Return the mask of one line of words and the row of its baseline."""
    parts = list(fonts.runs(text, size_px))
    stroke = size_px / 40 if bold else 0.0
    ascent, descent = round(size_px), round(size_px * 0.3)
    width = sum(font.getlength(words) for words, font in parts)
    image = Image.new("L", (int(np.ceil(width + 2 * stroke)) or 1, ascent + descent))
    draw, x = ImageDraw.Draw(image), stroke
    for words, font in parts:
        draw.text((x, ascent), words, 255, font, "ls", stroke_width=stroke)
        x += font.getlength(words)
    return np.asarray(image), ascent


def _part(box: Box, points: Points, more: float) -> Box:
    """Return the part of `box` that holds the points, with so many pixels around them."""
    (left, top), (right, bottom) = points.min(axis=0) - more, points.max(axis=0) + more
    return Box(max(box.left, left), max(box.top, top), min(box.right, right), min(box.bottom, bottom))


def _fixed(points: Points, place: tuple[int, int]) -> NDArray[np.int32]:
    """Return points relative to `place` as OpenCV takes them: whole numbers of fractions of a pixel."""
    far = 1 << 20
    moved = np.clip(points - np.array(place) - 0.5, -far, far) * (1 << _FRACTION_BITS)
    fixed: NDArray[np.int32] = np.rint(moved).astype(np.int32).reshape(-1, 1, 2)
    return fixed


def _dashes(points: Points, dash: tuple[float, float]) -> list[Points]:
    start, stop = points[0], points[-1]
    length = float(np.linalg.norm(stop - start))
    on, off = dash
    begins = np.arange(0, length, on + off)
    ends = np.minimum(begins + on, length)
    way = (stop - start) / (length or 1)
    return [np.array([start + way * a, start + way * b]) for a, b in zip(begins, ends, strict=True)]


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.frombuffer(bytes.fromhex(colour.removeprefix("#")), np.uint8).astype(np.float32)
