"""Upright views of a face, and the coordinates on it that they share.

Face coordinates are in units of the face box: `(0, 0)` is its centre, 1 its side, y points down. A view is a square
picture of all that lies within some reach of the centre; motion is measured on views of `SIDE_PX` x `SIDE_PX` pixels.
"""

import functools
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.vision.types import Pixels

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
"""Affine transform, `(2, 3)`."""

SIDE_PX, REACH = 208, 0.8125
"""Side of a view in pixels, and how far it reaches from the centre of the face, in box sides: 128 pixels to a box
side."""
CORE = slice(32, 200), slice(32, 176)
"""Rows and columns of a view that hold the face itself; all edges are multiples of 8, by which `flow_fields` shrinks
them."""
PER_SIDE = SIDE_PX / (2 * REACH)
"""Pixels of a view per side of the face box."""
EYES_APART = 0.58
"""Distance of the outer eye corners in box sides: the unit in which motion is reported."""

_MARGIN_PX = 2
"""Pixels read beyond a view, so that bilinear interpolation at its border has neighbours."""


@dataclass(frozen=True)
class FacePlacement:
    """Placement of a face: centre and side of its box in pixels, and its roll in radians.

    `lip_offset` is how far below the template's the lips meet, in box sides; `score` is the correlation with the
    template, -1 to 1, which does not tell faces from other objects.
    """

    x: float
    y: float
    size: float
    roll: float = 0.0
    lip_offset: float = 0.0
    score: float = 0.0

    @classmethod
    def from_box(cls, box: FaceBox) -> "FacePlacement":
        """Place an upright face in its box."""
        return cls(box.x, box.y, box.size)

    def to_picture(self) -> Matrix:
        """Return the transform from face coordinates to pixels of the picture."""
        across, down = self.size * np.cos(self.roll), self.size * np.sin(self.roll)
        return np.array([[across, -down, self.x], [down, across, self.y]])

    def view(self, picture: Pixels, side_px: int = SIDE_PX, reach: float = REACH) -> Pixels:
        """Render the view `(side_px, side_px[, C])` from `picture` `(H, W[, C])` uint8, its border pixels repeated."""
        matrix = compose(self.to_picture(), view_to_face(side_px, reach))
        return warp_view(picture, matrix, (side_px, side_px), shrink_factor(matrix))


def shrink_factor(matrix: Matrix) -> int:
    """Return the factor by which to shrink a picture before it is sampled by `matrix`, so that no pixel is skipped."""
    return max(1, round(float(np.hypot(*matrix[:, 0]))))


def warp_view(picture: Pixels, matrix: Matrix, size: tuple[int, int], shrink: int) -> Pixels:
    """Render a view `(height, width[, C])` of `picture` `(H, W[, C])` uint8; border pixels are repeated outside.

    `size` is width and height of the view, `matrix` takes its pixels to those of the picture, and `shrink` comes from
    `shrink_factor`. Views that are compared use the same factor. Only the visible part of the picture is shrunk.
    """
    far_corner = np.array(size) - 1
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * far_corner @ matrix[:, :2].T + matrix[:, 2]
    size_limit = np.array(picture.shape[1::-1]) // shrink
    near = np.floor(corners.min(axis=0) / shrink).astype(int) - _MARGIN_PX
    far = np.ceil(corners.max(axis=0) / shrink).astype(int) + 1 + _MARGIN_PX
    near = np.clip(near, 0, np.maximum(size_limit, 1) - 1)
    far = np.clip(far, near + 1, np.maximum(size_limit, 1))
    (left, top), (right, bottom) = near * shrink, far * shrink
    crop, matrix = picture[top:bottom, left:right], matrix.copy()
    matrix[:, 2] -= left, top
    if shrink > 1:
        crop = cast(Pixels, cv2.resize(crop, (far - near).tolist(), interpolation=cv2.INTER_AREA))
        matrix /= shrink
        matrix[:, 2] += 0.5 / shrink - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(Pixels, cv2.warpAffine(crop, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def view_to_face(side_px: int = SIDE_PX, reach: float = REACH) -> Matrix:
    """Return the transform from pixels of a view to face coordinates."""
    step = 2 * reach / side_px
    return np.array([[step, 0, step / 2 - reach], [0, step, step / 2 - reach]])


def compose(after: Matrix, before: Matrix) -> Matrix:
    """Return the transform that applies `before` first, then `after`."""
    composed: Matrix = after @ np.vstack((before, (0.0, 0.0, 1.0)))
    return composed


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse transform."""
    return cast(Matrix, cv2.invertAffineTransform(matrix))


def to_gray(pixels: Pixels) -> Pixels:
    """Convert RGB to luma `(h, w)` uint8."""
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))


def sample_at(values: "Floats | Pixels", offsets: Floats) -> Floats:
    """Sample `values` `(h, w[, C])` bilinearly at each pixel plus its offset `(h, w, 2)`; float32."""
    positions = offsets + pixel_grid(*offsets.shape[:2])
    sampled = cv2.remap(values, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cast(Floats, sampled.astype(np.float32))


@functools.lru_cache(maxsize=8)
def pixel_grid(height: int, width: int) -> Floats:
    """Return column and row of each pixel, `(height, width, 2)`; cached, so read-only."""
    rows, columns = (np.arange(side, dtype=np.float32) for side in (height, width))
    positions = np.stack(np.meshgrid(columns, rows), axis=2)
    positions.flags.writeable = False
    return positions


def pad_core(values: Floats, times: int = 1) -> Floats:
    """Put `values` `(h, w[, C])` of the core, shrunk `times` times, into a view of zeros that is shrunk as much."""
    rows, columns = (slice(core.start // times, core.stop // times) for core in CORE)
    padded = np.zeros((SIDE_PX // times, SIDE_PX // times, *values.shape[2:]), np.float32)
    padded[rows, columns] = values
    return padded


def ellipse(outline: tuple[float, float, float, float], softness: float) -> Floats:
    """Draw a mask of a view: 1 inside an ellipse, 0 outside, its edge `softness` of a radius wide.

    `outline` is centre x and y and the half axes, in face coordinates.
    """
    middle, height, across, down = outline
    matrix = view_to_face()
    x = np.arange(SIDE_PX) * matrix[0, 0] + matrix[0, 2]
    radius = np.hypot((x - middle) / across, (x[:, None] - height) / down)
    return cast(Floats, np.clip((1 - radius) / softness + 0.5, 0, 1).astype(np.float32))
