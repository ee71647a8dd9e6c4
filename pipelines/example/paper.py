"""Sheets of cut paper, laid over each other: what the example's landscapes are made of.

A sheet is drawn at twice its shown size and averaged down, once for each half pixel at which it may stand. So edges
are equally crisp in every position, and laying a sheet costs two passes over bytes.
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
"""Pixels drawn per shown pixel."""
_SHADOW_COLOUR: Colour = (30, 34, 58)
_SHADOW_STRENGTH = 0.38
"""Opacity of a shadow."""
_SHADOW_REACH = 17
"""Side of the box filter that softens it, in drawn pixels."""
_SHADOW_OFFSET = (-4, -3)  # never down: `np.roll` would bring it back in at the top
_RIM_LIGHT = 26
"""Grey levels that the lit rim of a sheet is brighter."""


class Camera(NamedTuple):
    """Pan of the camera along the land, and how far it is turned right and down, in shown pixels."""

    way: float
    right: float = 0.0
    down: float = 0.0


@dataclass(frozen=True)
class PaperLayer:
    """Finished sheet.

    `colour` `(2, H, W, 3)` uint8 is what it adds, and `through`, of the same shape, what it lets through. Its left
    edge stands at column `left` of the frame when the camera is at 0. It moves by `depth` of the camera's pan, more
    the nearer it is, and by a `speed` of its own, right and down, in pixels per frame.
    """

    colour: Pixels
    through: Pixels
    left: float
    top: float
    depth: float
    speed: tuple[float, float]

    def lay(self, picture: Pixels, camera: Camera, time: float) -> None:
        """Lay the sheet over `picture` `(H, W, 3)`, in place, for a camera and a frame number."""
        left = self.left - self.depth * camera.way - camera.right + self.speed[0] * time
        column, half = divmod(round(_SCALE * left), _SCALE)
        row = round(self.top - camera.down + self.speed[1] * time)
        height, width = self.colour.shape[1:3]
        top_px, down = max(0, row), min(picture.shape[0], row + height)
        left_px, right_px = max(0, column), min(picture.shape[1], column + width)
        if top_px >= down or left_px >= right_px:
            return
        part = picture[top_px:down, left_px:right_px]
        here = np.s_[half, top_px - row : down - row, left_px - column : right_px - column]
        cv2.multiply(part, self.through[here], dst=part, scale=1 / 255)
        cv2.add(part, self.colour[here], dst=part)


class PaperSheet:
    """Paper of `width` x `height` to cut shapes from, in shown pixels."""

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self.width, self.height = width, height
        self._colour = np.zeros((height * _SCALE, width * _SCALE, 3), np.uint8)
        cv2.rectangle(self._colour, (0, 0), (width * _SCALE, height * _SCALE), ground, cv2.FILLED)
        self._cover = np.zeros(self._colour.shape[:2], np.uint8)

    def polygon(self, points: ArrayLike, colour: Colour) -> None:
        """Draw a filled shape."""
        corners = _to_canvas(points)
        cv2.fillPoly(self._colour, [corners], colour, cv2.LINE_AA)
        cv2.fillPoly(self._cover, [corners], 255, cv2.LINE_AA)

    def below(self, edge: Sequence[float] | NDArray[np.float64], colour: Colour) -> None:
        """Fill everything below an edge that is given column by column."""
        columns = np.arange(len(edge))
        ends = [(len(edge) - 1.0, self.height), (0.0, self.height)]
        self.polygon(np.vstack((np.column_stack((columns, edge)), ends)), colour)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Draw a rectangle by its upper left corner."""
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a filled circle."""
        position = round(x * _SCALE), round(y * _SCALE)
        for canvas, value in ((self._colour, colour), (self._cover, 255)):
            cv2.circle(canvas, position, max(1, round(radius * _SCALE)), value, -1, cv2.LINE_AA)

    def line(self, points: ArrayLike, colour: Colour, width: float = 1.0) -> None:
        """Draw a line through points."""
        for canvas, value in ((self._colour, colour), (self._cover, 255)):
            cv2.polylines(
                canvas, [_to_canvas(points)], False, value, max(1, round(width * _SCALE)), cv2.LINE_AA
            )

    def layer(
        self,
        grain: NDArray[np.int16] | int,
        left: float,
        top: float,
        depth: float,
        speed: tuple[float, float] = (0.0, 0.0),
    ) -> PaperLayer:
        """Finish the sheet with its grain (0 for none), its lit rim and its shadow."""
        lit = cv2.subtract(self._cover, np.roll(self._cover, (_SCALE, -_SCALE // 2), (0, 1)))
        light = (lit.astype(np.int16) * _RIM_LIGHT >> 8) + grain
        colour = cast(
            Pixels, cv2.add(self._colour, cv2.merge([light] * 3), dtype=cv2.CV_8U)
        )  # stops at 0, 255
        colour, through = _with_shadow(colour, self._cover)
        return PaperLayer(_halves(colour), _halves(through), left, top, depth, speed)


def grain(rng: np.random.Generator, width: int, height: int, strength: float = 7.0) -> NDArray[np.int16]:
    """Draw paper fibres and specks for a sheet of that size, as grey levels to add."""
    specks = rng.standard_normal((height * _SCALE, width * _SCALE), np.float32)
    fibres = cv2.blur(specks, (7, 1)) * 2.6 + cv2.GaussianBlur(specks, (0, 0), 1.0) * 2.0
    return cast(NDArray[np.int16], (fibres * (strength / 2)).astype(np.int16))


def ridge(rng: np.random.Generator, width: int, heights: Sequence[tuple[int, float]]) -> NDArray[np.float64]:
    """Draw a skyline, column by column: the sum of smooth hills for each (distance of knots, height), in pixels."""
    line = np.zeros(width)
    columns = np.arange(width)
    for apart, height in heights:
        knots = rng.uniform(-height, height, width // apart + 3)
        position = columns / apart
        before = position.astype(np.int64)
        ease = 0.5 - 0.5 * np.cos(np.pi * (position - before))
        line += knots[before] * (1 - ease) + knots[before + 1] * ease
    return line


def gradient(width: int, height: int, stops: Sequence[tuple[float, Colour]]) -> Pixels:
    """Draw a picture that runs from colour to colour, from the top (0) to the bottom (1)."""
    rows = np.linspace(0, 1, height)
    positions, colours = zip(*stops, strict=True)
    column = np.stack([np.interp(rows, positions, band) for band in np.array(colours).T], axis=1)
    return np.repeat(column[:, None].round().astype(np.uint8), width, axis=1)


def _to_canvas(points: ArrayLike) -> NDArray[np.int32]:
    return (np.asarray(points, np.float64) * _SCALE).round().astype(np.int32)


def _with_shadow(colour: Pixels, cover: Pixels) -> tuple[Pixels, Pixels]:
    """Return what a sheet adds and what it lets through: nothing where it is, and less than all in its shadow."""
    bare = cv2.bitwise_not(cover)
    soft: NDArray[Any] = np.roll(cover, _SHADOW_OFFSET[::-1], (0, 1))
    for _ in range(2):  # two box filters look like a Gaussian and cost a fifth of it
        soft = cv2.blur(soft, (_SHADOW_REACH, _SHADOW_REACH))
    shade = cv2.multiply(soft, bare, scale=_SHADOW_STRENGTH / 255)
    solid = cv2.multiply(colour, cv2.merge([cover] * 3), scale=1 / 255)
    dark = cv2.merge([cv2.convertScaleAbs(shade, alpha=level / 255) for level in _SHADOW_COLOUR])
    through = cv2.subtract(bare, shade)
    return cast(Pixels, cv2.add(solid, dark)), cast(Pixels, cv2.merge([through] * 3))


def _halves(picture: Pixels) -> Pixels:
    """Shrink the picture to its shown size, at whole pixels and half a pixel to the right."""
    rows, columns = picture.shape[0] // _SCALE, picture.shape[1] // _SCALE
    moved = np.concatenate((picture[:, :1], picture[:, :-1]), axis=1)
    shown = [cv2.resize(p, (columns, rows), interpolation=cv2.INTER_AREA) for p in (picture, moved)]
    return cast(Pixels, np.stack(shown))
