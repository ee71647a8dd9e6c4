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

from pipelines.vision.types import Pixels

Found = NDArray[np.float64]
"""`(N, 3)`: centre x, y and size, in pixels."""

ENOUGH_VOTES = 40
"""What a face has at the least, and nothing else had among the pictures that this was tried on."""

_LEAST_SHARE = 0.12
_SCALE = 1.05
_WINDOW_PX = 24
_LONG_PX, _LONGER_PX, _GLANCE_PX = 256, 384, 160
_NEAR, _ALIKE = 0.2, 1.35
_TURNS = (-30, -15, 15, 30)
_STRAY, _SURE = 4, 10
"""Votes of a single look: below the first they mean nothing, from the second on there is a face."""
_COUNTED = 1.5
"""How much larger or smaller than a face all are that count for it, and then some."""
_AS_LARGE = 1.7


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
    def drawn(cls, left: float, top: float, width: float, height: float) -> "FaceBox":
        """The square that stands for a box `left, top, width, height` which somebody drew."""
        return cls(left + width / 2, top + height / 2, math.sqrt(width * height))


def vote(picture: Pixels) -> list[FaceBox]:
    """All that may be faces in `picture` `(H, W, 3)` uint8 RGB, most votes first; faces have `ENOUGH_VOTES` and more.

    Four looks; where they are sure of nothing, four more at a head that leans. A face must measure 12 % of the longer
    side. Takes half a second or one, holds small copies only.
    """
    found = np.concatenate(list(_looks(picture)))
    boxes = _clusters(found)
    if not boxes or boxes[0].votes < ENOUGH_VOTES:
        boxes = _clusters(np.concatenate([found, *(_leaning(picture, turn) for turn in _TURNS)]))
    return boxes


def detect_fast(picture: Pixels, size: float | None = None) -> list[FaceBox]:
    """The same by one small, coarse look, in a tenth of the time: a face has 8 votes and more, few others do.

    With the `size` that a face has elsewhere in the video only those about as large are looked for: most of the time
    goes to the smallest.
    """
    sizes = (size / _AS_LARGE, size * _AS_LARGE) if size else None
    return _clusters(_detected(_gray(picture, _GLANCE_PX), picture, sizes, scale=1.1))


def _looks(picture: Pixels) -> Generator[Found]:
    """What the cascade says to a picture, to one with more contrast, to a larger one, and to one in a mirror."""
    gray = _gray(picture, _LONG_PX)
    even = cast(Pixels, cv2.createCLAHE(2.0, (8, 8)).apply(gray))
    first = _detected(gray, picture)
    yield first
    sizes = _sizes(first)
    yield _detected(even, picture, sizes)
    yield _detected(_gray(picture, _LONGER_PX), picture, sizes)
    mirrored = _detected(np.ascontiguousarray(even[:, ::-1]), picture, sizes)
    mirrored[:, 0] = picture.shape[1] - mirrored[:, 0]
    yield mirrored


def _sizes(found: Found) -> tuple[float, float] | None:
    """Of all that may count for what a first look found; None where it is not sure of a face.

    Nothing else would be counted for these, so they have the votes that they would have in any case.
    """
    boxes = [box for box in _clusters(found) if box.votes >= _STRAY]
    if not boxes or boxes[0].votes < _SURE:
        return None
    sizes = [box.size for box in boxes]
    return min(sizes) / _COUNTED, max(sizes) * _COUNTED


def _leaning(picture: Pixels, degrees: float) -> Found:
    """What it says to the picture turned about its middle; the boxes stay upright."""
    gray = _gray(picture, _LONG_PX)
    height, width = gray.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(gray, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    found = _detected(cast(Pixels, turned), picture)
    back = cv2.getRotationMatrix2D((picture.shape[1] / 2, picture.shape[0] / 2), -degrees, 1)
    found[:, :2] = found[:, :2] @ back[:, :2].T + back[:, 2]
    return found


def _detected(
    gray: Pixels, picture: Pixels, sizes: tuple[float, float] | None = None, scale: float = _SCALE
) -> Found:
    """Every window that the cascade says yes to, in pixels of `picture`, none merged: merging loses their number.

    `sizes` are the smallest and the largest that are asked for.
    """
    long_px = max(gray.shape)
    per_px = max(picture.shape[:2]) / long_px
    smallest, largest = (side / per_px for side in sizes or (0.0, math.inf))
    least = float(max(_WINDOW_PX, round(_LEAST_SHARE * long_px)))
    if smallest > least:
        # One of the sizes that would be tried without it.
        least *= scale ** int(math.log(smallest / least) / math.log(scale))
    most = min(long_px, largest)
    if min(gray.shape) <= least or most <= least:
        return np.zeros((0, 3))
    windows = _cascade().detect_multi_scale(
        gray,
        scale_factor=scale,
        step_ratio=1,
        min_size=(least, least),
        max_size=(most, most),
        min_neighbor_number=1,
        intersection_score_threshold=1.01,
    )
    places = [(w["c"] + w["width"] / 2, w["r"] + w["height"] / 2, w["width"]) for w in windows]
    found: Found = np.array(places, np.float64).reshape(-1, 3) * per_px
    return found


def _clusters(found: Found) -> list[FaceBox]:
    """Windows that mean the same face, as its median and their number: the largest cluster first."""
    boxes = []
    while len(found):
        x, y, size = found.T
        apart = np.hypot(x[:, None] - x, y[:, None] - y)
        near = (apart < _NEAR * size) & (np.abs(np.log(size[:, None] / size)) < math.log(_ALIKE))
        votes = near.sum(axis=1)
        best = int(votes.argmax())
        middle = np.median(found[near[best]], axis=0)
        boxes.append(FaceBox(float(middle[0]), float(middle[1]), float(middle[2]), int(votes[best])))
        # What lies on a face is part of it.
        found = found[np.hypot(x - middle[0], y - middle[1]) > middle[2] / 2]
    return boxes


def _gray(picture: Pixels, long_px: int) -> Pixels:
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
