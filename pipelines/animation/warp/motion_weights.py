"""Weights of a head's and a face's motion around a face: 1 where all moves as one, 0 where nothing moves.

They move along with the head: a face that has moved far is as rigid as one at rest, and only what surrounds it is
stretched. What the head has left moves as one with it, too, or its hair would be drawn out behind it.
"""

from typing import cast

import cv2
import numpy as np

from pipelines.animation.faces.aligned_view import Floats

HEAD_CENTRE = (0.0, -0.02)
"""Centre of the head in face coordinates; the weights move as it does."""
_HEAD, _FACE = (*HEAD_CENTRE, 0.5, 0.58), (0.0, 0.06, 0.5, 0.56)
"""Ellipses in which the head and the face move, in face coordinates: centre and half axes."""
_HEAD_FADE, _FACE_FADE = (1.2, 2.6), (0.85, 1.6)
"""Where the motion of each begins to fade and where it has ended, in radii of its ellipse."""
_CHIN_DOWN, _NECK_LENGTH, _NECK_STIFFNESS = 0.45, 0.5, 0.6
"""Below the chin, radii grow by the third value over the length of the neck: necks move less than heads. In box
sides."""
_NECK_STRETCH = 0.435
"""How far up a head has moved, in box sides, where its neck is no longer stiff: the map would fold there. It is the
farthest that a head is followed."""
FADE_REACH = _HEAD_FADE[1] * _HEAD[3]
"""Distance from the head's centre at which all motion has ended, in box sides."""


def motion_weights(
    across: Floats, down: Floats, right: float = 0.0, below: float = 0.0
) -> tuple[Floats, Floats]:
    """Return the weights of the head's and of the face's motion at positions in face coordinates, 0 to 1.

    The head has moved to the right and down by the last two values.
    """
    stiffness = _NECK_STIFFNESS * min(1.0, max(0.0, 1 + below / _NECK_STRETCH))
    moved = across - np.float32(right), down - np.float32(below)
    radius = np.minimum(_head_radius(*moved, stiffness), _head_radius(across, down, stiffness))
    return _fade(radius, _HEAD_FADE), _fade(ellipse_radius(_FACE, *moved), _FACE_FADE)


def _head_radius(across: Floats, down: Floats, stiffness: float) -> Floats:
    neck = 1 + np.float32(stiffness) * _smoothstep((down - _CHIN_DOWN) / _NECK_LENGTH)
    return cast(Floats, ellipse_radius(_HEAD, across, down) * neck)


def ellipse_radius(shape: tuple[float, float, float, float], across: Floats, down: Floats) -> Floats:
    """Return the distance from the centre of an ellipse, in its radii."""
    middle, height, half_across, half_down = shape
    return cast(Floats, cv2.magnitude((across - middle) / half_across, (down - height) / half_down))


def _fade(radius: Floats, fade: tuple[float, float]) -> Floats:
    """Return 1 up to the first radius, 0 from the second one on."""
    return (1 - _smoothstep((radius - fade[0]) / (fade[1] - fade[0]))).astype(np.float32)


def _smoothstep(share: Floats) -> Floats:
    share = np.clip(share, 0, 1)
    eased: Floats = share * share * (3 - 2 * share)
    return eased
