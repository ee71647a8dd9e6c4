"""Faces found by votes: the cascade that scikit-image ships, asked many times, its answers counted.

The cascade (local binary patterns, Liao et al. 2007) says yes or no and is often wrong. A face is said yes to
from many windows, sizes and views of a picture, and what is none from few: the count is a confidence. Nothing
is downloaded.
"""

import functools
import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.stages import Pixels

Windows = NDArray[np.float64]
"""`(N, 3)`: centre x, y and size, in pixels."""

MIN_VOTES = 40
"""What a face has at the least, and nothing else had among the pictures that this was tried on."""

_MIN_FACE_SHARE = 0.12
_SCALE_STEP = 1.05
_WINDOW_PX = 24
_GRAY_PX, _LARGE_GRAY_PX, _FAST_GRAY_PX = 256, 384, 160
_MERGE_DISTANCE, _MERGE_RATIO = 0.2, 1.35
_ROTATIONS = (-30, -15, 15, 30)
_STRAY_VOTES, _SURE_VOTES = 4, 10
"""Votes of a single look: below the first they mean nothing, from the second on there is a face."""
_SIZE_MARGIN = 1.5
"""How much larger or smaller than a face all are that count for it, and then some."""
_TRACKED_SIZE_RANGE = 1.7


@dataclass(frozen=True)
class FaceBox:
    """A square about a face, in pixels of its picture: hairline to chin, ear to ear.

    With `e` the distance of the eyes' middle from the mouth's, `size` is about 2.48 e and `(x, y)` lies 0.21 e above
    the middle between eyes and mouth.
    """

    x: float
    y: float
    size: float
    votes: int = 0
    """How often it was found; 0 where somebody drew it."""

    @classmethod
    def from_rectangle(cls, left: float, top: float, width: float, height: float) -> "FaceBox":
        """The square that stands for a box `left, top, width, height` which somebody drew."""
        return cls(left + width / 2, top + height / 2, math.sqrt(width * height))


def detect_by_votes(picture: Pixels) -> list[FaceBox]:
    """All that may be faces in `picture` `(H, W, 3)` uint8 RGB, most votes first; faces have `ENOUGH_VOTES` and more.

    Four looks; where they are sure of nothing, four more at a head that leans. A face must measure 12 % of the longer
    side. Takes half a second or one, holds small copies only.
    """
    windows = np.concatenate(list(_upright_passes(picture)))
    boxes = _cluster(windows)
    if not boxes or boxes[0].votes < MIN_VOTES:
        boxes = _cluster(
            np.concatenate([windows, *(_rotated_pass(picture, rotation) for rotation in _ROTATIONS)])
        )
    return boxes


def detect_fast(picture: Pixels, size: float | None = None) -> list[FaceBox]:
    """The same by one small, coarse look, in a tenth of the time: a face has 8 votes and more, few others do.

    With the `size` that a face has elsewhere in the video only those about as large are looked for: most of the time
    goes to the smallest.
    """
    sizes = (size / _TRACKED_SIZE_RANGE, size * _TRACKED_SIZE_RANGE) if size else None
    return _cluster(_run_cascade(_scaled_gray(picture, _FAST_GRAY_PX), picture, sizes, scale=1.1))


def _upright_passes(picture: Pixels) -> Generator[Windows]:
    """What the cascade says to a picture, to one with more contrast, to a larger one, and to one in a mirror."""
    gray = _scaled_gray(picture, _GRAY_PX)
    equalised = cast(Pixels, cv2.createCLAHE(2.0, (8, 8)).apply(gray))
    first = _run_cascade(gray, picture)
    yield first
    sizes = _size_range(first)
    yield _run_cascade(equalised, picture, sizes)
    yield _run_cascade(_scaled_gray(picture, _LARGE_GRAY_PX), picture, sizes)
    mirrored = _run_cascade(np.ascontiguousarray(equalised[:, ::-1]), picture, sizes)
    mirrored[:, 0] = picture.shape[1] - mirrored[:, 0]
    yield mirrored


def _size_range(windows: Windows) -> tuple[float, float] | None:
    """Of all that may count for what a first look found; None where it is not sure of a face.

    Nothing else would be counted for these, so they have the votes that they would have in any case.
    """
    boxes = [box for box in _cluster(windows) if box.votes >= _STRAY_VOTES]
    if not boxes or boxes[0].votes < _SURE_VOTES:
        return None
    sizes = [box.size for box in boxes]
    return min(sizes) / _SIZE_MARGIN, max(sizes) * _SIZE_MARGIN


def _rotated_pass(picture: Pixels, degrees: float) -> Windows:
    """What it says to the picture turned about its middle; the boxes stay upright."""
    gray = _scaled_gray(picture, _GRAY_PX)
    height, width = gray.shape
    rotation = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    rotated = cv2.warpAffine(gray, rotation, (width, height), borderMode=cv2.BORDER_REPLICATE)
    windows = _run_cascade(cast(Pixels, rotated), picture)
    back = cv2.getRotationMatrix2D((picture.shape[1] / 2, picture.shape[0] / 2), -degrees, 1)
    windows[:, :2] = windows[:, :2] @ back[:, :2].T + back[:, 2]
    return windows


def _run_cascade(
    gray: Pixels, picture: Pixels, sizes: tuple[float, float] | None = None, scale: float = _SCALE_STEP
) -> Windows:
    """Every window that the cascade says yes to, in pixels of `picture`, none merged: merging loses their number.

    `sizes` are the smallest and the largest that are asked for.
    """
    long_px = max(gray.shape)
    per_px = max(picture.shape[:2]) / long_px
    smallest, largest = (side / per_px for side in sizes or (0.0, math.inf))
    min_px = float(max(_WINDOW_PX, round(_MIN_FACE_SHARE * long_px)))
    if smallest > min_px:
        # One of the sizes that would be tried without it.
        min_px *= scale ** int(math.log(smallest / min_px) / math.log(scale))
    max_px = min(long_px, largest)
    if min(gray.shape) <= min_px or max_px <= min_px:
        return np.zeros((0, 3))
    raw = _cascade().detect_multi_scale(
        gray,
        scale_factor=scale,
        step_ratio=1,
        min_size=(min_px, min_px),
        max_size=(max_px, max_px),
        min_neighbor_number=1,
        intersection_score_threshold=1.01,
    )
    centres = [(w["c"] + w["width"] / 2, w["r"] + w["height"] / 2, w["width"]) for w in raw]
    windows: Windows = np.array(centres, np.float64).reshape(-1, 3) * per_px
    return windows


def _cluster(windows: Windows) -> list[FaceBox]:
    """Windows that mean the same face, as its median and their number: the largest cluster first."""
    boxes = []
    while len(windows):
        x, y, size = windows.T
        distance = np.hypot(x[:, None] - x, y[:, None] - y)
        neighbours = (distance < _MERGE_DISTANCE * size) & (
            np.abs(np.log(size[:, None] / size)) < math.log(_MERGE_RATIO)
        )
        votes = neighbours.sum(axis=1)
        best = int(votes.argmax())
        median = np.median(windows[neighbours[best]], axis=0)
        boxes.append(FaceBox(float(median[0]), float(median[1]), float(median[2]), int(votes[best])))
        # What lies on a face is part of it.
        windows = windows[np.hypot(x - median[0], y - median[1]) > median[2] / 2]
    return boxes


def _scaled_gray(picture: Pixels, long_px: int) -> Pixels:
    """Luma with `long_px` pixels on its longer side."""
    share = long_px / max(picture.shape[:2])
    size = [max(1, round(side * share)) for side in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR)
    return cast(Pixels, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


@functools.cache
def _cascade() -> Any:
    """The cascade; reading scikit-image takes its time, so it is read when a face is first looked for."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
