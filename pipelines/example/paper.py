"""Sheets of cut paper, laid over each other: what the example's landscapes are made of.

A sheet is drawn twice as large as it is shown and averaged down, once for each half pixel that it may stand at. So
edges are as crisp in every position, and laying a sheet costs two passes over bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.vision.types import Pixels

Colour = tuple[int, int, int]
Point = tuple[float, float]

_SCALE = 2
_SHADOW: Colour = (30, 34, 58)
_SHADOW_STRENGTH = 0.38
_SHADOW_REACH = 17
_SHADOW_OFFSET = (-4, -3)  # never down: what is rolled out below would come in above
_RIM = 26


class Camera(NamedTuple):
    """How far the camera has gone along the land, and how far it is turned right and down: shown pixels."""

    way: float
    right: float = 0.0
    down: float = 0.0


@dataclass(frozen=True)
class PaperLayer:
    """A finished sheet. `colour` `(2, H, W, 3)` uint8, what it adds, and `through` alike, what it lets through.

    Its left edge stands at column `left` of the frame when the camera is at 0. The nearer it is, the more of the
    camera's way it goes: `depth` of it. It also has a `speed` of its own, right and down, pixels a frame.
    """

    colour: Pixels
    through: Pixels
    left: float
    top: float
    depth: float
    speed: tuple[float, float]

    def lay(self, picture: Pixels, camera: Camera, moment: float) -> None:
        """Lay it over `picture` `(H, W, 3)`, in place, for a camera there and at that frame number."""
        left = self.left - self.depth * camera.way - camera.right + self.speed[0] * moment
        column, half = divmod(round(_SCALE * left), _SCALE)
        row = round(self.top - camera.down + self.speed[1] * moment)
        height, width = self.colour.shape[1:3]
        up, down = max(0, row), min(picture.shape[0], row + height)
        west, east = max(0, column), min(picture.shape[1], column + width)
        if up >= down or west >= east:
            return
        part = picture[up:down, west:east]
        here = np.s_[half, up - row : down - row, west - column : east - column]
        cv2.multiply(part, self.through[here], dst=part, scale=1 / 255)
        cv2.add(part, self.colour[here], dst=part)


class PaperSheet:
    """Paper of `width` x `height` shown pixels to cut shapes from; coordinates are shown pixels."""

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self.width, self.height = width, height
        self._colour = np.zeros((height * _SCALE, width * _SCALE, 3), np.uint8)
        cv2.rectangle(self._colour, (0, 0), (width * _SCALE, height * _SCALE), ground, cv2.FILLED)
        self._cover = np.zeros(self._colour.shape[:2], np.uint8)

    def polygon(self, points: ArrayLike, colour: Colour) -> None:
        """A filled shape."""
        corners = _placed(points)
        cv2.fillPoly(self._colour, [corners], colour, cv2.LINE_AA)
        cv2.fillPoly(self._cover, [corners], 255, cv2.LINE_AA)

    def below(self, edge: Sequence[float] | NDArray[np.float64], colour: Colour) -> None:
        """All below an edge that is given column by column."""
        columns = np.arange(len(edge))
        ends = [(len(edge) - 1.0, self.height), (0.0, self.height)]
        self.polygon(np.vstack((np.column_stack((columns, edge)), ends)), colour)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """A rectangle from its upper left corner."""
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle."""
        place = round(x * _SCALE), round(y * _SCALE)
        for canvas, value in ((self._colour, colour), (self._cover, 255)):
            cv2.circle(canvas, place, max(1, round(radius * _SCALE)), value, -1, cv2.LINE_AA)

    def line(self, points: ArrayLike, colour: Colour, width: float = 1.0) -> None:
        """A line through points."""
        for canvas, value in ((self._colour, colour), (self._cover, 255)):
            cv2.polylines(canvas, [_placed(points)], False, value, max(1, round(width * _SCALE)), cv2.LINE_AA)

    def layer(
        self,
        grain: NDArray[np.int16] | int,
        left: float,
        top: float,
        depth: float,
        speed: tuple[float, float] = (0.0, 0.0),
    ) -> PaperLayer:
        """The sheet with its grain (0 for none), its bright rim and its shadow."""
        lit = cv2.subtract(self._cover, np.roll(self._cover, (_SCALE, -_SCALE // 2), (0, 1)))
        light = (lit.astype(np.int16) * _RIM >> 8) + grain
        colour = cast(
            Pixels, cv2.add(self._colour, cv2.merge([light] * 3), dtype=cv2.CV_8U)
        )  # stops at 0, 255
        colour, through = _with_shadow(colour, self._cover)
        return PaperLayer(_halves(colour), _halves(through), left, top, depth, speed)


def grain(rng: np.random.Generator, width: int, height: int, strength: float = 7.0) -> NDArray[np.int16]:
    """Paper fibres and specks for a sheet of that size, grey levels to be added."""
    specks = rng.standard_normal((height * _SCALE, width * _SCALE), np.float32)
    fibres = cv2.blur(specks, (7, 1)) * 2.6 + cv2.GaussianBlur(specks, (0, 0), 1.0) * 2.0
    return cast(NDArray[np.int16], (fibres * (strength / 2)).astype(np.int16))


def ridge(rng: np.random.Generator, width: int, heights: Sequence[tuple[int, float]]) -> NDArray[np.float64]:
    """A skyline, column by column: for each (knots apart in pixels, height in pixels) smooth hills of that size."""
    line = np.zeros(width)
    columns = np.arange(width)
    for apart, height in heights:
        knots = rng.uniform(-height, height, width // apart + 3)
        place = columns / apart
        before = place.astype(np.int64)
        ease = 0.5 - 0.5 * np.cos(np.pi * (place - before))
        line += knots[before] * (1 - ease) + knots[before + 1] * ease
    return line


def gradient(width: int, height: int, stops: Sequence[tuple[float, Colour]]) -> Pixels:
    """A picture that runs from colour to colour, from the top (0) to the bottom (1)."""
    rows = np.linspace(0, 1, height)
    places, colours = zip(*stops, strict=True)
    column = np.stack([np.interp(rows, places, band) for band in np.array(colours).T], axis=1)
    return np.repeat(column[:, None].round().astype(np.uint8), width, axis=1)


def _placed(points: ArrayLike) -> NDArray[np.int32]:
    return (np.asarray(points, np.float64) * _SCALE).round().astype(np.int32)


def _with_shadow(colour: Pixels, cover: Pixels) -> tuple[Pixels, Pixels]:
    """What a sheet adds, and what it lets through: nothing where it is, less than all where its shadow falls."""
    bare = cv2.bitwise_not(cover)
    soft: NDArray[Any] = np.roll(cover, _SHADOW_OFFSET[::-1], (0, 1))
    for _ in range(2):  # twice over a square: as soft as a Gaussian, at a fifth of its price
        soft = cv2.blur(soft, (_SHADOW_REACH, _SHADOW_REACH))
    shade = cv2.multiply(soft, bare, scale=_SHADOW_STRENGTH / 255)
    solid = cv2.multiply(colour, cv2.merge([cover] * 3), scale=1 / 255)
    dark = cv2.merge([cv2.convertScaleAbs(shade, alpha=level / 255) for level in _SHADOW])
    through = cv2.subtract(bare, shade)
    return cast(Pixels, cv2.add(solid, dark)), cast(Pixels, cv2.merge([through] * 3))


def _halves(picture: Pixels) -> Pixels:
    """The picture at its shown size, standing at whole pixels and half a pixel further."""
    rows, columns = picture.shape[0] // _SCALE, picture.shape[1] // _SCALE
    moved = np.concatenate((picture[:, :1], picture[:, :-1]), axis=1)
    shown = [cv2.resize(p, (columns, rows), interpolation=cv2.INTER_AREA) for p in (picture, moved)]
    return cast(Pixels, np.stack(shown))
