"""Where a face lies within its box, told by fitting a face that is drawn: no landmarks, no weights.

Two faces that are both fitted to one drawing lie on each other better than two that are fitted to each other:
a drawing has what all faces share, and nothing of any one of them.
"""

import functools
import itertools
from dataclasses import replace
from typing import cast

import cv2
import numpy as np

from pipelines.animation.faces.aligned_view import (
    FacePlacement,
    Floats,
    from_pixels,
    gray_of,
    inverse,
    joined,
)
from pipelines.animation.faces.cascade import FaceBox
from pipelines.vision.types import Pixels

Change = tuple[float, float, float, float]
"""From a box to a face: right, down, in sides; growth, the logarithm of a ratio; turn, in radians."""

_SIDE_PX = 64
_REACH = 0.65
"""The drawing covers this much to either side of the middle."""
_VIEW_PX, _VIEW_REACH = 128, 1.0
_EVEN_PX = 8
"""Standard deviation of what counts as nearby in a view."""
_LEAST_CONTRAST = 5.0
_SHIFT, _GROWTH, _TURN = 0.07, 0.12, 0.16
"""How far a face may well be from its box: in sides, in the logarithm of its size, in radians."""
_PRIOR, _PRIOR_DRAWN = 0.1, 0.05
"""How much a face is held to a box that was found, and to one that somebody drew."""
_COARSE = (-0.1, -0.05, 0.0, 0.05, 0.1)
_COARSE_GROWTH = (-0.15, 0.0, 0.15)
_STEPS = (0.04, 0.02, 0.01, 0.005)
_PACES = np.array((1.0, 1.0, 2.0, 2.0))
_MOUTH = (0.0, 0.262)
"""Where the lips meet on the drawing."""
_SLIT_REACH, _SLIT_SPREAD, _SLIT_HALF_WIDTH = 0.12, 0.04, 0.07

_BLOBS = (
    # x, y, spread across, spread down, tone; those beside the middle stand for both sides
    (0.200, -0.105, 0.080, 0.032, -1.00),  # eyes
    (0.205, -0.215, 0.100, 0.024, -0.55),  # brows
    (0.050, 0.118, 0.035, 0.020, -0.55),  # nostrils
    (0.210, 0.070, 0.090, 0.080, 0.45),  # cheeks
    (0.000, 0.000, 0.040, 0.090, 0.35),  # bridge of the nose
    (0.000, 0.262, 0.130, 0.018, -0.90),  # lips
    (0.000, 0.195, 0.100, 0.025, 0.25),  # above them
    (0.000, 0.355, 0.080, 0.022, -0.30),  # below them
    (0.000, 0.440, 0.090, 0.050, 0.40),  # chin
    (0.000, -0.340, 0.220, 0.080, 0.40),  # forehead
)
_OVAL = (0.0, 0.03, 0.40, 0.47)
_RING, _RING_WIDTH, _HAIR, _JAW = 1.17, 0.13, -0.6, -0.45


def fit(picture: Pixels, box: FaceBox) -> FacePlacement:
    """The face in `box` of `picture` `(H, W, 3)` uint8 RGB: moved, sized and turned until it looks like the drawing.

    Takes some milliseconds; a box that is off by a tenth in place and a seventh in size still leads to the face.
    """
    start = FacePlacement.of(box)
    view = gray_of(start.view(picture, _VIEW_PX, _VIEW_REACH))
    even = _even(view)
    prior = _PRIOR if box.votes else _PRIOR_DRAWN
    grid = itertools.product(_COARSE, _COARSE, _COARSE_GROWTH)
    places = [(right, down, growth, 0.0) for right, down, growth in grid]
    found = _climbed(even, max(places, key=lambda tried: _score(even, tried, prior)), prior)
    right, down, growth, turn = found
    placed = FacePlacement(
        start.x + right * start.size, start.y + down * start.size, start.size * float(np.exp(growth)), turn
    )
    return replace(placed, slit=_slit(placed, picture), likeness=_likeness(even, found))


def _climbed(even: Floats, found: Change, prior: float) -> Change:
    """One coordinate at a time, by ever smaller steps, as long as it gets better."""
    best = _score(even, found, prior)
    for step in _STEPS:
        better = True
        while better:
            better = False
            for change in (*np.eye(4) * step * _PACES, *np.eye(4) * -step * _PACES):
                right, down, growth, turn = (np.array(found) + change).tolist()
                if (score := _score(even, (right, down, growth, turn), prior)) > best:
                    best, found, better = score, (right, down, growth, turn), True
    return found


def _score(even: Floats, change: Change, prior: float) -> float:
    """Likeness, less how unlikely the change is."""
    right, down, growth, turn = change
    far = (right**2 + down**2) / _SHIFT**2 + growth**2 / _GROWTH**2 + turn**2 / _TURN**2
    return _likeness(even, change) - prior * far


def _likeness(even: Floats, change: Change) -> float:
    """Weighted correlation of the drawing with the face placed so, -1 to 1."""
    right, down, growth, turn = change
    place = FacePlacement(right, down, float(np.exp(growth)), turn).to_picture()
    to_view = inverse(from_pixels(_VIEW_PX, _VIEW_REACH))
    matrix = joined(joined(to_view, place), from_pixels(_SIDE_PX, _REACH))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(even, matrix, (_SIDE_PX, _SIDE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    drawn, weight = _drawing()
    seen = seen - float((seen * weight).sum())
    return float((seen * drawn * weight).sum() / np.sqrt(1e-6 + float((seen * seen * weight).sum())))


@functools.cache
def _drawing() -> tuple[Floats, Floats]:
    """The face `(64, 64)`, of mean 0 and deviation 1 under its weights, which sum to 1."""
    place = from_pixels(_SIDE_PX, _REACH)
    x = np.arange(_SIDE_PX) * place[0, 0] + place[0, 2]
    y = x[:, None]
    drawn = np.zeros((_SIDE_PX, _SIDE_PX))
    for middle, height, across, down, tone in _BLOBS:
        for side in {middle, -middle}:
            drawn += tone * np.exp(-0.5 * (((x - side) / across) ** 2 + ((y - height) / down) ** 2))
    middle, height, across, down = _OVAL
    out = np.hypot((x - middle) / across, (y - height) / down)
    ring = np.exp(-0.5 * ((out - _RING) / _RING_WIDTH) ** 2)
    drawn += np.where(y < height, _HAIR, _JAW) * ring
    weight = 0.15 + np.exp(-0.5 * (out / 0.85) ** 4)
    weight /= weight.sum()
    drawn -= (drawn * weight).sum()
    drawn /= np.sqrt((drawn**2 * weight).sum())
    return drawn.astype(np.float32), weight.astype(np.float32)


def _even(gray: Pixels) -> Floats:
    """Grey without light and contrast of the surroundings."""
    values = gray.astype(np.float32)
    off = values - cv2.GaussianBlur(values, (0, 0), _EVEN_PX, borderType=cv2.BORDER_REPLICATE)
    spread = cv2.GaussianBlur(off * off, (0, 0), _EVEN_PX, borderType=cv2.BORDER_REPLICATE)
    return cast(Floats, off / np.sqrt(spread + _LEAST_CONTRAST**2))


def _slit(placed: FacePlacement, picture: Pixels) -> float:
    """How far below the drawing's the lips meet: the strongest dark line across the middle of the mouth."""
    side_px = 2 * _VIEW_PX
    view = gray_of(placed.view(picture, side_px, _VIEW_REACH))
    per_side = side_px / (2 * _VIEW_REACH)
    x, y = (round((place + _VIEW_REACH) * per_side) for place in _MOUTH)
    reach, half = round(_SLIT_REACH * per_side), round(_SLIT_HALF_WIDTH * per_side)
    mouth = view[y - 2 * reach : y + 2 * reach + 1, x - half : x + half + 1]
    column = np.ones((2 * (round(0.06 * per_side) // 2) + 1, 1), np.uint8)
    dark = cv2.morphologyEx(mouth, cv2.MORPH_BLACKHAT, column).astype(np.float32).mean(axis=1)
    dark = cv2.GaussianBlur(dark[:, None], (1, 0), 1.0, sigmaY=1.0)[:, 0] if dark.any() else dark
    below = np.arange(-2 * reach, 2 * reach + 1) / per_side
    likely = dark * np.exp(-0.5 * (below / _SLIT_SPREAD) ** 2) * (np.abs(below) <= _SLIT_REACH)
    return float(below[int(likely.argmax())]) if likely.any() else 0.0
