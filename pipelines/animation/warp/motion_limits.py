"""Limits of motion: how far a driving face moves, and how much of that a warped picture can follow."""

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
from pipelines.errors import Sentence

WARN_DEGREES, WARN_SHIFT, WARN_GROWTH = 20.0, 0.5, 0.2
"""Turn in degrees, shift in eye distances and logarithm of the size (22 %) from which a warped picture looks warped."""

MOST_SHIFT = 0.75
"""Shift beyond which no head is followed, in eye distances. Measured on thirteen portraits shifted by so much to each
side: the local error of the face is at most 26 grey levels, and hair above or beside it is visibly drawn out."""
_SHIFT_LIMITS = (0.5, MOST_SHIFT)
_ROLL_LIMITS, _GROWTH_LIMITS = (math.radians(15), math.radians(25)), (0.15, 0.3)
"""Motion up to the first value is followed in full, and never beyond the second: eye distances, radians, logarithm of
size."""
_CENTRE = np.array(((FACE[0] + REACH) * PER_SIDE - 0.5, (FACE[1] + REACH) * PER_SIDE - 0.5))
"""Centre of the face, in pixels of the view."""
_NOSE = (0.0, 0.05, 0.1, 0.12)
"""Ellipse of the nose in face coordinates: centre and half axes."""
_NOSE_DEPTH = 0.45
"""How far the nose lies before the rim of the face, in eye distances: by its sine a turning nose moves over the face.
"""


Shift = NDArray[np.float64]
"""Shift, `(2,)`."""


@dataclass(frozen=True)
class MotionExtent:
    """Largest motion of the head since the first driving frame."""

    shift: float = 0.0
    """In eye distances."""
    degrees: float = 0.0
    """Of roll or turn to the side, approximately."""
    growth: float = 0.0
    """Logarithm of its size; the same for one that shrinks as much."""

    @property
    def growth_percent(self) -> float:
        """Growth in percent of its first size."""
        return 100 * math.expm1(self.growth)

    def merged(self, other: "MotionExtent") -> "MotionExtent":
        """Return the larger of each."""
        return MotionExtent(
            max(self.shift, other.shift),
            max(self.degrees, other.degrees),
            max(self.growth, other.growth),
        )

    def warning(self) -> str | None:
        """Return a warning where the motion exceeds what a warped picture can follow; None where it does not."""
        exceeded = []
        if self.shift > WARN_SHIFT:
            exceeded.append(f"moves by {self.shift:.1f} eye distances")
        if self.degrees > WARN_DEGREES:
            exceeded.append(f"turns by about {self.degrees:.0f} degrees")
        if self.growth > WARN_GROWTH:
            exceeded.append(f"grows or shrinks by {self.growth_percent:.0f} %")
        if not exceeded:
            return None
        return Sentence(
            f"The driving head {_joined(exceeded)} from its first frame. The built-in engine follows less "
            "than that, and it shows. Choose a calmer driving video, or the network engine.",
            "motion",
        )


def measure_extent(motion: Motion | None) -> MotionExtent:
    """Measure the motion of one frame. Turns to the side are estimated by how the nose moves over the face."""
    if motion is None:
        return MotionExtent()
    shift, roll, growth = _decompose(motion.head)
    relative = [float((_nose_weights() * plane).sum()) for plane in cv2.split(motion.face[CORE])]
    sine = min(1.0, math.hypot(*relative) / (PER_SIDE * EYES_APART * _NOSE_DEPTH))
    turned = max(abs(math.degrees(roll)), math.degrees(math.asin(sine)))
    return MotionExtent(float(np.hypot(*shift)), turned, abs(growth))


def _joined(parts: list[str]) -> str:
    """Join parts of a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([*([", ".join(parts[:-1])] if parts[1:] else []), parts[-1]])


def limit_motion(motion: Motion, share: float) -> Motion:
    """Return a share of the motion, with a head that moves no farther than a picture can be warped without tearing."""
    shift, roll, growth = _decompose(motion.head)
    distance = float(np.hypot(*shift))
    shift = shift * (share * _soft_limit(distance, *_SHIFT_LIMITS) / distance) if distance else shift
    head = _compose_head(
        shift, share * _soft_limit(roll, *_ROLL_LIMITS), share * _soft_limit(growth, *_GROWTH_LIMITS)
    )
    if share == 1:
        return replace(motion, head=head)
    weight = np.float32(share)
    return replace(motion, head=head, face=motion.face * weight, opening=motion.opening * weight)


def _decompose(head: Matrix) -> tuple[Shift, float, float]:
    """Return the shift of the face's centre in eye distances, the roll in radians, and the logarithm of the growth."""
    forward = inverse(head)
    shift = (forward[:, :2] @ _CENTRE + forward[:, 2] - _CENTRE) / (PER_SIDE * EYES_APART)
    return shift, math.atan2(forward[1, 0], forward[0, 0]), math.log(math.hypot(forward[0, 0], forward[1, 0]))


def _compose_head(shift: Shift, roll: float, growth: float) -> Matrix:
    """Compose a head's transform from shift, roll and growth."""
    across, down = math.exp(growth) * math.cos(roll), math.exp(growth) * math.sin(roll)
    rotation = np.array([[across, -down], [down, across]])
    translation = _CENTRE + shift * (PER_SIDE * EYES_APART) - rotation @ _CENTRE
    return inverse(np.column_stack((rotation, translation)))


def _soft_limit(value: float, knee: float, limit: float) -> float:
    """Return `value` up to the knee, and a smooth approach to the limit after it."""
    magnitude, room = abs(value), limit - knee
    return (
        value
        if magnitude <= knee
        else math.copysign(knee + room * math.tanh((magnitude - knee) / room), value)
    )


@functools.cache
def _nose_weights() -> Floats:
    """Return weights of the mean over the nose minus the mean over the rim of the face."""
    nose = ellipse(_NOSE, 0.1)
    rim = ellipse(FACE, 0.05) - ellipse((FACE[0], FACE[1], FACE[2] * 0.8, FACE[3] * 0.8), 0.05)
    return cast(Floats, (nose / nose.sum() - rim / rim.sum())[CORE])
