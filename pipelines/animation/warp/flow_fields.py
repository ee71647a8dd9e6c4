"""Dense motion and light over a face from confident pixels: smooth inside, extrapolated outside."""

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
"""Ellipse of the face in face coordinates: centre and half axes."""

_FINE_PX, _NEAR_PX, _FAR_PX, _LIGHT_PX = 1.3, 5.0, 16.0, 8.0
"""Standard deviations of the smoothing in pixels of the view: details, near, far, and light."""
_SHRINK, _SHRINK_FAR = 2, 8
"""Factors by which the near and the far field are shrunk before they are smoothed."""
_FULL_WEIGHT, _FULL_WEIGHT_NEAR = 0.3, 0.02
"""Smoothed certainty from which the fine and the near field count in full."""
_EPSILON = 1e-4
"""Keeps divisions by a weight or length of 0 defined."""
_LIMIT_PX = 0.3 * EYES_APART * PER_SIDE
"""Longest motion of a part of the face: 0.3 eye distances."""
_EYE = (0.2, -0.12, 0.16, 0.11)
"""Ellipse of the right eye in face coordinates: centre and half axes."""
_LID_GAIN = 1.7
"""Factor on the motion of lids, which flow underestimates: what they cover and uncover has no counterpart."""


class FaceField:
    """Dense motion of a face from flow; holds two masks."""

    def __init__(self) -> None:
        self._inside = ellipse(FACE, 0.05)[CORE]
        eyes = [ellipse((side * _EYE[0], *_EYE[1:]), 0.6)[CORE] for side in (-1, 1)]
        self._lid_gain = (_LID_GAIN - 1) * np.maximum(*eyes)

    def dense(self, residual: Floats, certainty: Floats) -> Floats:
        """Smooth the motion `(h, w, 2)` of the core and extend it to the whole view `(SIDE_PX, SIDE_PX, 2)`.

        `certainty` `(h, w)` weights the smoothing, 0 to 1, and is 0 outside the face. There the field is extrapolated
        from the inside, never taken from the flow: what moves there is cloth and background. Lids move farther than
        their flow, and nothing farther than 0.3 eye distances.
        """
        x, y = cv2.split(residual)
        weighted = _merge(x * certainty, y * certainty, certainty)
        far_mean, _ = _weighted_mean(
            pad_core(_shrink(weighted, _SHRINK_FAR), _SHRINK_FAR), _FAR_PX / _SHRINK_FAR
        )
        near_mean, weight = _weighted_mean(pad_core(_shrink(weighted, _SHRINK), _SHRINK), _NEAR_PX / _SHRINK)
        far_mean = _enlarge(far_mean, SIDE_PX // _SHRINK)
        coarse = far_mean + (near_mean - far_mean) * np.minimum(1, weight / _FULL_WEIGHT_NEAR)[..., None]
        field = _enlarge(_limit(coarse), SIDE_PX)
        # Once more at full resolution, for detail within the face.
        fine, weight = _weighted_mean(weighted, _FINE_PX)
        rows, columns = CORE
        core = _enlarge(coarse, SIDE_PX)[rows, columns]
        core = core + (fine - core) * (np.minimum(1, weight / _FULL_WEIGHT) * self._inside)[..., None]
        core[..., 1] += (core[..., 1] - _enlarge(far_mean[..., 1], SIDE_PX)[rows, columns]) * self._lid_gain
        field[rows, columns] = _limit(core)
        return field


def smooth_brightness(difference: Floats, certainty: Floats) -> Floats:
    """Return the slow part of a grey difference `(h, w)` of the core, weighted by certainty."""
    mean, _ = _weighted_mean(_shrink(_merge(difference * certainty, certainty), _SHRINK), _LIGHT_PX / _SHRINK)
    size = difference.shape[1], difference.shape[0]
    return cast(Floats, cv2.resize(mean, size, interpolation=cv2.INTER_LINEAR))


def _limit(motion: Floats) -> Floats:
    """Shorten long motion smoothly to at most `_LIMIT_PX`."""
    x, y = cv2.split(motion)
    length = np.maximum(cv2.magnitude(x, y), np.float32(_EPSILON))
    factor = np.tanh(length / _LIMIT_PX) * np.float32(_LIMIT_PX) / length
    return _merge(x * factor, y * factor)


def _weighted_mean(weighted: Floats, spread: float) -> tuple[Floats, Floats]:
    """Return the mean of nearby values `(h, w[, C])`, and their weight `(h, w)`; `weighted` ends with the weight."""
    *values, weight = cv2.split(cv2.GaussianBlur(weighted, (0, 0), spread))
    inverse_weight = 1 / (weight + np.float32(_EPSILON))
    return _merge(*(plane * inverse_weight for plane in values)), cast(Floats, weight)


def _merge(*planes: MatLike) -> Floats:
    return cast(Floats, cv2.merge(planes))


def _shrink(values: Floats, times: int) -> Floats:
    size = values.shape[1] // times, values.shape[0] // times
    return cast(Floats, cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _enlarge(values: Floats, side_px: int) -> Floats:
    return cast(Floats, cv2.resize(values, (side_px, side_px), interpolation=cv2.INTER_LINEAR))
