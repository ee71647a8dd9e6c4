"""A picture of a face that is bent after a driving face: one map for head and face, one look-up, the mouth put in.

The map is made at nodes some pixels apart, and only where something moves. It is looked up in the picture made twice
as fine, which is as sharp as a look-up by cubics and takes half as long. Where the map ends it has faded to nothing, so
that the rest of the picture stays as it is, to the bit.
"""

from typing import Any, cast

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import (
    PER_SIDE,
    REACH,
    FacePlacement,
    Floats,
    ellipse,
    from_pixels,
    gray_of,
    inverse,
    joined,
)
from pipelines.animation.warp.driving_flow import Motion
from pipelines.animation.warp.fold_removal import unfolded
from pipelines.animation.warp.mouth import put_in
from pipelines.vision.types import Pixels

_HEAD, _FACE = (0.0, -0.02, 0.5, 0.58), (0.0, 0.06, 0.5, 0.56)
_HEAD_FADE, _FACE_FADE = (1.2, 2.6), (0.85, 1.6)
"""Where motion begins to fade and where it has ended, in radii."""
_CHIN, _NECK, _NECK_FIRM = 0.45, 0.5, 0.6
_STRETCH = 0.6
"""How much of the way to the border of the picture may be looked up across it: what lies there is stretched."""
_SLIT_AT, _SLIT_ACROSS, _SLIT_DOWN = 0.262, 0.22, 0.12
_NODES = 64
"""To a side of the face's box, about: as fine as the motion is, which is smooth over pixels of a view."""
_FINER = (1, -5, 20, 20, -5, 1)
"""Weights of the pixels around a place halfway between two (the six taps of H.264's half samples)."""
_SEEN = 0.01
_FEATHER_PX = 1.2
_GRAY_LEVELS = 3.0
_LIGHT = (0.5, 2.0)
_SKIN = (0.0, 0.2, 0.36, 0.3)

Array = NDArray[np.floating[Any]]


class Puppet:
    """A face of a picture; holds the picture, its moving part twice as fine, and maps of some thousand nodes."""

    def __init__(self, picture: Pixels, placed: FacePlacement, driving: Pixels, driving_slit: float) -> None:
        """`picture` `(H, W, 3)` uint8 RGB; `driving` is the driving face's view on the reference."""
        self._scale = placed.to_picture()[:, :2].astype(np.float32)
        self._step = max(1, round(placed.size / _NODES))
        self._lower, self._lips_at = placed.slit - driving_slit, _SLIT_AT + placed.slit
        height, width = picture.shape[:2]
        left, top, right, bottom = self._moving(placed, width, height)
        self._part = slice(top, bottom), slice(left, right)
        x, y, across, down = self._nodes(placed, left, top, right, bottom)
        self._across, self._down = across, down
        self._head_share, self._face_share = _shares(across, down)
        self._first_x, self._last_x = -_STRETCH * x, _STRETCH * (width - 1 - x)
        self._first_y, self._last_y = -_STRETCH * y, _STRETCH * (height - 1 - y)
        # Of the picture twice as fine; a node more on each side, so that all pixels lie between nodes.
        beside = np.arange(-1, max(across.shape) + 1) * self._step + (self._step - 1) / 2
        rows, columns = across.shape
        self._grid = _pair(2 * beside[: columns + 2], 2 * beside[: rows + 2, None])
        self._picture, self._fine = picture, _twice_as_fine(picture[self._part])
        view = placed.view(picture)
        self._gray = bool(np.ptp(view.astype(np.int16), axis=2).mean() < _GRAY_LEVELS)
        self._light = _light(view, self._toned(driving))

    def _moving(self, placed: FacePlacement, width: int, height: int) -> tuple[int, int, int, int]:
        """What of the picture may move: left, top, right, bottom, in pixels."""
        reach = int(placed.size * (_HEAD_FADE[1] * _HEAD[3] + 0.1)) // self._step * self._step
        left, top = int(placed.x) - reach, int(placed.y) - reach
        _, _, across, down = self._nodes(placed, left, top, left + 2 * reach, top + 2 * reach)
        moves = np.maximum(*_shares(across, down)) > 0
        (first_x, last_x), (first_y, last_y) = (
            np.flatnonzero(moves.any(axis=axis))[[0, -1]].tolist() for axis in (0, 1)
        )
        return (
            max(0, left + (first_x - 1) * self._step),
            max(0, top + (first_y - 1) * self._step),
            min(width, left + (last_x + 2) * self._step),
            min(height, top + (last_y + 2) * self._step),
        )

    def _nodes(
        self, placed: FacePlacement, left: int, top: int, right: int, bottom: int
    ) -> tuple[Array, Array, Floats, Floats]:
        """Columns and rows of nodes in pixels, and all of them as places on the face."""
        rows, columns = (-(-side // self._step) for side in (bottom - top, right - left))
        x = left + (np.arange(columns) + 0.5) * self._step - 0.5
        y = top + (np.arange(rows)[:, None] + 0.5) * self._step - 0.5
        across, down = ((a * x + b * y + c).astype(np.float32) for a, b, c in inverse(placed.to_picture()))
        return x, y, across, down

    def bent(self, picture: Pixels, motion: Motion) -> Pixels:
        """`picture` as the face moves; a new array, the same outside the face's surroundings."""
        head = joined(joined(from_pixels(), motion.head), inverse(from_pixels())) - np.eye(2, 3)
        (xx, xy, x0), (yx, yy, y0) = head.astype(np.float32)
        across, down = self._across, self._down
        right = (xx * across + xy * down + x0) * self._head_share
        below = (yx * across + yy * down + y0) * self._head_share
        there_x, there_y = across + right, down + below
        seen_x, seen_y = ((there + REACH) * PER_SIDE - 0.5 for there in (there_x, there_y))
        if self._lower:
            far = (there_x / _SLIT_ACROSS) ** 2 + ((there_y - self._lips_at) / _SLIT_DOWN) ** 2
            seen_y -= cv2.exp(-0.5 * far) * (self._lower * PER_SIDE)
        face_x, face_y = cv2.split(_looked_up(motion.face, seen_x, seen_y))
        share = self._face_share / PER_SIDE
        right, below = right + face_x * share, below + face_y * share
        (xx, xy), (yx, yy) = self._scale
        px_x = np.clip(xx * right + xy * below, self._first_x, self._last_x)
        px_y = np.clip(yx * right + yy * below, self._first_y, self._last_y)
        px = unfolded(_pair(px_x, px_y), self._step)
        bent = self._remapped(picture, px)
        self._mouth(bent[self._part], motion, _pair(seen_x, seen_y))
        return bent

    def _remapped(self, picture: Pixels, px: Floats) -> Pixels:
        """`picture` looked up at each pixel plus `px`, which is that of the nodes."""
        places = self._grid + 2 * cv2.copyMakeBorder(px, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        bent = picture.copy()
        part = bent[self._part]
        height, width = part.shape[:2]
        step = self._step
        places = self._enlarged(places)[step : step + height, step : step + width]
        fine = self._fine if picture is self._picture else _twice_as_fine(picture[self._part])
        part[:] = cv2.remap(fine, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return bent

    def _mouth(self, part: Pixels, motion: Motion, seen: Floats) -> None:
        """Put the driving mouth's inside into `part`, in place, where it is open."""
        if motion.opening.max() < _SEEN:
            return
        soft = cast(Floats, cv2.GaussianBlur(motion.opening, (0, 0), _FEATHER_PX))
        rows, columns = np.nonzero(_looked_up(soft, *cv2.split(seen)) * self._face_share > _SEEN)
        if len(rows) == 0:
            return
        nodes = tuple(
            slice(max(0, int(at.min()) - 4), min(side, int(at.max()) + 5))
            for at, side in zip((rows, columns), seen.shape[:2], strict=True)
        )
        pixels = tuple(slice(s.start * self._step, s.stop * self._step) for s in nodes)
        face = part[pixels]
        height, width = face.shape[:2]
        places = self._enlarged(seen[nodes])[:height, :width]
        share = (
            _looked_up(soft, *cv2.split(places)) * self._enlarged(self._face_share[nodes])[:height, :width]
        )
        mouth = cv2.remap(motion.shown, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        part[pixels] = put_in(face, self._toned(mouth), share, self._light)

    def _toned(self, pixels: Pixels) -> Pixels:
        """Without colours, where the picture has none."""
        return cast(Pixels, cv2.merge((gray_of(pixels),) * 3)) if self._gray else pixels

    def _enlarged(self, values: Floats) -> Floats:
        """Values of nodes as values of pixels."""
        if self._step == 1:
            return values.copy()
        size = values.shape[1] * self._step, values.shape[0] * self._step
        return cast(Floats, cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))


def _pair(x: Array, y: Array) -> Floats:
    """`(h, w, 2)` of two planes, or of a row and a column."""
    planes = (np.asarray(plane, np.float32) for plane in np.broadcast_arrays(x, y))
    return cast(Floats, cv2.merge([np.ascontiguousarray(plane) for plane in planes]))


def _looked_up(values: Floats, x: MatLike, y: MatLike) -> Floats:
    return cast(Floats, cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _twice_as_fine(picture: Pixels) -> Pixels:
    """`picture` `(h, w, 3)` with a pixel between each two, `(2 h, 2 w, 3)`; those that there were stay to the bit."""
    weights = np.array(_FINER, np.float32) / sum(_FINER)
    before = len(_FINER) // 2 - 1

    def between(pixels: Pixels, kernel: MatLike, anchor: tuple[int, int]) -> Pixels:
        return cast(Pixels, cv2.filter2D(pixels, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE))

    height, width = picture.shape[:2]
    fine = np.empty((2 * height, 2 * width, 3), np.uint8)
    across = between(picture, weights[None], (before, 0))
    fine[::2, ::2], fine[::2, 1::2] = picture, across
    fine[1::2, ::2], fine[1::2, 1::2] = (
        between(row, weights[:, None], (0, before)) for row in (picture, across)
    )
    return fine


def _shares(across: Floats, down: Floats) -> tuple[Floats, Floats]:
    """How much of the head's and of the face's motion there is at places on the face, 0 to 1."""
    neck = 1 + _NECK_FIRM * _eased((down - _CHIN) / _NECK)
    head = _faded(_radius(_HEAD, across, down) * neck, _HEAD_FADE)
    return head, _faded(_radius(_FACE, across, down), _FACE_FADE)


def _radius(shape: tuple[float, float, float, float], across: Floats, down: Floats) -> Floats:
    """How far from the middle of an ellipse, in its radii."""
    middle, height, half_across, half_down = shape
    radius: Floats = np.hypot((across - middle) / half_across, (down - height) / half_down)
    return radius


def _faded(radius: Floats, fade: tuple[float, float]) -> Floats:
    """1 up to the first radius, 0 from the second one on."""
    return (1 - _eased((radius - fade[0]) / (fade[1] - fade[0]))).astype(np.float32)


def _eased(share: Floats) -> Floats:
    share = np.clip(share, 0, 1)
    eased: Floats = share * share * (3 - 2 * share)
    return eased


def _light(face: Pixels, driving: Pixels) -> Floats:
    """How much brighter the skin is than the driving face's, per colour."""
    skin = ellipse(_SKIN, 0.01) > 0.5
    here, there = (np.median(view[skin], axis=0) + 8 for view in (face, driving))
    ratio: Floats = np.clip(here / there, *_LIGHT).astype(np.float32)
    return ratio
