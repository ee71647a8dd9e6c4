"""Face detection by votes: scikit-image's cascade, run many times, its hits counted.

One answer of the cascade (local binary patterns, Liao et al. 2007) is often wrong. A face is hit by many windows,
scales and variants of the picture, anything else by few, so the count serves as a confidence. Nothing is downloaded.
"""

import functools
import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.types import Pixels

Found = NDArray[np.float64]
"""`(N, 3)`: centre x, y and size, in pixels."""

Windows = NDArray[np.float64]
"""Hits of the cascade, `(N, 3)`: centre x, centre y and size, in pixels."""

MIN_VOTES = 40
"""Votes that make a face: faces had more, and nothing else had as many, in the pictures that this was tried on."""

MIN_FACE_SHARE = 0.12
"""Smallest face of the usual search, as a share of the longer side of the picture."""

_SCALE_STEP = 1.05
"""Ratio of one window size to the next."""
_WINDOW_PX = 24
"""Side of the window that the cascade was trained on."""
_GRAY_PX, _LARGE_GRAY_PX, _FAST_GRAY_PX = 256, 384, 160
"""Longer side, in pixels, of the picture that is searched: in most passes, in the larger pass, and in the fast one."""
_FAST_STEP = 1.1
"""Ratio of one window size to the next in the fast pass."""
_FAST_FACE_PX, _MOST_FAST_GRAY_PX = 32, 640
"""Side that a known face has at least on the copy of the fast pass, and the longer side of that copy at most."""
_FAST_REACH = 5
"""How far from where a small face was it is searched in the fast pass, in sides of its box."""
_MERGE_DISTANCE, _MERGE_RATIO = 0.2, 1.35
"""Windows count as one face if their centres are this near, in sides, and their sizes within this ratio."""
_ROTATIONS = (-30, -15, 15, 30)
"""Degrees by which the picture is turned to find heads that lean."""
_STRAY_VOTES, _SURE_VOTES = 4, 10
"""Votes of a single pass: fewer than the first are noise, as many as the second are surely a face."""
_SIZE_MARGIN = 1.5
"""Ratio of sizes within which windows can count for a face: `_MERGE_RATIO` and some more."""
_TRACKED_SIZE_RANGE = 1.7
"""Ratio by which a face may have grown or shrunk since its size was measured elsewhere in the video."""


@dataclass(frozen=True)
class FaceBox:
    """Square around a face, in pixels of its picture: hairline to chin, ear to ear.

    If `e` is the distance from the midpoint of the eyes to that of the mouth, `size` is about 2.48 e, and `(x, y)`
    lies 0.21 e above the midpoint of the two.
    """

    x: float
    y: float
    size: float
    votes: int = 0
    """How often it was hit; 0 for a box that a user drew."""

    @classmethod
    def from_rectangle(cls, left: float, top: float, width: float, height: float) -> "FaceBox":
        """Return the square of the same centre and area as a drawn rectangle `left, top, width, height`."""
        return cls(left + width / 2, top + height / 2, math.sqrt(width * height))

    def scaled(self, scale: float) -> "FaceBox":
        """Return the box in a copy of the picture that is `scale` times as large."""
        return FaceBox(self.x * scale, self.y * scale, self.size * scale, self.votes)


def detect_by_votes(picture: Pixels) -> list[FaceBox]:
    """Detect face candidates in `picture` `(H, W, 3)` uint8 RGB, most votes first; faces have at least `MIN_VOTES`.

    Runs four passes; where these are sure of nothing, four more on the picture turned, for a head that leans. A face
    must measure 12 % of the longer side; `small_faces` searches smaller ones. Takes half a second to a second and
    holds small copies only.
    """
    windows = np.concatenate(list(_upright_passes(picture)))
    boxes = cluster(windows)
    if not boxes or boxes[0].votes < MIN_VOTES:
        boxes = cluster(
            np.concatenate([windows, *(_rotated_pass(picture, rotation) for rotation in _ROTATIONS)])
        )
    return boxes


def detect_fast(picture: Pixels, like: Sequence[FaceBox] = ()) -> list[FaceBox]:
    """Detect candidates in one small, coarse pass, ten times as fast: faces have 8 votes or more, few other objects do.

    `like` are the faces as they were elsewhere in the video, if known: only similar sizes are searched, since most of
    the time goes to the smallest windows, and small faces are searched on a larger copy of what is around them.
    """
    if not like:
        return cluster(_run_cascade(_scaled_gray(picture, _FAST_GRAY_PX), picture, scale=_FAST_STEP))
    smallest, largest = min(face.size for face in like), max(face.size for face in like)
    sizes = smallest / _TRACKED_SIZE_RANGE, largest * _TRACKED_SIZE_RANGE
    if smallest >= _FAST_FACE_PX / _FAST_GRAY_PX * max(picture.shape[:2]):
        return cluster(_run_cascade(_scaled_gray(picture, _FAST_GRAY_PX), picture, sizes, scale=_FAST_STEP))
    (left, right), (top, bottom) = (
        _reach([centre(face) for face in like], _FAST_REACH * largest, side_px)
        for centre, side_px in ((attrgetter("x"), picture.shape[1]), (attrgetter("y"), picture.shape[0]))
    )
    region = picture[top:bottom, left:right]
    long_px = max(region.shape[:2])
    gray = _scaled_gray(region, min(_MOST_FAST_GRAY_PX, round(long_px * _FAST_FACE_PX / smallest)))
    per_px = long_px / max(gray.shape)
    min_px, max_px = max(_WINDOW_PX, sizes[0] / per_px), min(*gray.shape, sizes[1] / per_px)
    windows = run_windows(gray, min_px, max_px, _FAST_STEP) * per_px
    windows[:, :2] += left, top
    return cluster(windows)


def _reach(centres: list[float], reach_px: float, side_px: int) -> tuple[int, int]:
    """Return the part of a side of `side_px` pixels that lies within reach of the centres."""
    first = max(0, min(side_px - 1, round(min(centres) - reach_px)))
    return first, max(first + 1, min(side_px, round(max(centres) + reach_px)))


def upright_votes(picture: Pixels) -> list[FaceBox]:
    """Detect candidates as `detect_by_votes` does, without turning the picture for a head that leans."""
    return cluster(np.concatenate(list(_upright_passes(picture))))


def _upright_passes(picture: Pixels) -> Generator[Windows]:
    """Run the cascade on the picture, on one with more contrast, on a larger one, and on a mirrored one."""
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
    """Return the range of sizes that can count for what a first pass found; None where it is sure of no face.

    Windows of other sizes would not be counted, so candidates get the votes that a full search would give them.
    """
    boxes = [box for box in cluster(windows) if box.votes >= _STRAY_VOTES]
    if not boxes or boxes[0].votes < _SURE_VOTES:
        return None
    sizes = [box.size for box in boxes]
    return min(sizes) / _SIZE_MARGIN, max(sizes) * _SIZE_MARGIN


def _rotated_pass(picture: Pixels, degrees: float) -> Windows:
    """Run the cascade on the picture turned about its centre; the boxes stay upright."""
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
    """Return every window that the cascade accepts, in pixels of `picture`, unmerged: merging would lose their number.

    `sizes` are the smallest and the largest size to search.
    """
    long_px = max(gray.shape)
    per_px = max(picture.shape[:2]) / long_px
    smallest, largest = (side / per_px for side in sizes or (0.0, math.inf))
    min_px = float(max(_WINDOW_PX, round(MIN_FACE_SHARE * long_px)))
    if smallest > min_px:
        # Stay on the sizes that a search without a limit would try.
        min_px *= scale ** int(math.log(smallest / min_px) / math.log(scale))
    max_px = min(long_px, largest)
    windows: Windows = run_windows(gray, min_px, max_px, scale) * per_px
    return windows


def run_windows(gray: Pixels, min_px: float, max_px: float, scale: float) -> Windows:
    """Return every window of `min_px` to `max_px` pixels a side that the cascade accepts on `gray`, in its pixels."""
    if min(gray.shape) <= min_px or max_px <= min_px:
        return np.zeros((0, 3))
    hits = _cascade().detect_multi_scale(
        gray,
        scale_factor=scale,
        step_ratio=1,
        min_size=(min_px, min_px),
        max_size=(max_px, max_px),
        min_neighbor_number=1,
        intersection_score_threshold=1.01,
    )
    centres = [(w["c"] + w["width"] / 2, w["r"] + w["height"] / 2, w["width"]) for w in hits]
    return np.array(centres, np.float64).reshape(-1, 3)


def cluster(windows: Windows) -> list[FaceBox]:
    """Merge windows of the same face into their median, with their number as votes; largest cluster first."""
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
        # Windows centred on this face belong to it.
        windows = windows[np.hypot(x - median[0], y - median[1]) > median[2] / 2]
    return boxes


def _scaled_gray(picture: Pixels, long_px: int) -> Pixels:
    """Return luma, scaled to `long_px` pixels on its longer side."""
    share = long_px / max(picture.shape[:2])
    size = [max(1, round(side * share)) for side in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR)
    return cast(Pixels, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


@functools.cache
def _cascade() -> Any:
    """Load the cascade on first use, since importing scikit-image is slow."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
