"""A picture of a face that is bent after a driving face: one map for head and face, one look-up, the mouth put in.

Where the map ends it has faded to nothing, so that the rest of the picture stays as it is, to the bit.
"""

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.driving_flow import Motion
from pipelines.animation.face_boxes import Pixels
from pipelines.animation.face_view import (
    PER_SIDE,
    REACH,
    Floats,
    Placement,
    ellipse,
    from_pixels,
    gray_of,
    inverse,
    joined,
)
from pipelines.animation.open_mouth import put_in
from pipelines.animation.unfolding import unfolded

_HEAD, _FACE = (0.0, -0.02, 0.5, 0.58), (0.0, 0.06, 0.5, 0.56)
_HEAD_FADE, _FACE_FADE = (1.2, 2.6), (0.85, 1.6)
"""Where motion begins to fade and where it has ended, in radii."""
_CHIN, _NECK, _NECK_FIRM = 0.45, 0.5, 0.6
_STRETCH = 0.6
"""How much of the way to the border of the picture may be looked up across it: what lies there is stretched."""
_SLIT_AT, _SLIT_ACROSS, _SLIT_DOWN = 0.262, 0.22, 0.12
_SEEN = 0.01
_FEATHER_PX = 1.2
_GRAY_LEVELS = 3.0
_LIGHT = (0.5, 2.0)
_SKIN = (0.0, 0.2, 0.36, 0.3)


class Puppet:
    """A face of a picture; holds the picture and some maps of at most 128 nodes to a side of the face's box."""

    def __init__(self, picture: Pixels, placed: Placement, driving: Pixels, driving_slit: float) -> None:
        """`picture` `(H, W, 3)` uint8 RGB; `driving` is the driving face's view on the reference."""
        self._scale = placed.to_picture()[:, :2].astype(np.float32)
        self._step = max(1, round(placed.size / PER_SIDE))
        self._lower, self._lips_at = placed.slit - driving_slit, _SLIT_AT + placed.slit
        height, width = picture.shape[:2]
        self._shape = height, width
        reach = placed.size * (_HEAD_FADE[1] * _HEAD[3] + 0.1)
        left, top = (max(0, int(v - reach)) for v in (placed.x, placed.y))
        right, bottom = min(width, int(placed.x + reach) + 1), min(height, int(placed.y + reach) + 1)
        self._part = slice(top, bottom), slice(left, right)
        rows, columns = (-(-side // self._step) for side in (bottom - top, right - left))
        x = left + (np.arange(columns) + 0.5) * self._step - 0.5
        y = top + (np.arange(rows)[:, None] + 0.5) * self._step - 0.5
        back = inverse(placed.to_picture())
        self._places = np.stack([a * x + b * y + c for a, b, c in back], axis=2).astype(np.float32)
        across, down = self._places[..., 0], self._places[..., 1]
        neck = 1 + _NECK_FIRM * _eased((down - _CHIN) / _NECK)
        self._head_share = _faded(_radius(_HEAD, across, down) * neck, _HEAD_FADE)
        self._face_share = _faded(_radius(_FACE, across, down), _FACE_FADE)
        self._first = -_STRETCH * _pair(x, y)
        self._last = _STRETCH * _pair(width - 1 - x, height - 1 - y)
        self._x, self._y = (np.arange(a, b, dtype=np.float32) for a, b in ((left, right), (top, bottom)))
        view = placed.view(picture)
        self._gray = bool(np.ptp(view.astype(np.int16), axis=2).mean() < _GRAY_LEVELS)
        self._light = _light(view, self._toned(driving))

    def bent(self, picture: Pixels, motion: Motion) -> Pixels:
        """`picture` as the face moves; a new array, the same outside the face's surroundings."""
        head = joined(joined(from_pixels(), motion.head), inverse(from_pixels())) - np.eye(2, 3)
        (xx, xy, x0), (yx, yy, y0) = head.astype(np.float32)
        across, down = self._places[..., 0], self._places[..., 1]
        off = np.stack((xx * across + xy * down + x0, yx * across + yy * down + y0), axis=2)
        off *= self._head_share[..., None]
        there = self._places + off
        seen = (there + REACH) * PER_SIDE - 0.5
        if self._lower:
            lips = np.hypot(there[..., 0] / _SLIT_ACROSS, (there[..., 1] - self._lips_at) / _SLIT_DOWN)
            seen[..., 1] -= np.exp(-0.5 * lips**2) * (self._lower * PER_SIDE)
        off += _looked_up(motion.face, seen) * (self._face_share / PER_SIDE)[..., None]
        (xx, xy), (yx, yy) = self._scale
        right, down = off[..., 0], off[..., 1]
        px = np.stack((xx * right + xy * down, yx * right + yy * down), axis=2)
        px = unfolded(np.clip(px, self._first, self._last), self._step)
        bent = self._remapped(picture, px)
        self._mouth(bent[self._part], motion, seen)
        return bent

    def _remapped(self, picture: Pixels, px: Floats) -> Pixels:
        height, width = len(self._y), len(self._x)
        places = self._enlarged(px)[:height, :width]
        places[..., 0] += self._x
        places[..., 1] += self._y[:, None]
        bent = picture.copy()
        bent[self._part] = cv2.remap(picture, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return bent

    def _mouth(self, part: Pixels, motion: Motion, seen: Floats) -> None:
        """Put the driving mouth's inside into `part`, in place, where it is open."""
        if motion.opening.max() < _SEEN:
            return
        soft = cv2.GaussianBlur(motion.opening, (0, 0), _FEATHER_PX)
        share = _looked_up(cast(Floats, soft), seen) * self._face_share
        rows, columns = np.nonzero(share > _SEEN)
        if len(rows) == 0:
            return
        nodes = tuple(
            slice(max(0, int(at.min()) - 4), min(side, int(at.max()) + 5))
            for at, side in zip((rows, columns), share.shape, strict=True)
        )
        pixels = tuple(slice(s.start * self._step, s.stop * self._step) for s in nodes)
        face = part[pixels]
        height, width = face.shape[:2]
        places = self._enlarged(seen[nodes])[:height, :width]
        mouth = cv2.remap(motion.shown, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        part[pixels] = put_in(
            face, self._toned(mouth), self._enlarged(share[nodes])[:height, :width], self._light
        )

    def _toned(self, pixels: Pixels) -> Pixels:
        """Without colours, where the picture has none."""
        return cast(Pixels, cv2.merge((gray_of(pixels),) * 3)) if self._gray else pixels

    def _enlarged(self, values: Floats) -> Floats:
        """Values of nodes as values of pixels."""
        if self._step == 1:
            return values.copy()
        size = values.shape[1] * self._step, values.shape[0] * self._step
        return cast(Floats, cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))


def _pair(x: NDArray[np.float64], y: NDArray[np.float64]) -> Floats:
    """`(h, w, 2)` of a row and a column."""
    return np.stack(np.broadcast_arrays(x, y), axis=2).astype(np.float32)


def _looked_up(values: Floats, places: Floats) -> Floats:
    return cast(Floats, cv2.remap(values, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))  # type: ignore[call-overload]


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
