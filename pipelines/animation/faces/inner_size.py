"""Size of a face by what is inside it: how far the eyes are apart, and how far the mouth is below them.

The template (`alignment`) finds a face by its outline and hair, too, which differ more between two people than their
features do. What one face does is shown on another in the right size if their features, not their heads, are as large.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import FacePlacement, Floats, to_gray
from pipelines.animation.faces.alignment import (
    EYE,
    MOUTH,
    draw_blobs,
    equalise,
    find_lip_offset,
)
from pipelines.vision.types import Pixels

_VIEW_PX, _REACH = 128, 1.0
"""Side and reach of the view on which eyes are searched."""
_EYE_REACH = (0.13, 0.10)
"""How far the compared patch reaches from an eye to the side and up or down, in box sides: it holds the brow."""
_SEARCH, _FAR, _FAR_WEIGHT = 0.11, 0.06, 0.02
"""How far an eye is searched from the template's, and what a distance of the second number costs, squared beyond. Over
13 portraits and 2 drivings the size then deviates by 3 % from that by the landmarks of MediaPipe, the template's by
7 %; other numbers near these give 3 to 4 %."""
_MOST_GROWTH = 0.15
"""Largest logarithm of the ratio of sizes: a larger one is a mistake."""


def match_size(
    placement: FacePlacement, picture: Pixels, other: FacePlacement, shown: Pixels
) -> FacePlacement:
    """Resize `placement` of the face in `picture` until its features are as far apart as those of `other` in `shown`.

    The pictures are `(H, W, 3)` uint8 RGB. The point between eyes and mouth stays where it is.
    """
    growth = math.log(measure_features(placement, picture) / measure_features(other, shown))
    growth = min(_MOST_GROWTH, max(-_MOST_GROWTH, growth))
    size = placement.size * math.exp(growth)
    middle = (EYE[1] + MOUTH[1]) / 2
    right, down = (placement.to_picture()[:, 1] * middle * (1 - math.exp(growth))).tolist()
    resized = replace(placement, x=placement.x + right, y=placement.y + down, size=size)
    return replace(resized, lip_offset=find_lip_offset(resized, picture))


def measure_features(placement: FacePlacement, picture: Pixels) -> float:
    """Measure the distance of the eyes, and that from the eyes to the lips; return their geometric mean in box sides.

    A turned head brings the eyes closer, a nod the lips: their mean changes less than either.
    """
    view = equalise(to_gray(placement.view(picture, _VIEW_PX, _REACH)))
    (left, left_down), (right, right_down) = (_find_eye(view, side) for side in (-1, 1))
    apart = 2 * EYE[0] + right - left
    below = MOUTH[1] - EYE[1] + placement.lip_offset - (left_down + right_down) / 2
    return math.sqrt(apart * below)


def _find_eye(view: Floats, side: int) -> tuple[float, float]:
    """Return how far an eye (`side` -1 for the left one) is to the right of and below the template's, in box sides."""
    per_side = _VIEW_PX / (2 * _REACH)
    x, y = side * EYE[0], EYE[1]
    across, down = _EYE_REACH
    left, right = round((x - across + _REACH) * per_side), round((x + across + _REACH) * per_side)
    top, bottom = round((y - down + _REACH) * per_side), round((y + down + _REACH) * per_side)
    patch = draw_blobs(_VIEW_PX, _REACH)[top:bottom, left:right].astype(np.float32)
    reach = round(_SEARCH * per_side)
    area = view[top - reach : bottom + reach, left - reach : right + reach]
    found = cv2.matchTemplate(area, patch, cv2.TM_CCOEFF_NORMED)
    offsets = np.arange(-reach, reach + 1) / per_side
    found = found - _FAR_WEIGHT * (offsets**2 + (offsets**2)[:, None]) / _FAR**2
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    return (
        float(offsets[column]) + _peak(found[row], int(column)) / per_side,
        float(offsets[row]) + _peak(found[:, column], int(row)) / per_side,
    )


def _peak(values: NDArray[np.float64], at: int) -> float:
    """Return where a parabola through the largest value and its neighbours is largest, from `at`, -0.5 to 0.5."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[at - 1 : at + 2])
    bend = before - 2 * here + after
    return max(-0.5, min(0.5, (before - after) / (2 * bend))) if bend else 0.0
