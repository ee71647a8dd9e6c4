"""Geometry of LivePortrait's keypoints: 21 points in space, their rotation and expression, and ratios from landmarks.

Points are row vectors, multiplied by matrices from the right. Arrays are float32 and begin with the frame axis.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

POINTS = 21
"""Keypoints of a face. The groups below follow LivePortrait's published description, section 4."""
WHOLE = (1, 2, 6, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
"""Points that follow an expression in all three coordinates."""
PART = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))
"""Further (point, coordinate) pairs that follow an expression."""
LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)
"""Points that move the lips, and the eyes."""

EPSILON = 1e-6
"""Added to the width of an eye or mouth, as in the published system, so that the ratio is always defined."""

LIPS_CLOSED: Floats = np.array(
    [
        [-9.4524e-05, 0.00024222, -4.00974e-05],
        [0.000208596, 0.000468054, 1.27464e-05],
        [-0.000124602, 0.000324972, 4.425e-06],
        [0.000119652, -0.000456624, 5.40852e-05],
        [-0.000265254, -7.4598e-05, -1.5528e-05],
        [-3.34884e-05, -0.000183036, -3.49404e-06],
        [-4.75428e-07, -4.52466e-07, 1.59498e-06],
        [-0.000541296, 0.0026328, 7.2486e-06],
        [-1.1694e-05, 5.00502e-06, 9.9888e-06],
        [8.0286e-07, 5.19132e-06, -0.000409344],
        [0.000166878, -1.9815e-05, -8.8548e-05],
        [-1.51536e-05, 8.2506e-05, 5.94012e-06],
        [-2.61054e-07, 2.7591e-06, 2.21028e-06],
        [-6.6282e-05, -6.8286e-05, -3.45318e-06],
        [-0.00083262, -0.00179592, -2.59176e-06],
        [6.9714e-06, 3.65514e-05, -1.8978e-06],
        [-4.80876e-06, 7.1148e-06, -1.03236e-05],
        [-0.00063684, -0.0011661, 5.62314e-05],
        [0.00028329, -1.45656e-05, 1.09746e-05],
        [-4.16022e-06, -0.0150906, -0.0025494],
        [0.000222474, 0.00562788, 0.00272646],
    ],
    np.float32,
)
"""Expression (21, 3) of closed lips. From KwaiVGI/LivePortrait, 2024, MIT licence."""


def movable(point: int) -> tuple[int, ...]:
    """Return the coordinates (0 to 2: x, y, z) in which a point follows an expression."""
    if point in WHOLE:
        return (0, 1, 2)
    return tuple(coordinate for each, coordinate in PART if each == point)


def bins_to_degrees(logits: Floats) -> Floats:
    """Return the expected angles (N, 1), in degrees, of logits (N, 66) over bins of three degrees."""
    logits = logits.astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    angles: Floats = (3 * shares @ np.arange(logits.shape[1])[:, None] - 97.5).astype(np.float32)
    return angles


def rotation(pitch: Floats, yaw: Floats, roll: Floats) -> Floats:
    """Return rotation matrices (N, 3, 3) for row vectors from angles in degrees, (N, 1) each."""
    (cx, cy, cz), (sx, sy, sz) = (
        [turn(np.radians(angle.astype(np.float64).reshape(-1))) for angle in (pitch, yaw, roll)]
        for turn in (np.cos, np.sin)
    )
    one, zero = np.ones_like(cx), np.zeros_like(cx)
    x = _matrices([[one, zero, zero], [zero, cx, -sx], [zero, sx, cx]])
    y = _matrices([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    z = _matrices([[cz, -sz, zero], [sz, cz, zero], [zero, zero, one]])
    matrices: Floats = (z @ y @ x).transpose(0, 2, 1).astype(np.float32)
    return matrices


def _matrices(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def transform_keypoints(
    canonical: Floats, turn: Floats, expression: Floats, scale: Floats, translation: Floats
) -> Floats:
    """Transform canonical keypoints (N, 21, 3) to those of the picture.

    They are rotated by `turn` (N, 3, 3), offset by `expression` (N, 21, 3), scaled by (N, 1) and shifted by (N, 3),
    whose depth is ignored.
    """
    points = scale[:, :, None] * (canonical @ turn + expression)
    points[..., :2] += translation[:, None, :2]
    return points


def hull_ratio(source: Floats, driving: Floats) -> float:
    """Return how much larger a source face (21, 3) is than a driving one, by the volumes of their convex hulls."""
    from scipy.spatial import ConvexHull

    return float(np.sqrt(ConvexHull(source).volume) / np.sqrt(ConvexHull(driving).volume))


def eye_ratios(landmarks: Floats) -> Floats:
    """Measure how open the eyes at the picture's left and right are, (N, 2), from 203 landmarks (N, 203, 2)."""
    left, right = _ratio(landmarks, 6, 18, 0, 12), _ratio(landmarks, 30, 42, 24, 36)
    return np.concatenate([left, right], axis=1)


def lip_ratios(landmarks: Floats) -> Floats:
    """Measure how open the lips are, (N, 1), from 203 landmarks (N, 203, 2)."""
    return _ratio(landmarks, 90, 102, 48, 66)


def _ratio(landmarks: Floats, top: int, bottom: int, left: int, right: int) -> Floats:
    high = np.linalg.norm(landmarks[:, top] - landmarks[:, bottom], axis=1, keepdims=True)
    wide = np.linalg.norm(landmarks[:, left] - landmarks[:, right], axis=1, keepdims=True)
    ratio: Floats = (high / (wide + EPSILON)).astype(np.float32)
    return ratio
