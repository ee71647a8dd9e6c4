"""A face upright before the eye: places on it, and views of it.

Places are in units of the face's box: `(0, 0)` is the box's middle, 1 its side, y down. A view is a square
picture of the places within some reach of the middle; motion is measured on views of `SIDE_PX` pixels a side.
"""

import functools
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.stages import Pixels

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
"""`(2, 3)`, of an affine motion."""

SIDE_PX, REACH = 208, 0.8125
CORE = slice(32, 200), slice(32, 176)
"""Rows and columns of a view that hold the face itself; all edges are multiples of 8."""
PER_SIDE = SIDE_PX / (2 * REACH)
"""Pixels of a view to a side of the face's box."""
EYES_APART = 0.58
"""Of the outer corners of the eyes, in box sides: the unit of motion."""

_MARGIN_PX = 2


@dataclass(frozen=True)
class FacePlacement:
    """Where a face lies: the middle and the side of its box, in pixels, and how it leans, in radians.

    `slit` is how far below the usual the lips meet, in box sides; `likeness` is -1 to 1, and no measure of
    being a face.
    """

    x: float
    y: float
    size: float
    roll: float = 0.0
    lip_offset: float = 0.0
    score: float = 0.0

    @classmethod
    def from_box(cls, box: FaceBox) -> "FacePlacement":
        """The box alone."""
        return cls(box.x, box.y, box.size)

    def to_picture(self) -> Matrix:
        """Places on the face to pixels of its picture."""
        across, down = self.size * np.cos(self.roll), self.size * np.sin(self.roll)
        return np.array([[across, -down, self.x], [down, across, self.y]])

    def view(self, picture: Pixels, side_px: int = SIDE_PX, reach: float = REACH) -> Pixels:
        """The face `(side_px, side_px[, C])` in `picture` `(H, W[, C])` uint8, which is continued beyond its border."""
        matrix = compose(self.to_picture(), view_to_face(side_px, reach))
        return warp_view(picture, matrix, (side_px, side_px), shrink_factor(matrix))


def shrink_factor(matrix: Matrix) -> int:
    """Of how many pixels of a picture, to a side, a view by `matrix` takes the mean first, so as to skip none."""
    return max(1, round(float(np.hypot(*matrix[:, 0]))))


def warp_view(picture: Pixels, matrix: Matrix, size: tuple[int, int], shrink: int) -> Pixels:
    """A view `(height, width[, C])` of `picture` `(H, W[, C])` uint8, which is continued beyond its border.

    `size` is the view's width and height, and `matrix` takes its pixels to the picture's; `shrink` is as `shrink_of`
    says, and stays the same for views that are compared.
    """
    far_corner = np.array(size) - 1
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * far_corner @ matrix[:, :2].T + matrix[:, 2]
    size_limit = np.array(picture.shape[1::-1]) // shrink
    first = np.floor(corners.min(axis=0) / shrink).astype(int) - _MARGIN_PX
    last = np.ceil(corners.max(axis=0) / shrink).astype(int) + 1 + _MARGIN_PX
    first = np.clip(first, 0, np.maximum(size_limit, 1) - 1)
    last = np.clip(last, first + 1, np.maximum(size_limit, 1))
    (left, top), (right, bottom) = first * shrink, last * shrink
    crop, matrix = picture[top:bottom, left:right], matrix.copy()
    matrix[:, 2] -= left, top
    if shrink > 1:
        crop = cast(Pixels, cv2.resize(crop, (last - first).tolist(), interpolation=cv2.INTER_AREA))
        matrix /= shrink
        matrix[:, 2] += 0.5 / shrink - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(Pixels, cv2.warpAffine(crop, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def view_to_face(side_px: int = SIDE_PX, reach: float = REACH) -> Matrix:
    """Pixels of a view to places on the face."""
    step = 2 * reach / side_px
    return np.array([[step, 0, step / 2 - reach], [0, step, step / 2 - reach]])


def compose(after: Matrix, before: Matrix) -> Matrix:
    """First `before`, then `after`."""
    both: Matrix = after @ np.vstack((before, (0.0, 0.0, 1.0)))
    return both


def inverse(matrix: Matrix) -> Matrix:
    """The way back."""
    return cast(Matrix, cv2.invertAffineTransform(matrix))


def to_gray(pixels: Pixels) -> Pixels:
    """Luma `(h, w)` uint8 of RGB."""
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def sample_at(values: "Floats | Pixels", offsets: Floats) -> Floats:
    """`values` `(h, w[, C])` at each pixel plus its offset `(h, w, 2)`, float32."""
    positions = offsets + pixel_grid(*offsets.shape[:2])
    sampled = cv2.remap(values, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cast(Floats, sampled.astype(np.float32))


@functools.lru_cache(maxsize=8)
def pixel_grid(height: int, width: int) -> Floats:
    """Column and row of each pixel `(height, width, 2)`; not to be written to."""
    rows, columns = (np.arange(side, dtype=np.float32) for side in (height, width))
    positions = np.stack(np.meshgrid(columns, rows), axis=2)
    positions.flags.writeable = False
    return positions


def pad_core(values: Floats, times: int = 1) -> Floats:
    """`values` `(h, w[, C])` of the core, made smaller so many `times`, within a view of zeros as small."""
    rows, columns = (slice(crop.start // times, crop.stop // times) for crop in CORE)
    padded = np.zeros((SIDE_PX // times, SIDE_PX // times, *values.shape[2:]), np.float32)
    padded[rows, columns] = values
    return padded


def ellipse(ellipse_shape: tuple[float, float, float, float], softness: float) -> Floats:
    """1 inside an ellipse (middle, half axes; in box sides) of a view, 0 outside; its edge `soft` of a radius wide."""
    middle, height, across, down = ellipse_shape
    pixel = view_to_face()
    x = np.arange(SIDE_PX) * pixel[0, 0] + pixel[0, 2]
    radius = np.hypot((x - middle) / across, (x[:, None] - height) / down)
    return cast(Floats, np.clip((1 - radius) / softness + 0.5, 0, 1).astype(np.float32))
