"""A face that moves in ways that are known exactly: a picture bent, with lids that close and a mouth that opens."""

from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from pipelines.animation.faces.aligned_view import FacePlacement, inverse
from pipelines.animation.faces.cascade import FaceBox

Array = NDArray[Any]
NAMES = (
    *("outer left", "inner left", "upper left", "lower left"),
    *("inner right", "outer right", "upper right", "lower right"),
    *("mouth left", "mouth right", "nose", "chin"),
)
"""Of landmarks; left is the left of the picture."""
UPPER, LOWER = [2, 6], [3, 7]


@dataclass(frozen=True, eq=False)
class DrawnFace:
    """A picture with one face: its true place, its box as the cascade finds it, and its landmarks `(12, 2)`."""

    picture: Array
    placed: FacePlacement
    box: FaceBox
    landmarks: Array

    @property
    def eyes_apart(self) -> float:
        """Distance of the outer corners, in pixels."""
        return float(np.hypot(*(self.landmarks[5] - self.landmarks[0])))


def astronaut() -> DrawnFace:
    """Eileen Collins, 256 x 256, smiling: a picture by NASA, in the public domain."""
    left = [(96.6, 99.4), (114.7, 102.5), (106.1, 96.2), (106.5, 104.0)]
    right = [(140.4, 104.0), (162.3, 103.0), (149.9, 98.9), (150.5, 106.5)]
    mouth = [(105.7, 139.4), (151.2, 138.7), (127.6, 125.0), (128.0, 173.0)]
    picture = np.ascontiguousarray(data.astronaut()[:256, 96:352])  # type: ignore[no-untyped-call]
    place, box = FacePlacement(128.5, 113.6, 113.2, 0.018), FaceBox(128, 117, 106, 141)
    return DrawnFace(picture, place, box, np.array(left + right + mouth))


@dataclass(frozen=True)
class Pose:
    """Head: moved, in box sides, leaning, turned, in radians, grown; face: lids closed and mouth open, 0 to 1."""

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
"""A mouth that is open to 1, in box sides."""


class MovingFace:
    """A face as it looks in any pose, and where its landmarks then are."""

    def __init__(self, face: DrawnFace) -> None:
        self._face = face
        back = inverse(face.placed.to_picture())
        height, width = face.picture.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float64)
        self._places = _applied(back, np.stack((x, y), axis=2))
        self._rest = u = _applied(back, face.landmarks)
        self._lids = [
            ((u[a] + u[b]) / 2, abs(u[a, 0] - u[b, 0]) / 2, abs(u[low, 1] - u[up, 1]) / 2)
            for a, b, up, low in ((0, 1, 2, 3), (4, 5, 6, 7))
        ]
        self._slit, self._half = float(u[8:10, 1].mean()) + 0.02, abs(u[8, 0] - u[9, 0]) / 2

    def frame(self, pose: Pose) -> Array:
        """The picture in that pose."""
        skin, hole, teeth = self._skin(self._still(self._places, pose), pose)
        there = _applied(self._face.placed.to_picture(), skin).astype(np.float32)
        frame = cv2.remap(self._face.picture, there, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        share = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 0.7)[..., None]
        inside = np.where(teeth[..., None], (225, 215, 200), (50, 18, 22))
        return cast(Array, np.clip(frame * (1 - share) + inside * share, 0, 255).astype(np.uint8))

    def landmarks(self, pose: Pose) -> Array:
        """Where they are, in pixels: `(12, 2)`."""
        awake = replace(pose, blink=0.0)
        found = self._rest.copy()
        for _ in range(60):
            found += 0.7 * (self._rest - self._skin(self._still(found, awake), awake)[0])
        found[UPPER] += (found[LOWER] - found[UPPER]) * pose.blink
        return _applied(self._face.placed.to_picture(), found)

    def _still(self, u: Array, pose: Pose) -> Array:
        """The head put back, less and less of it with distance, and turned to the front."""
        cos, sin = np.cos(-pose.lean), np.sin(-pose.lean)
        centre = np.array((0.0, 0.06))
        v = (u - centre - (pose.right, pose.down)) * np.exp(-pose.growth)
        v = np.stack((v[..., 0] * cos - v[..., 1] * sin, v[..., 0] * sin + v[..., 1] * cos), axis=-1) + centre
        share = _eased((2.8 - np.hypot(u[..., 0] / 0.5, u[..., 1] / 0.6)) / 1.3)[..., None]
        v = u + (v - u) * share
        depth = 0.22 * np.sqrt(np.clip(1.2 - (v[..., 0] / 0.55) ** 2 - (v[..., 1] / 0.7) ** 2, 0, None))
        depth += 0.1 * np.exp(-0.5 * ((v[..., 0] / 0.07) ** 2 + ((v[..., 1] - 0.08) / 0.09) ** 2))
        turned = np.stack((np.sin(pose.yaw) * depth, np.sin(pose.pitch) * depth), axis=-1)
        return cast(Array, v - turned * share)

    def _skin(self, u: Array, pose: Pose) -> tuple[Array, Array, Array]:
        """Places at rest that are seen at `u`; where it is the inside of the mouth, and where teeth."""
        x, y = u[..., 0].copy(), u[..., 1].copy()
        corner = np.exp(-0.5 * (((np.abs(x) - self._half) / 0.08) ** 2 + ((y - self._slit) / 0.08) ** 2))
        x -= 0.05 * pose.smile * corner * np.sign(x)
        y += 0.03 * pose.smile * corner
        gape, wide = _GAPE * pose.open, np.clip(1 - (x / self._half) ** 2, 0, 1)
        upper, lower = self._slit - 0.15 * gape * wide, self._slit + 0.85 * gape * wide
        hole, teeth = (y > upper) & (y < lower) & (wide > 0), y < upper + 0.3 * (lower - upper)
        chin = np.exp(-0.5 * (x / 0.28) ** 4) * _eased((0.8 - y) / 0.25)
        drop = 0.85 * gape * np.maximum(wide, 0.75 * _eased((y - self._slit - 0.02) / 0.1)) * chin
        lift = 0.15 * gape * wide * np.exp(-0.5 * ((y - upper) / 0.06) ** 2)
        above = np.where(y <= upper, np.minimum(y + lift, self._slit), y)
        y = np.where(y >= lower, np.maximum(y - drop, self._slit), above)
        for (middle, height), half, opening in self._lids:
            arc = np.clip(1 - ((x - middle) / half) ** 2, 0, 1)
            top = height - opening * arc
            edge, crease = top + 2 * opening * arc * pose.blink, top - 0.06
            broadcast = crease + (y - crease) * (top - crease) / np.maximum(edge - crease, 1e-6)
            y = np.where((y > crease) & (y < edge) & (arc > 0), broadcast, y)
        return np.stack((x, y), axis=-1), hole, teeth


def speaking(frames: int) -> list[Pose]:
    """A head that sways and turns a little, speaks and blinks; the first frame is at rest."""
    seconds = np.arange(frames) / 25

    def swing(rate: float, phase: float = 0.0) -> Array:
        return cast(Array, np.sin(2 * np.pi * rate * seconds + phase) - np.sin(phase))

    blink = np.exp(-0.5 * (((np.arange(frames) - 6) % 40 - 8) / 1.6) ** 2) * (np.arange(frames) > 0)
    opened = np.clip(swing(1.9) * 0.6 + swing(0.7) * 0.3, 0, 1)
    right, down, lean, growth, yaw = (
        swing(0.45),
        swing(0.6, 1),
        swing(0.35, 0.4),
        swing(0.5, 2),
        swing(0.4, 0.7),
    )
    columns = (
        *(0.03 * right, 0.02 * down, 0.03 * lean, 0.01 * growth, 0.12 * yaw, 0.05 * down),
        *(blink, opened, 0.5 * np.maximum(0, lean)),
    )
    return [Pose(*(float(column[i]) for column in columns)) for i in range(frames)]


def _applied(matrix: Array, places: Array) -> Array:
    return places @ matrix[:, :2].T + matrix[:, 2]


def _eased(share: Array) -> Array:
    share = np.clip(share, 0, 1)
    return cast(Array, share * share * (3 - 2 * share))
