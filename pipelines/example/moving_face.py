"""Synthetic face whose motion is known exactly: a picture warped, with lids that close and a mouth that opens."""

from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from pipelines.animation.faces.aligned_view import FacePlacement, inverse
from pipelines.animation.faces.cascade import FaceBox

Array = NDArray[Any]
UPPER, LOWER = [2, 6], [3, 7]
"""Landmarks of the upper and of the lower lids."""


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """Picture with one face: its true placement, its box as the cascade detects it, and its landmarks `(12, 2)`.

    The landmarks are, left and right as in the picture: outer and inner corner, upper and lower lid of the left eye;
    inner and outer corner, upper and lower lid of the right eye; left and right corner of the mouth; nose; chin.
    """

    picture: Array
    placement: FacePlacement
    box: FaceBox
    landmarks: Array

    @property
    def eyes_apart(self) -> float:
        """Distance of the outer eye corners, in pixels."""
        return float(np.hypot(*(self.landmarks[5] - self.landmarks[0])))


def astronaut() -> DrawnFace:
    """Return Eileen Collins, 256 x 256, smiling: a picture by NASA, in the public domain."""
    left = [(96.6, 99.4), (114.7, 102.5), (106.1, 96.2), (106.5, 104.0)]
    right = [(140.4, 104.0), (162.3, 103.0), (149.9, 98.9), (150.5, 106.5)]
    mouth = [(105.7, 139.4), (151.2, 138.7), (127.6, 125.0), (128.0, 173.0)]
    picture = np.ascontiguousarray(data.astronaut()[:256, 96:352])  # type: ignore[no-untyped-call]
    placement, box = FacePlacement(128.5, 113.6, 113.2, 0.018), FaceBox(128, 117, 106, 141)
    return DrawnFace(picture, placement, box, np.array(left + right + mouth))


@dataclass(frozen=True)
class Pose:
    """Pose of a head and its face.

    The head is shifted in box sides, leans and turns in radians, and grows by a logarithm; lids close and the mouth
    opens from 0 to 1.
    """

    right: float = 0.0
    down: float = 0.0
    lean: float = 0.0
    growth: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    blink: float = 0.0
    open: float = 0.0
    smile: float = 0.0


_GAPE = 0.16
"""Height of a mouth that is fully open, in box sides."""


class MovingFace:
    """Face in any pose, with the landmarks of that pose."""

    def __init__(self, face: DrawnFace) -> None:
        self._face = face
        back = inverse(face.placement.to_picture())
        height, width = face.picture.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float64)
        self._positions = _apply(back, np.stack((x, y), axis=2))
        self._rest_landmarks = u = _apply(back, face.landmarks)
        self._lids = [
            ((u[a] + u[b]) / 2, abs(u[a, 0] - u[b, 0]) / 2, abs(u[low, 1] - u[up, 1]) / 2)
            for a, b, up, low in ((0, 1, 2, 3), (4, 5, 6, 7))
        ]
        self._slit, self._half = float(u[8:10, 1].mean()) + 0.02, abs(u[8, 0] - u[9, 0]) / 2

    def frame(self, pose: Pose) -> Array:
        """Render the picture in a pose."""
        skin, mouth, teeth = self._deform(self._undo_head(self._positions, pose), pose)
        positions = _apply(self._face.placement.to_picture(), skin).astype(np.float32)
        frame = cv2.remap(
            self._face.picture, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )  # type: ignore[call-overload]
        share = cv2.GaussianBlur(mouth.astype(np.float32), (0, 0), 0.7)[..., None]
        inside = np.where(teeth[..., None], (225, 215, 200), (50, 18, 22))
        return cast(Array, np.clip(frame * (1 - share) + inside * share, 0, 255).astype(np.uint8))

    def landmarks(self, pose: Pose) -> Array:
        """Return the landmarks of a pose in pixels, `(12, 2)`."""
        open_eyes = replace(pose, blink=0.0)
        found = self._rest_landmarks.copy()
        for _ in range(60):
            found += 0.7 * (
                self._rest_landmarks - self._deform(self._undo_head(found, open_eyes), open_eyes)[0]
            )
        found[UPPER] += (found[LOWER] - found[UPPER]) * pose.blink
        return _apply(self._face.placement.to_picture(), found)

    def _undo_head(self, u: Array, pose: Pose) -> Array:
        """Map positions to a head at rest, less and less with distance, and turned to the front."""
        cos, sin = np.cos(-pose.lean), np.sin(-pose.lean)
        centre = np.array((0.0, 0.06))
        v = (u - centre - (pose.right, pose.down)) * np.exp(-pose.growth)
        v = np.stack((v[..., 0] * cos - v[..., 1] * sin, v[..., 0] * sin + v[..., 1] * cos), axis=-1) + centre
        share = _smoothstep((2.8 - np.hypot(u[..., 0] / 0.5, u[..., 1] / 0.6)) / 1.3)[..., None]
        v = u + (v - u) * share
        depth = 0.22 * np.sqrt(np.clip(1.2 - (v[..., 0] / 0.55) ** 2 - (v[..., 1] / 0.7) ** 2, 0, None))
        depth += 0.1 * np.exp(-0.5 * ((v[..., 0] / 0.07) ** 2 + ((v[..., 1] - 0.08) / 0.09) ** 2))
        turned = np.stack((np.sin(pose.yaw) * depth, np.sin(pose.pitch) * depth), axis=-1)
        return cast(Array, v - turned * share)

    def _deform(self, u: Array, pose: Pose) -> tuple[Array, Array, Array]:
        """Map positions `u` to those at rest that show there; returns masks of the open mouth and the teeth, too."""
        x, y = u[..., 0].copy(), u[..., 1].copy()
        corner = np.exp(-0.5 * (((np.abs(x) - self._half) / 0.08) ** 2 + ((y - self._slit) / 0.08) ** 2))
        x -= 0.05 * pose.smile * corner * np.sign(x)
        y += 0.03 * pose.smile * corner
        gape, wide = _GAPE * pose.open, np.clip(1 - (x / self._half) ** 2, 0, 1)
        upper, lower = self._slit - 0.15 * gape * wide, self._slit + 0.85 * gape * wide
        mouth, teeth = (y > upper) & (y < lower) & (wide > 0), y < upper + 0.3 * (lower - upper)
        chin = np.exp(-0.5 * (x / 0.28) ** 4) * _smoothstep((0.8 - y) / 0.25)
        drop = 0.85 * gape * np.maximum(wide, 0.75 * _smoothstep((y - self._slit - 0.02) / 0.1)) * chin
        lift = 0.15 * gape * wide * np.exp(-0.5 * ((y - upper) / 0.06) ** 2)
        above = np.where(y <= upper, np.minimum(y + lift, self._slit), y)
        y = np.where(y >= lower, np.maximum(y - drop, self._slit), above)
        for (middle, height), half, opening in self._lids:
            arc = np.clip(1 - ((x - middle) / half) ** 2, 0, 1)
            top = height - opening * arc
            edge, crease = top + 2 * opening * arc * pose.blink, top - 0.06
            broadcast = crease + (y - crease) * (top - crease) / np.maximum(edge - crease, 1e-6)
            y = np.where((y > crease) & (y < edge) & (arc > 0), broadcast, y)
        return np.stack((x, y), axis=-1), mouth, teeth


def speaking(frames: int) -> list[Pose]:
    """Return poses of a head that sways and turns a little, speaks and blinks; the first one is at rest."""
    seconds = np.arange(frames) / 25

    def sway(rate: float, phase: float = 0.0) -> Array:
        return cast(Array, np.sin(2 * np.pi * rate * seconds + phase) - np.sin(phase))

    blink = np.exp(-0.5 * (((np.arange(frames) - 6) % 40 - 8) / 1.6) ** 2) * (np.arange(frames) > 0)
    opened = np.clip(sway(1.9) * 0.6 + sway(0.7) * 0.3, 0, 1)
    right, down, lean, growth, yaw = (
        sway(0.45),
        sway(0.6, 1),
        sway(0.35, 0.4),
        sway(0.5, 2),
        sway(0.4, 0.7),
    )
    columns = (
        *(0.03 * right, 0.02 * down, 0.03 * lean, 0.01 * growth, 0.12 * yaw, 0.05 * down),
        *(blink, opened, 0.5 * np.maximum(0, lean)),
    )
    return [Pose(*(float(column[i]) for column in columns)) for i in range(frames)]


def _apply(matrix: Array, points: Array) -> Array:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _smoothstep(share: Array) -> Array:
    share = np.clip(share, 0, 1)
    return cast(Array, share * share * (3 - 2 * share))
