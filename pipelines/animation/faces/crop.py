"""Cropping a face out of a frame by its landmarks, and pasting the animated crop back.

Matrices are (3, 3) float32 and take pixel coordinates (x, y, 1) of one picture to those of the other; pixel centres
lie at integers. Landmarks are (N, 2), pictures (H, W, 3) uint8 RGB. Geometry and rounding are those of LivePortrait
(Guo et al., 2024).
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
from pipelines.vision.types import Pixels, Size

Matrix = NDArray[np.float32]

CROP_PX = 512
"""Side of a crop, in pixels; the networks get it at half the size."""
FADE_PX = 16
"""Width of the border over which a crop fades into the frame, in pixels of the crop."""

_AXIS_POINTS = {
    203: ((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: ((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    68: ((36, 39), (42, 45), (48, 54)),
    5: ((0,), (1,), (3, 4)),
}
"""By number of landmarks: those of the eye at the left of the picture, of the eye at its right, and of the mouth
corners."""


@dataclass(frozen=True)
class Square:
    """Square on a frame: centre and side in pixels, and how far it is turned clockwise, in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def scaled(self, scale: float, right: float = 0.0, down: float = 0.0) -> "Square":
        """Scale the square, then shift it by shares of its new side along its own axes."""
        side, cosine, sine = self.side * scale, math.cos(self.angle), math.sin(self.angle)
        x = self.x + side * (right * cosine - down * sine)
        y = self.y + side * (right * sine + down * cosine)
        return Square(x, y, side, self.angle)

    def upright(self) -> "Square":
        """Return the square unrotated."""
        return replace(self, angle=0.0)

    def to_crop(self, side: int = CROP_PX) -> Matrix:
        """Return the matrix from the frame to a crop of `side` pixels."""
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
    """Return the square around the landmarks of a face, turned as the face is.

    Raises BadInput for an unknown layout.
    """
    right_axis, down_axis = _axes(landmarks)
    axes = np.stack([right_axis, down_axis])
    aligned = landmarks @ axes.T
    low, high = aligned.min(axis=0), aligned.max(axis=0)
    x, y = (low + high) / 2 @ axes
    angle = math.acos(min(1.0, max(-1.0, right_axis[0])))
    return Square(float(x), float(y), float((high - low).max()), -angle if right_axis[1] < 0 else angle)


def _axes(landmarks: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors: along the eyes, and down the face."""
    if len(landmarks) not in _AXIS_POINTS:
        known = ", ".join(map(str, _AXIS_POINTS))
        raise BadInput(
            f"{len(landmarks)} landmarks for a face are not a known layout.",
            f"Give {known} landmarks.",
            "landmarks.layout",
            count=len(landmarks),
        )
    points = landmarks.astype(np.float64)
    left, right, mouth = (points[list(chosen)].mean(axis=0) for chosen in _AXIS_POINTS[len(landmarks)])
    down = mouth - (left + right) / 2
    length = float(np.hypot(*down))
    down_axis = down / length if length > 1e-3 else np.array([0.0, 1.0])
    return np.array([down_axis[1], -down_axis[0]]), down_axis


def source_square(face: Square, options: SourceCut) -> Square:
    """Return the square to crop from a source frame, given the square around the landmarks of the face."""
    square = face.scaled(options.scale, options.vx_ratio, options.vy_ratio)
    return square if options.flag_do_rot else square.upright()


class DrivingWindow:
    """Window by which all frames of a driving video are cropped: the mean of their squares, upright.

    Holds four sums, whatever the number of frames.
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
        """Add a frame by the square around its landmarks; returns left, top, right and bottom of its own window."""
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
                "No frame of the driving video shows a face.",
                "Choose another video, or leave it uncropped.",
                "face.driving_never",
            )
        return self._sum / self._frames

    @property
    def square(self) -> Square:
        """The window as a square of the same width."""
        left, top, right, bottom = self.box
        return Square((left + right) / 2, (top + bottom) / 2, right - left)


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse matrix."""
    inverted: Matrix = np.linalg.inv(matrix.astype(np.float64)).astype(np.float32)
    return inverted


def transform_points(points: Floats, matrix: Matrix) -> Floats:
    """Transform points (N, 2) by `matrix`."""
    transformed: Floats = points @ matrix[:2, :2].T + matrix[:2, 2]
    return transformed


def extract_crop(picture: Pixels, matrix: Matrix, side: int = CROP_PX) -> Pixels:
    """Extract the crop (side, side, 3); black outside the picture."""
    return _pixels(cv2.warpAffine(picture, matrix[:2], (side, side), flags=cv2.INTER_LINEAR))


def source_input(crop: Pixels) -> Pixels:
    """Return the network input of a source crop: means of 2 x 2 pixels."""
    return _pixels(cv2.resize(crop, (CROP_PX // 2, CROP_PX // 2), interpolation=cv2.INTER_AREA))


def driving_input(picture: Pixels) -> Pixels:
    """Return the network input of a driving crop, or of a frame that is not cropped: resized bilinearly."""
    return _pixels(cv2.resize(picture, (CROP_PX // 2, CROP_PX // 2), interpolation=cv2.INTER_LINEAR))


def limit_source(picture: Pixels, options: SourceCut, size: Size | None = None) -> Pixels:
    """Resize a source frame to at most the allowed size, and trim its sides to multiples.

    `size` is that of the file, where `picture` was reduced when it was read.
    """
    full_width, full_height = size or picture.shape[1::-1]
    height, width = limit_size(full_height, full_width, options.source_max_dim)
    if (height, width) != picture.shape[:2]:
        picture = _pixels(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))
    division = options.source_division
    return picture[: max(1, height // division) * division, : max(1, width // division) * division]


def limit_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return height and width scaled so that the longer is at most `longest`."""
    if max(height, width) <= longest:
        return height, width
    if height > width:
        return longest, int(width * (longest / height))
    return int(height * (longest / width)), longest


def fade_mask() -> Pixels:
    """Return the opacity of a crop, (512, 512) uint8: 255 except near its edge."""
    line = np.arange(CROP_PX)
    outside = np.maximum(0, np.maximum(FADE_PX - line, line - (CROP_PX - FADE_PX)))
    distance = np.hypot(outside[:, None], outside[None, :])
    mask: Pixels = np.floor(255 * np.maximum(0, 1 - distance / FADE_PX)).astype(np.uint8)
    return mask


@dataclass(frozen=True)
class PasteBack:
    """Paste of an animated crop (512, 512, 3) into frames of one size; made once for a still source.

    Holds four bytes per pixel of the part of the frame that the crop covers.
    """

    region: tuple[slice, slice]
    """Rows and columns of the frame that the crop covers."""
    matrix: Matrix
    """From the crop to the region."""
    alpha: Floats
    """Opacity of the crop in the region, (h, w, 1), 0 to 1."""

    @classmethod
    def of(cls, to_frame: Matrix, height: int, width: int) -> "PasteBack":
        """Prepare the paste by the matrix from the crop to frames of that size."""
        corners = transform_points(
            np.array([[0, 0], [CROP_PX, 0], [0, CROP_PX], [CROP_PX, CROP_PX]], np.float32), to_frame
        )
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        rows = slice(_clamp(top - 1, height), _clamp(bottom + 2, height))
        columns = slice(_clamp(left - 1, width), _clamp(right + 2, width))
        matrix = to_frame.copy()
        matrix[:2, 2] -= columns.start, rows.start
        region = cls((rows, columns), matrix, np.zeros((0, 0, 1), np.float32))
        alpha: Floats = np.divide(region._warped(fade_mask())[..., None], 255, dtype=np.float32)
        return replace(region, alpha=alpha)

    def paste(self, rendered: Pixels, frame: Pixels) -> Pixels:
        """Return a copy of `frame` with the crop alpha-blended in; unchanged outside it."""
        result = frame.copy()
        background = result[self.region]
        if background.size:
            blended = self.alpha * self._warped(rendered) + (1 - self.alpha) * background
            # Truncated, not rounded, as in the published system.
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
    """Give OpenCV's result the type that its stubs lack."""
    pixels: Pixels = picture
    return pixels
