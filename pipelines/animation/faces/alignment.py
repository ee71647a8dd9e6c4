"""Alignment of a face within its box by fitting a drawn template: no landmarks, no weights.

Two faces that are both fitted to one template match each other better than two that are fitted to each other: the
template holds what all faces share, and nothing of a particular one.
"""

import functools
import itertools
import math
from dataclasses import replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import (
    FacePlacement,
    Floats,
    compose,
    inverse,
    to_gray,
    view_to_face,
)
from pipelines.animation.faces.cascade import FaceBox
from pipelines.vision.types import Pixels

Adjustment = tuple[float, float, float, float]
"""From a box to the face in it: right and down in box sides, growth as the logarithm of a ratio, roll in radians."""

_SIDE_PX = 64
"""Side of the template, in pixels."""
_REACH = 0.65
"""How far the template reaches from the centre of the face, in box sides."""
_VIEW_PX, _VIEW_REACH = 128, 1.0
"""Side and reach of the view that the template is compared with: larger than the template, which moves over it."""
_NEIGHBOURHOOD_PX = 8
"""Standard deviation, in pixels of the view, of the neighbourhood whose brightness and contrast are removed."""
_MIN_CONTRAST = 5.0
"""Grey levels added to the local contrast, so that noise on flat skin is not amplified."""
_SHIFT, _GROWTH, _ROLL = 0.07, 0.12, 0.16
"""Expected error of a face box: shift in box sides, logarithm of the size, roll in radians. Scales the prior."""
_PRIOR_WEIGHT, _PRIOR_WEIGHT_DRAWN = 0.1, 0.05
"""Weight of the prior for a detected box, and for one that a user drew, which is less exact."""
_COARSE_SHIFTS = (-0.1, -0.05, 0.0, 0.05, 0.1)
_COARSE_GROWTH = (-0.15, 0.0, 0.15)
"""Grid that the search starts from: 5 x 5 shifts and three sizes, in units of `Adjustment`."""
_STEPS = (0.04, 0.02, 0.01, 0.005)
_STEP_SCALES = np.array((1.0, 1.0, 2.0, 2.0))
"""Steps of the hill climb, in units of `Adjustment`; growth and roll move the picture less, so they step twice as
far."""
EYE, MOUTH = (0.2, -0.105), (0.0, 0.262)
"""Where the right eye is in the template, and where the lips meet, in face coordinates."""
_LIP_REACH, _LIP_SPREAD, _LIP_HALF_WIDTH = 0.12, 0.04, 0.07
"""Search for the lip line, in box sides: how far up and down, the spread of its prior, and half the averaged width."""

_MIRRORED = (0.0, 0.06, 0.4, 0.48)
"""Ellipse of the face that is compared with its mirror image, in face coordinates: centre and half axes."""
_AXIS_SHIFT_PX, _MIRROR_BLUR_PX = 8, 1.5
"""Search for the axis of the mirror, in half pixels of the view to either side, and the blur before the comparison: no
face is symmetric to the pixel."""
_FLAT = 1e-6
"""Energy of a picture without any structure, which is rounding alone: its halves agree."""

_BLOBS = (
    # centre x and y, spread in x and y, tone; a blob off the centre line is drawn on both sides
    (0.200, -0.105, 0.080, 0.032, -1.00),  # eyes
    (0.205, -0.215, 0.100, 0.024, -0.55),  # brows
    (0.050, 0.118, 0.035, 0.020, -0.55),  # nostrils
    (0.210, 0.070, 0.090, 0.080, 0.45),  # cheeks
    (0.000, 0.000, 0.040, 0.090, 0.35),  # bridge of the nose
    (0.000, 0.262, 0.130, 0.018, -0.90),  # lips
    (0.000, 0.195, 0.100, 0.025, 0.25),  # upper lip
    (0.000, 0.355, 0.080, 0.022, -0.30),  # shadow of the lower lip
    (0.000, 0.440, 0.090, 0.050, 0.40),  # chin
    (0.000, -0.340, 0.220, 0.080, 0.40),  # forehead
)
"""The template as a sum of Gaussians, in face coordinates; tuned by hand."""
_OVAL = (0.0, 0.03, 0.40, 0.47)
"""Outline of the face in face coordinates: centre and half axes."""
_RING, _RING_WIDTH, _HAIR, _JAW = 1.17, 0.13, -0.6, -0.45
"""Ring around the outline, in its radii: where it lies, how wide it is, and its tone above (hair) and below (jaw)."""


def fit(picture: Pixels, box: FaceBox) -> FacePlacement:
    """Fit the template to the face in `box` of `picture` `(H, W, 3)` uint8 RGB; returns its position, size and roll.

    Takes some milliseconds. A box that is a tenth of its side and a seventh of its size off still leads to the face.
    """
    start = FacePlacement.from_box(box)
    equalised = equalise(to_gray(start.view(picture, _VIEW_PX, _VIEW_REACH)))
    prior_weight = _PRIOR_WEIGHT if box.votes else _PRIOR_WEIGHT_DRAWN
    grid = itertools.product(_COARSE_SHIFTS, _COARSE_SHIFTS, _COARSE_GROWTH)
    candidates = [(right, down, growth, 0.0) for right, down, growth in grid]
    best = _hill_climb(
        equalised,
        max(candidates, key=lambda candidate: _score(equalised, candidate, prior_weight)),
        prior_weight,
    )
    right, down, growth, roll = best
    placement = FacePlacement(
        start.x + right * start.size,
        start.y + down * start.size,
        start.size * float(np.exp(growth)),
        roll,
    )
    return replace(
        placement, lip_offset=find_lip_offset(placement, picture), score=_correlation(equalised, best)
    )


def _hill_climb(equalised: Floats, best: Adjustment, prior_weight: float) -> Adjustment:
    """Improve one coordinate at a time, by ever smaller steps, as long as the score rises."""
    best_score = _score(equalised, best, prior_weight)
    for step in _STEPS:
        improved = True
        while improved:
            improved = False
            for change in (*np.eye(4) * step * _STEP_SCALES, *np.eye(4) * -step * _STEP_SCALES):
                right, down, growth, roll = (np.array(best) + change).tolist()
                if (score := _score(equalised, (right, down, growth, roll), prior_weight)) > best_score:
                    best_score, best, improved = score, (right, down, growth, roll), True
    return best


def _score(equalised: Floats, change: Adjustment, prior_weight: float) -> float:
    """Return the correlation, less a penalty for an unlikely adjustment."""
    right, down, growth, roll = change
    distance = (right**2 + down**2) / _SHIFT**2 + growth**2 / _GROWTH**2 + roll**2 / _ROLL**2
    return _correlation(equalised, change) - prior_weight * distance


def _correlation(equalised: Floats, change: Adjustment) -> float:
    """Return the weighted correlation of the template with the adjusted face, -1 to 1."""
    right, down, growth, roll = change
    adjusted = FacePlacement(right, down, float(np.exp(growth)), roll).to_picture()
    face_to_view = inverse(view_to_face(_VIEW_PX, _VIEW_REACH))
    matrix = compose(compose(face_to_view, adjusted), view_to_face(_SIDE_PX, _REACH))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(
        equalised, matrix, (_SIDE_PX, _SIDE_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    template, weight = _template()
    view = view - float((view * weight).sum())
    return float((view * template * weight).sum() / np.sqrt(1e-6 + float((view * view * weight).sum())))


@functools.cache
def _template() -> tuple[Floats, Floats]:
    """Draw the template `(64, 64)`, mean 0 and deviation 1 under its weights; returns both. The weights sum to 1."""
    matrix = view_to_face(_SIDE_PX, _REACH)
    x = np.arange(_SIDE_PX) * matrix[0, 0] + matrix[0, 2]
    y = x[:, None]
    template = draw_blobs(_SIDE_PX, _REACH).copy()
    middle, height, across, down = _OVAL
    radius = np.hypot((x - middle) / across, (y - height) / down)
    ring = np.exp(-0.5 * ((radius - _RING) / _RING_WIDTH) ** 2)
    template += np.where(y < height, _HAIR, _JAW) * ring
    weight = 0.15 + np.exp(-0.5 * (radius / 0.85) ** 4)
    weight /= weight.sum()
    template -= (template * weight).sum()
    template /= np.sqrt((template**2 * weight).sum())
    return template.astype(np.float32), weight.astype(np.float32)


@functools.cache
def draw_blobs(side_px: int, reach: float) -> NDArray[np.float64]:
    """Draw the template without its outline on a view `(side_px, side_px)` of the given reach; cached, so read-only."""
    matrix = view_to_face(side_px, reach)
    x = np.arange(side_px) * matrix[0, 0] + matrix[0, 2]
    drawn = np.zeros((side_px, side_px))
    for middle, height, across, down, tone in _BLOBS:
        for side in {middle, -middle}:
            drawn += tone * np.exp(-0.5 * (((x - side) / across) ** 2 + ((x[:, None] - height) / down) ** 2))
    drawn.flags.writeable = False
    return drawn


def equalise(gray: Pixels) -> Floats:
    """Remove local brightness and contrast from a grey picture."""
    values = gray.astype(np.float32)
    deviation = values - cv2.GaussianBlur(values, (0, 0), _NEIGHBOURHOOD_PX, borderType=cv2.BORDER_REPLICATE)
    spread = cv2.GaussianBlur(
        deviation * deviation, (0, 0), _NEIGHBOURHOOD_PX, borderType=cv2.BORDER_REPLICATE
    )
    return cast(Floats, deviation / np.sqrt(spread + _MIN_CONTRAST**2))


def find_lip_offset(placement: FacePlacement, picture: Pixels) -> float:
    """Measure how far below the template's the lips meet, by the strongest dark line across the middle of the mouth."""
    side_px = 2 * _VIEW_PX
    view = to_gray(placement.view(picture, side_px, _VIEW_REACH))
    per_side = side_px / (2 * _VIEW_REACH)
    x, y = (round((position + _VIEW_REACH) * per_side) for position in MOUTH)
    reach, half = round(_LIP_REACH * per_side), round(_LIP_HALF_WIDTH * per_side)
    mouth = view[y - 2 * reach : y + 2 * reach + 1, x - half : x + half + 1]
    column = np.ones((2 * (round(0.06 * per_side) // 2) + 1, 1), np.uint8)
    dark = cv2.morphologyEx(mouth, cv2.MORPH_BLACKHAT, column).astype(np.float32).mean(axis=1)
    dark = cv2.GaussianBlur(dark[:, None], (1, 0), 1.0, sigmaY=1.0)[:, 0] if dark.any() else dark
    offsets = np.arange(-2 * reach, 2 * reach + 1) / per_side
    weighted = dark * np.exp(-0.5 * (offsets / _LIP_SPREAD) ** 2) * (np.abs(offsets) <= _LIP_REACH)
    return float(offsets[int(weighted.argmax())]) if weighted.any() else 0.0


def measure_symmetry(placement: FacePlacement, picture: Pixels) -> float:
    """Return the correlation of a face with its mirror image, -1 to 1: high for a face seen from the front.

    Local brightness and contrast are removed first, so that light from one side does not count.
    """
    view = equalise(to_gray(placement.view(picture, _VIEW_PX, _VIEW_REACH)))
    view = cast(Floats, cv2.GaussianBlur(view, (0, 0), _MIRROR_BLUR_PX))
    mirrored, per_side = view[:, ::-1], _VIEW_PX / (2 * _VIEW_REACH)
    middle, height, across, down = _MIRRORED
    position = (np.arange(_VIEW_PX) + 0.5) / per_side - _VIEW_REACH
    best = -1.0
    for shift in range(-_AXIS_SHIFT_PX, _AXIS_SHIFT_PX + 1):
        axis = middle + shift / 2 / per_side
        inside = np.hypot((position - axis) / across, (position[:, None] - height) / down) < 1
        pair = np.stack((view[inside], np.roll(mirrored, shift, axis=1)[inside]))
        pair -= pair.mean(axis=1, keepdims=True)
        energy = math.sqrt(float((pair**2).sum(axis=1).prod()))
        best = max(best, float(pair.prod(axis=0).sum()) / energy if energy > _FLAT else 1.0)
    return best
