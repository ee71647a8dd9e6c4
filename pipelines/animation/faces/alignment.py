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
    compose,
    inverse,
    to_gray,
    view_to_face,
)
from pipelines.animation.faces.cascade import FaceBox
from pipelines.stages import Pixels

Adjustment = tuple[float, float, float, float]
"""From a box to a face: right, down, in sides; growth, the logarithm of a ratio; turn, in radians."""

_SIDE_PX = 64
_REACH = 0.65
"""The drawing covers this much to either side of the middle."""
_VIEW_PX, _VIEW_REACH = 128, 1.0
_NEIGHBOURHOOD_PX = 8
"""Standard deviation of what counts as nearby in a view."""
_MIN_CONTRAST = 5.0
_SHIFT, _GROWTH, _TURN = 0.07, 0.12, 0.16
"""How far a face may well be from its box: in sides, in the logarithm of its size, in radians."""
_PRIOR_WEIGHT, _PRIOR_WEIGHT_DRAWN = 0.1, 0.05
"""How much a face is held to a box that was found, and to one that somebody drew."""
_COARSE_SHIFTS = (-0.1, -0.05, 0.0, 0.05, 0.1)
_COARSE_GROWTH = (-0.15, 0.0, 0.15)
_STEPS = (0.04, 0.02, 0.01, 0.005)
_STEP_SCALES = np.array((1.0, 1.0, 2.0, 2.0))
_MOUTH = (0.0, 0.262)
"""Where the lips meet on the drawing."""
_LIP_REACH, _LIP_SPREAD, _LIP_HALF_WIDTH = 0.12, 0.04, 0.07

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
    box_placement = FacePlacement.from_box(box)
    view = to_gray(box_placement.view(picture, _VIEW_PX, _VIEW_REACH))
    equalised = _equalise(view)
    prior = _PRIOR_WEIGHT if box.votes else _PRIOR_WEIGHT_DRAWN
    grid = itertools.product(_COARSE_SHIFTS, _COARSE_SHIFTS, _COARSE_GROWTH)
    candidates = [(right, down, growth, 0.0) for right, down, growth in grid]
    best = _hill_climb(
        equalised, max(candidates, key=lambda candidate: _score(equalised, candidate, prior)), prior
    )
    right, down, growth, roll = best
    placed = FacePlacement(
        box_placement.x + right * box_placement.size,
        box_placement.y + down * box_placement.size,
        box_placement.size * float(np.exp(growth)),
        roll,
    )
    return replace(placed, lip_offset=_find_lip_offset(placed, picture), score=_correlation(equalised, best))


def _hill_climb(equalised: Floats, best: Adjustment, prior: float) -> Adjustment:
    """One coordinate at a time, by ever smaller steps, as long as it gets better."""
    best_score = _score(equalised, best, prior)
    for step in _STEPS:
        improved = True
        while improved:
            improved = False
            for change in (*np.eye(4) * step * _STEP_SCALES, *np.eye(4) * -step * _STEP_SCALES):
                right, down, growth, roll = (np.array(best) + change).tolist()
                if (score := _score(equalised, (right, down, growth, roll), prior)) > best_score:
                    best_score, best, improved = score, (right, down, growth, roll), True
    return best


def _score(equalised: Floats, change: Adjustment, prior: float) -> float:
    """Likeness, less how unlikely the change is."""
    right, down, growth, roll = change
    distance = (right**2 + down**2) / _SHIFT**2 + growth**2 / _GROWTH**2 + roll**2 / _TURN**2
    return _correlation(equalised, change) - prior * distance


def _correlation(equalised: Floats, change: Adjustment) -> float:
    """Weighted correlation of the drawing with the face placed so, -1 to 1."""
    right, down, growth, roll = change
    face_to_view = FacePlacement(right, down, float(np.exp(growth)), roll).to_picture()
    to_view = inverse(view_to_face(_VIEW_PX, _VIEW_REACH))
    matrix = compose(compose(to_view, face_to_view), view_to_face(_SIDE_PX, _REACH))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sampled = cv2.warpAffine(
        equalised, matrix, (_SIDE_PX, _SIDE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    template, weight = _template()
    sampled = sampled - float((sampled * weight).sum())
    return float(
        (sampled * template * weight).sum() / np.sqrt(1e-6 + float((sampled * sampled * weight).sum()))
    )


@functools.cache
def _template() -> tuple[Floats, Floats]:
    """The face `(64, 64)`, of mean 0 and deviation 1 under its weights, which sum to 1."""
    face_to_view = view_to_face(_SIDE_PX, _REACH)
    x = np.arange(_SIDE_PX) * face_to_view[0, 0] + face_to_view[0, 2]
    y = x[:, None]
    template = np.zeros((_SIDE_PX, _SIDE_PX))
    for middle, height, across, down, tone in _BLOBS:
        for side in {middle, -middle}:
            template += tone * np.exp(-0.5 * (((x - side) / across) ** 2 + ((y - height) / down) ** 2))
    middle, height, across, down = _OVAL
    radius = np.hypot((x - middle) / across, (y - height) / down)
    ring = np.exp(-0.5 * ((radius - _RING) / _RING_WIDTH) ** 2)
    template += np.where(y < height, _HAIR, _JAW) * ring
    weight = 0.15 + np.exp(-0.5 * (radius / 0.85) ** 4)
    weight /= weight.sum()
    template -= (template * weight).sum()
    template /= np.sqrt((template**2 * weight).sum())
    return template.astype(np.float32), weight.astype(np.float32)


def _equalise(gray: Pixels) -> Floats:
    """Grey without light and contrast of the surroundings."""
    values = gray.astype(np.float32)
    deviation = values - cv2.GaussianBlur(values, (0, 0), _NEIGHBOURHOOD_PX, borderType=cv2.BORDER_REPLICATE)
    spread = cv2.GaussianBlur(
        deviation * deviation, (0, 0), _NEIGHBOURHOOD_PX, borderType=cv2.BORDER_REPLICATE
    )
    return cast(Floats, deviation / np.sqrt(spread + _MIN_CONTRAST**2))


def _find_lip_offset(placed: FacePlacement, picture: Pixels) -> float:
    """How far below the drawing's the lips meet: the strongest dark line across the middle of the mouth."""
    side_px = 2 * _VIEW_PX
    view = to_gray(placed.view(picture, side_px, _VIEW_REACH))
    per_side = side_px / (2 * _VIEW_REACH)
    x, y = (round((face_to_view + _VIEW_REACH) * per_side) for face_to_view in _MOUTH)
    reach, half = round(_LIP_REACH * per_side), round(_LIP_HALF_WIDTH * per_side)
    mouth = view[y - 2 * reach : y + 2 * reach + 1, x - half : x + half + 1]
    column = np.ones((2 * (round(0.06 * per_side) // 2) + 1, 1), np.uint8)
    dark = cv2.morphologyEx(mouth, cv2.MORPH_BLACKHAT, column).astype(np.float32).mean(axis=1)
    dark = cv2.GaussianBlur(dark[:, None], (1, 0), 1.0, sigmaY=1.0)[:, 0] if dark.any() else dark
    below = np.arange(-2 * reach, 2 * reach + 1) / per_side
    likely = dark * np.exp(-0.5 * (below / _LIP_SPREAD) ** 2) * (np.abs(below) <= _LIP_REACH)
    return float(below[int(likely.argmax())]) if likely.any() else 0.0
