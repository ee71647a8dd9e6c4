"""Motion and light over a face, drawn from what is sure of them: smooth, and outside the face a mere continuation."""

from typing import cast

import cv2
import numpy as np

from pipelines.animation.face_view import EYES_APART, PER_SIDE, SIDE_PX, Floats, ellipse

FACE = (0.0, 0.06, 0.44, 0.52)
"""The face as an ellipse of the view: middle and half axes, in box sides."""

_FINE_PX, _NEAR_PX, _FAR_PX, _LIGHT_PX = 1.3, 5.0, 16.0, 8.0
"""Standard deviations of what counts as close, near and far."""
_SHRINK, _SHRINK_FAR = 2, 8
_KNOWN, _KNOWN_NEAR = 0.3, 0.02
_TRACE = 1e-4
_LIMIT_PX = 0.3 * EYES_APART * PER_SIDE
_EYE = (0.2, -0.12, 0.16, 0.11)
_LIDS = 1.7
"""How much more lids move than flow can tell: what they cover and uncover leads nowhere."""


class FaceField:
    """Draws the motion of a face from flow; holds two masks."""

    def __init__(self) -> None:
        self._inside = ellipse(FACE, 0.05)[..., None]
        eyes = [ellipse((side * _EYE[0], *_EYE[1:]), 0.6) for side in (-1, 1)]
        self._lids = (_LIDS - 1) * np.maximum(*eyes)

    def drawn(self, rest: Floats, sure: Floats) -> Floats:
        """`rest` `(SIDE_PX, SIDE_PX, 2)` smoothed where it is sure, `sure` `(SIDE_PX, SIDE_PX)` being 0 to 1.

        Outside the face a continuation of what is inside, never what flow says: what moves there is cloth and
        background. Lids move farther than flow tells. Nothing moves farther than .3 eye distances.
        """
        weighted = np.dstack((rest * sure[..., None], sure))
        far, _ = _mean(_smaller(weighted, _SHRINK_FAR), _FAR_PX / _SHRINK_FAR)
        near, known = _mean(_smaller(weighted, _SHRINK), _NEAR_PX / _SHRINK)
        far = _larger(far, SIDE_PX // _SHRINK)
        drawn = _larger(far + (near - far) * np.minimum(1, known / _KNOWN_NEAR), SIDE_PX)
        fine, known = _mean(weighted, _FINE_PX)
        drawn += (fine - drawn) * (np.minimum(1, known / _KNOWN) * self._inside)
        drawn[..., 1] += (drawn[..., 1] - _larger(far[..., 1], SIDE_PX)) * self._lids
        length = np.hypot(drawn[..., 0], drawn[..., 1])[..., None]
        shorter = np.tanh(length / _LIMIT_PX) * np.float32(_LIMIT_PX) / np.maximum(length, _TRACE)
        return cast(Floats, drawn * shorter)


def light(unlike: Floats, sure: Floats) -> Floats:
    """What of a difference in grey `(SIDE_PX, SIDE_PX)` changes slowly over the face, where it is sure."""
    mean, _ = _mean(_smaller(np.dstack((unlike * sure, sure)), _SHRINK), _LIGHT_PX / _SHRINK)
    return _larger(mean, SIDE_PX)


def _mean(weighted: Floats, spread: float) -> tuple[Floats, Floats]:
    """The mean of values nearby `(h, w, C)`, and how well it is known `(h, w, 1)`; `weighted` ends with the weight."""
    near = cast(Floats, cv2.GaussianBlur(weighted, (0, 0), spread))
    known = near[..., -1:]
    return near[..., :-1] / (known + np.float32(_TRACE)), known


def _smaller(values: Floats, times: int) -> Floats:
    return cast(Floats, cv2.resize(values, (SIDE_PX // times,) * 2, interpolation=cv2.INTER_AREA))


def _larger(values: Floats, side_px: int) -> Floats:
    return cast(Floats, cv2.resize(values, (side_px, side_px), interpolation=cv2.INTER_LINEAR))
