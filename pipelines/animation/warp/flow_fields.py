"""Motion and light over a face, drawn from what is sure of them: smooth, and outside the face a mere continuation."""

from typing import cast

import cv2
import numpy as np
from cv2.typing import MatLike

from pipelines.animation.faces.aligned_view import (
    CORE,
    EYES_APART,
    PER_SIDE,
    SIDE_PX,
    Floats,
    ellipse,
    pad_core,
)

FACE = (0.0, 0.06, 0.44, 0.52)
"""The face as an ellipse of the view: middle and half axes, in box sides."""

_FINE_PX, _NEAR_PX, _FAR_PX, _LIGHT_PX = 1.3, 5.0, 16.0, 8.0
"""Standard deviations of what counts as close, near and far."""
_SHRINK, _SHRINK_FAR = 2, 8
_FULL_WEIGHT, _FULL_WEIGHT_NEAR = 0.3, 0.02
_EPSILON = 1e-4
_LIMIT_PX = 0.3 * EYES_APART * PER_SIDE
_EYE = (0.2, -0.12, 0.16, 0.11)
_LID_GAIN = 1.7
"""How much more lids move than flow can tell: what they cover and uncover leads nowhere."""


class FaceField:
    """Draws the motion of a face from flow; holds two masks."""

    def __init__(self) -> None:
        self._inside = ellipse(FACE, 0.05)[CORE]
        eyes = [ellipse((side * _EYE[0], *_EYE[1:]), 0.6)[CORE] for side in (-1, 1)]
        self._lid_gain = (_LID_GAIN - 1) * np.maximum(*eyes)

    def dense(self, residual: Floats, certainty: Floats) -> Floats:
        """`rest` `(h, w, 2)` of the core, smoothed where it is sure, for the whole view `(SIDE_PX, SIDE_PX, 2)`.

        `sure` `(h, w)` is 0 to 1, and 0 outside the face. There it is a continuation of what is inside, never what flow
        says: what moves there is cloth and background. Lids move farther than flow tells. Nothing moves farther than .3
        eye distances.
        """
        x, y = cv2.split(residual)
        weighted = _merge(x * certainty, y * certainty, certainty)
        far_mean, _ = _weighted_mean(
            pad_core(_shrink(weighted, _SHRINK_FAR), _SHRINK_FAR), _FAR_PX / _SHRINK_FAR
        )
        near_mean, weight = _weighted_mean(pad_core(_shrink(weighted, _SHRINK), _SHRINK), _NEAR_PX / _SHRINK)
        far_mean = _enlarge(far_mean, SIDE_PX // _SHRINK)
        coarse = far_mean + (near_mean - far_mean) * np.minimum(1, weight / _FULL_WEIGHT_NEAR)[..., None]
        drawn = _enlarge(_limit(coarse), SIDE_PX)
        # The same once more, with what only the face itself shows.
        fine, weight = _weighted_mean(weighted, _FINE_PX)
        rows, columns = CORE
        core = _enlarge(coarse, SIDE_PX)[rows, columns]
        core = core + (fine - core) * (np.minimum(1, weight / _FULL_WEIGHT) * self._inside)[..., None]
        core[..., 1] += (core[..., 1] - _enlarge(far_mean[..., 1], SIDE_PX)[rows, columns]) * self._lid_gain
        drawn[rows, columns] = _limit(core)
        return drawn


def smooth_brightness(difference: Floats, certainty: Floats) -> Floats:
    """What of a difference in grey `(h, w)` of the core changes slowly over the face, where it is sure."""
    mean, _ = _weighted_mean(_shrink(_merge(difference * certainty, certainty), _SHRINK), _LIGHT_PX / _SHRINK)
    size = difference.shape[1], difference.shape[0]
    return cast(Floats, cv2.resize(mean, size, interpolation=cv2.INTER_LINEAR))


def _limit(motion: Floats) -> Floats:
    x, y = cv2.split(motion)
    length = np.maximum(cv2.magnitude(x, y), np.float32(_EPSILON))
    factor = np.tanh(length / _LIMIT_PX) * np.float32(_LIMIT_PX) / length
    return _merge(x * factor, y * factor)


def _weighted_mean(weighted: Floats, spread: float) -> tuple[Floats, Floats]:
    """The mean of values nearby `(h, w[, C])`, and how well it is known `(h, w)`; `weighted` ends with the weight."""
    *values, weight = cv2.split(cv2.GaussianBlur(weighted, (0, 0), spread))
    share = 1 / (weight + np.float32(_EPSILON))
    return _merge(*(plane * share for plane in values)), cast(Floats, weight)


def _merge(*planes: MatLike) -> Floats:
    return cast(Floats, cv2.merge(planes))


def _shrink(values: Floats, times: int) -> Floats:
    size = values.shape[1] // times, values.shape[0] // times
    return cast(Floats, cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _enlarge(values: Floats, side_px: int) -> Floats:
    return cast(Floats, cv2.resize(values, (side_px, side_px), interpolation=cv2.INTER_LINEAR))
