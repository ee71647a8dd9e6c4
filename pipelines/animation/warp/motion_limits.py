"""How much motion a driving face asks for, and how much of it a bent picture can follow."""

import functools
import math
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.aligned_view import (
    CORE,
    EYES_APART,
    PER_SIDE,
    REACH,
    Floats,
    Matrix,
    ellipse,
    inverse,
)
from pipelines.animation.warp.driving_flow import Motion
from pipelines.animation.warp.flow_fields import FACE

WARN_DEGREES, WARN_SHIFT = 20.0, 0.3
"""From here on a bent picture shows that it is one."""

_SHIFT, _TURN, _GROWTH = (0.25, 0.45), (math.radians(15), math.radians(25)), (0.15, 0.3)
"""Up to the first followed as it is, never beyond the second: eye distances, radians, logarithm of the size."""
_CENTRE = np.array(((FACE[0] + REACH) * PER_SIDE - 0.5, (FACE[1] + REACH) * PER_SIDE - 0.5))
_NOSE = (0.0, 0.05, 0.1, 0.12)
_NOSE_AHEAD = 0.45
"""How far the nose is before the rim of the face, in eye distances: so far it moves over it when a head turns."""


Shift = NDArray[np.float64]
"""`(2,)`."""


@dataclass(frozen=True)
class MotionExtent:
    """Against the first driving frame: how far the head moved, in eye distances, and turned, about, in degrees."""

    shift: float = 0.0
    degrees: float = 0.0

    def merged(self, other: "MotionExtent") -> "MotionExtent":
        """The larger of each."""
        return MotionExtent(max(self.shift, other.shift), max(self.degrees, other.degrees))

    def warning(self) -> str | None:
        """A sentence where it is more than a bent picture can follow; None where it is not."""
        much = []
        if self.shift > WARN_SHIFT:
            much.append(f"moves by {self.shift:.1f} eye distances")
        if self.degrees > WARN_DEGREES:
            much.append(f"turns by about {self.degrees:.0f} degrees")
        if not much:
            return None
        return (
            f"The driving head {' and '.join(much)} from how it is at the start: the built-in engine follows less, "
            "and it shows. Choose a calmer driving video, or the network engine."
        )


def asked_of(motion: Motion | None) -> MotionExtent:
    """What one frame asks for. Turns to the side are told from how the nose moves over the face."""
    if motion is None:
        return MotionExtent()
    shift, turn, _ = _taken_apart(motion.head)
    apart = [float((_nose_over_rim() * plane).sum()) for plane in cv2.split(motion.face[CORE])]
    ahead = min(1.0, math.hypot(*apart) / (PER_SIDE * EYES_APART * _NOSE_AHEAD))
    return MotionExtent(float(np.hypot(*shift)), max(abs(math.degrees(turn)), math.degrees(math.asin(ahead))))


def gentle(motion: Motion, share: float) -> Motion:
    """`share` of the motion, its head no farther than a picture can be bent without tearing."""
    shift, turn, growth = _taken_apart(motion.head)
    far = float(np.hypot(*shift))
    shift = shift * (share * _soft(far, *_SHIFT) / far) if far else shift
    head = _put_together(shift, share * _soft(turn, *_TURN), share * _soft(growth, *_GROWTH))
    if share == 1:
        return replace(motion, head=head)
    weight = np.float32(share)
    return replace(motion, head=head, face=motion.face * weight, opening=motion.opening * weight)


def _taken_apart(head: Matrix) -> tuple[Shift, float, float]:
    """Shift of the face's middle in eye distances, turn in radians, logarithm of its growth."""
    on = inverse(head)
    shift = (on[:, :2] @ _CENTRE + on[:, 2] - _CENTRE) / (PER_SIDE * EYES_APART)
    return shift, math.atan2(on[1, 0], on[0, 0]), math.log(math.hypot(on[0, 0], on[1, 0]))


def _put_together(shift: Shift, turn: float, growth: float) -> Matrix:
    across, down = math.exp(growth) * math.cos(turn), math.exp(growth) * math.sin(turn)
    stiff = np.array([[across, -down], [down, across]])
    move = _CENTRE + shift * (PER_SIDE * EYES_APART) - stiff @ _CENTRE
    return inverse(np.column_stack((stiff, move)))


def _soft(value: float, knee: float, limit: float) -> float:
    """`value` up to the knee, bent to stay below the limit after it."""
    size, room = abs(value), limit - knee
    return value if size <= knee else math.copysign(knee + room * math.tanh((size - knee) / room), value)


@functools.cache
def _nose_over_rim() -> Floats:
    """Weights that give the mean over the nose less the mean over the face's rim."""
    nose = ellipse(_NOSE, 0.1)
    rim = ellipse(FACE, 0.05) - ellipse((FACE[0], FACE[1], FACE[2] * 0.8, FACE[3] * 0.8), 0.05)
    return cast(Floats, (nose / nose.sum() - rim / rim.sum())[CORE])
