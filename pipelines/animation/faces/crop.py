"""Cutting a face out of a frame, and putting what was made of it back: squares around landmarks.

Matrices are (3, 3) float32 and take pixel coordinates (x, y, 1) of one picture to those of the other, pixel centres at
integers. Landmarks are (N, 2). Pictures are (H, W, 3) uint8 RGB.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.motion.keypoints import Floats
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions, SourceCut
from pipelines.stages import Pixels

Matrix = NDArray[np.float32]

CROP_PX = 512
"""Of a cut-out, in pixels; the networks see it at half the size."""
FADE_PX = 16
"""Pixels of a cut-out over which it is faded into the frame."""

_AXIS_POINTS = {
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    68: ((36, 39), (42, 45), (48, 54)),
    5: ((0,), (1,), (3, 4)),
}
"""By how many landmarks there are: those of the eye at the picture's left, at its right, of the mouth's corners."""


@dataclass(frozen=True)
class Square:
    """A square on a frame: its centre and side in pixels, and how far it is turned clockwise, in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def scaled(self, scale: float, right: float = 0.0, down: float = 0.0) -> "Square":
        """It `scale` times as large, then shifted by shares of its new side, along its own axes."""
        side, cosine, sine = self.side * scale, math.cos(self.angle), math.sin(self.angle)
        x = self.x + side * (right * cosine - down * sine)
        y = self.y + side * (right * sine + down * cosine)
        return Square(x, y, side, self.angle)

    def upright(self) -> "Square":
        """It without its turn."""
        return replace(self, angle=0.0)

    def to_crop(self, side: int = CROP_PX) -> Matrix:
        """From the frame to a cut-out of `side` pixels."""
        scale, middle = side / self.side, side / 2
        cosine, sine = scale * math.cos(self.angle), scale * math.sin(self.angle)
        return np.array(
            [
                [cosine, sine, middle - (cosine * self.x + sine * self.y)],
                [-sine, cosine, middle - (-sine * self.x + cosine * self.y)],
                [0, 0, 1],
            ],
            np.float32,
        )


def landmark_bounds(landmarks: Floats) -> Square:
    """The square about the landmarks of a face, turned as the face is. Raises BadInput for those of no known kind."""
    right_axis, down_axis = _axes(landmarks)
    axes = np.stack([right_axis, down_axis])
    aligned = landmarks @ axes.T
    low, high = aligned.min(axis=0), aligned.max(axis=0)
    x, y = (low + high) / 2 @ axes
    angle = math.acos(min(1.0, max(-1.0, right_axis[0])))
    return Square(float(x), float(y), float((high - low).max()), -angle if right_axis[1] < 0 else angle)


def _axes(landmarks: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Along the eyes, and down the face."""
    if len(landmarks) not in _AXIS_POINTS:
        known = ", ".join(map(str, _AXIS_POINTS))
        raise BadInput(
            f"{len(landmarks)} landmarks of a face are of no known kind.", f"Give {known} of them."
        )
    points = landmarks.astype(np.float64)
    left, right, mouth = (points[list(chosen)].mean(axis=0) for chosen in _AXIS_POINTS[len(landmarks)])
    down = mouth - (left + right) / 2
    length = float(np.hypot(*down))
    down_axis = down / length if length > 1e-3 else np.array([0.0, 1.0])
    return np.array([down_axis[1], -down_axis[0]]), down_axis


def source_square(face: Square, options: SourceCut) -> Square:
    """What is cut out of a source frame, by the square about the landmarks of its face."""
    square = face.scaled(options.scale, options.vx_ratio, options.vy_ratio)
    return square if options.flag_do_rot else square.upright()


class DrivingWindow:
    """The one window that all frames of a driving video are cut out by: the mean of those of its frames, upright.

    Holds four sums, however many frames.
    """

    def __init__(self, options: PortraitOptions) -> None:
        self._growth = (
            options.scale_crop_driving_video,
            options.vx_ratio_crop_driving_video,
            options.vy_ratio_crop_driving_video,
        )
        self._sum = np.zeros(4)
        self._frames = 0

    def add(self, face: Square) -> NDArray[np.float32]:
        """Take a frame in, by the square about its face's landmarks; gives its own left, top, right and bottom."""
        square = face.scaled(*self._growth)
        half = square.side / 2
        x, y = square.x, square.y
        box = np.array([x - half, y - half, x + half, y + half], np.float32)
        self._sum += box
        self._frames += 1
        return box

    @property
    def box(self) -> NDArray[np.float64]:
        """Left, top, right and bottom of the window. Raises BadInput where no frame showed a face."""
        if not self._frames:
            raise BadInput(
                "No frame of the driving video shows a face.", "Choose another, or leave it uncropped."
            )
        return self._sum / self._frames

    @property
    def square(self) -> Square:
        """The window, as wide as the box."""
        left, top, right, bottom = self.box
        return Square((left + right) / 2, (top + bottom) / 2, right - left)


def inverse(matrix: Matrix) -> Matrix:
    """The way back."""
    back: Matrix = np.linalg.inv(matrix.astype(np.float64)).astype(np.float32)
    return back


def transform_points(points: Floats, matrix: Matrix) -> Floats:
    """Points (N, 2) in the coordinates that `matrix` leads to."""
    transformed: Floats = points @ matrix[:2, :2].T + matrix[:2, 2]
    return transformed


def extract_crop(picture: Pixels, matrix: Matrix, side: int = CROP_PX) -> Pixels:
    """The cut-out (side, side, 3); black outside the picture."""
    return _pixels(cv2.warpAffine(picture, matrix[:2], (side, side), flags=cv2.INTER_LINEAR))


def source_input(crop: Pixels) -> Pixels:
    """What the networks see of a source cut-out, at half its size: means of 2 x 2 pixels."""
    return _pixels(cv2.resize(crop, (CROP_PX // 2, CROP_PX // 2), interpolation=cv2.INTER_AREA))


def driving_input(picture: Pixels) -> Pixels:
    """What the networks see of a driving cut-out, or of any frame that is not cut: resized."""
    return _pixels(cv2.resize(picture, (CROP_PX // 2, CROP_PX // 2), interpolation=cv2.INTER_LINEAR))


def limit_source(picture: Pixels, options: SourceCut) -> Pixels:
    """A source frame no larger than allowed, its sides cut to multiples."""
    height, width = limit_size(picture.shape[0], picture.shape[1], options.source_max_dim)
    if (height, width) != picture.shape[:2]:
        picture = _pixels(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))
    division = options.source_division
    return picture[: max(1, height // division) * division, : max(1, width // division) * division]


def limit_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """The sides of a frame whose longer side is `longest` at most."""
    if max(height, width) <= longest:
        return height, width
    if height > width:
        return longest, int(width * (longest / height))
    return int(height * (longest / width)), longest


def fade_mask() -> Pixels:
    """How much of a drawn cut-out shows, (512, 512) of 255: all, but for its edge."""
    line = np.arange(CROP_PX)
    outside = np.maximum(0, np.maximum(FADE_PX - line, line - (CROP_PX - FADE_PX)))
    distance = np.hypot(outside[:, None], outside[None, :])
    alpha: Pixels = np.floor(255 * np.maximum(0, 1 - distance / FADE_PX)).astype(np.uint8)
    return alpha


@dataclass(frozen=True)
class PasteBack:
    """How a drawn cut-out (512, 512, 3) goes back into frames of one size; made once for a source that stands still.

    Holds four bytes for each pixel of the part of the frame that it covers.
    """

    region: tuple[slice, slice]
    matrix: Matrix
    """From the cut-out to that place."""
    alpha: Floats
    """How much of the cut-out shows there, (h, w, 1)."""

    @classmethod
    def of(cls, back: Matrix, height: int, width: int) -> "PasteBack":
        """`back` leads from the cut-out to frames of that size."""
        corners = transform_points(
            np.array([[0, 0], [CROP_PX, 0], [0, CROP_PX], [CROP_PX, CROP_PX]], np.float32), back
        )
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        rows = slice(_clamp(top - 1, height), _clamp(bottom + 2, height))
        columns = slice(_clamp(left - 1, width), _clamp(right + 2, width))
        matrix = back.copy()
        matrix[:2, 2] -= columns.start, rows.start
        region = cls((rows, columns), matrix, np.zeros((0, 0, 1), np.float32))
        alpha: Floats = np.divide(region._warped(fade_mask())[..., None], 255, dtype=np.float32)
        return replace(region, alpha=alpha)

    def paste(self, rendered: Pixels, frame: Pixels) -> Pixels:
        """`frame` with what was drawn in it; a copy, equal to `frame` outside the cut-out."""
        result = frame.copy()
        transformed = result[self.region]
        if transformed.size:
            blended = self.alpha * self._warped(rendered) + (1 - self.alpha) * transformed
            # Cut off, not rounded, as in the published system.
            result[self.region] = np.clip(blended, 0, 255).astype(np.uint8)
        return result

    def _warped(self, picture: Pixels) -> Pixels:
        rows, columns = self.region
        size = columns.stop - columns.start, rows.stop - rows.start
        if min(size) <= 0:
            return np.zeros((max(0, size[1]), max(0, size[0]), *picture.shape[2:]), np.uint8)
        return _pixels(cv2.warpAffine(picture, self.matrix[:2], size, flags=cv2.INTER_LINEAR))


def _clamp(edge: float, length: int) -> int:
    return int(np.clip(np.floor(edge), 0, length))


def _pixels(picture: Any) -> Pixels:
    """OpenCV's result, whose type it does not tell."""
    pixels: Pixels = picture
    return pixels
