"""Detection of faces that are small in their picture, for pictures in which the usual search shows none.

One coarse pass of the cascade runs over ever smaller copies of the picture, tile by tile, and only what it hits
several times is looked at carefully, enlarged. Time grows with the picture up to a limit, memory does not.
"""

import math
from collections.abc import Generator, Iterator
from dataclasses import replace

import cv2
import numpy as np

from pipelines.animation.faces.cascade import (
    MIN_FACE_SHARE,
    FaceBox,
    Windows,
    cluster,
    run_windows,
    upright_votes,
)
from pipelines.vision.types import Pixels

SMALLEST_PX = 48
"""Side, in pixels, of the smallest face that is searched in pictures of up to `_MOST_COPY_PIXELS`."""

_WINDOW_PX = (24, 40)
"""Smallest and largest window on a copy, in its pixels."""
_LEAST_WINDOW_PX = 26.4
"""Size of the smallest face on the largest copy: 2 pixels above the smallest window, for the windows around it."""
_COPY_RATIO, _SCALE_STEP = 1.5, 1.2
"""Ratio of one copy to the next, less than that of the windows, and of one window to the next."""
_MOST_COPY_PIXELS = 8_400_000
"""Pixels of the largest copy: 48 px are found in 28 megapixels, and the search takes at most about 15 s."""
_TILE_PX, _OVERLAP_PX = 1024, 64
"""Side of a tile and what it shares with the next, more than the largest window."""
_SMALLEST_COPY_PX = 200
"""Longer side of the smallest copy: on it the windows are as large as the faces that the usual search finds."""
_CANDIDATE_HITS, _MOST_CANDIDATES = 5, 12
"""Hits that make a candidate (faces had 8 or more), and candidates that are looked at, those with most hits first."""
_LOOK_SIDES = (5, 3)
"""Sides of the two cut-outs in which a candidate is looked at, in sides of its box."""
_SURE_VOTES = 165
"""Votes that a small face needs in both cut-outs together: six people at 48 to 150 px had 172 or more, and 26
pictures of scikit-image without faces, enlarged to 1280 pixels, at most 118; enlarged five or six times, two of them
(gravel, a page of text) had 187 and 243."""
_SAME_DISTANCE, _SAME_RATIO = 0.5, 1.6
"""A careful look confirms a candidate this near, in sides of its box, and within this ratio of its size."""


def detect_small(picture: Pixels) -> list[FaceBox]:
    """Detect faces of at least `smallest_face_px` in `picture` `(H, W, 3)` uint8 RGB, most votes first.

    Returns certain ones only. Takes a second for 1920 x 1080, up to about 15; holds a tile of the picture.
    """
    found: list[FaceBox] = []
    hits = [windows for scale in _copy_scales(picture) for windows in _hits(picture, scale)]
    candidates = [box for tile in hits for box in cluster(tile) if box.votes >= _CANDIDATE_HITS]
    looks = 0
    for candidate in sorted(candidates, key=lambda box: -box.votes):
        if looks == _MOST_CANDIDATES:
            break
        if any(_is_same(candidate, face) for face in found):
            continue
        looks += 1
        if face := _confirmed(picture, candidate):
            found.append(face)
    return sorted(found, key=lambda box: -box.votes)


def smallest_face_px(width: int, height: int) -> int:
    """Return the side of the smallest face that is searched in a picture of that size, in its pixels."""
    return math.ceil(
        min(_LEAST_WINDOW_PX / _largest_scale(width, height), MIN_FACE_SHARE * max(width, height))
    )


def _largest_scale(width: int, height: int) -> float:
    return min(_LEAST_WINDOW_PX / SMALLEST_PX, math.sqrt(_MOST_COPY_PIXELS / (width * height)))


def _copy_scales(picture: Pixels) -> Iterator[float]:
    """Yield the scales of the copies, largest first."""
    height, width = picture.shape[:2]
    scale = _largest_scale(width, height)
    while scale * max(width, height) >= _SMALLEST_COPY_PX:
        yield scale
        scale /= _COPY_RATIO


def _hits(picture: Pixels, scale: float) -> Generator[Windows]:
    """Yield what the cascade hits on each tile of a copy, in pixels of `picture`. Holds one tile."""
    height, width = picture.shape[:2]
    for top, bottom in _tiles(height, scale):
        for left, right in _tiles(width, scale):
            tile = picture[top:bottom, left:right]
            size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
            gray = cv2.cvtColor(cv2.resize(tile, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
            windows = run_windows(gray.astype(np.uint8, copy=False), *_WINDOW_PX, _SCALE_STEP) / scale
            windows[:, :2] += left, top
            yield windows


def _tiles(side_px: int, scale: float) -> list[tuple[int, int]]:
    """Return where tiles begin and end along a side of the picture, in its pixels, all of them equally long."""
    length, overlap = _TILE_PX / scale, _OVERLAP_PX / scale
    count = max(1, math.ceil((side_px - overlap) / (length - overlap)))
    starts = [round(number * (side_px - length) / (count - 1)) if count > 1 else 0 for number in range(count)]
    return [(start, min(side_px, start + math.ceil(length))) for start in starts]


def _confirmed(picture: Pixels, candidate: FaceBox) -> FaceBox | None:
    """Look at a candidate in each cut-out; returns the face with its mean votes, None where it is none."""
    looks = [_look(picture, candidate, sides) for sides in _LOOK_SIDES]
    votes = sum(look.votes for look in looks if look)
    first = looks[0]
    if first is None or votes < _SURE_VOTES:
        return None
    return replace(first, votes=votes // len(looks))


def _look(picture: Pixels, candidate: FaceBox, sides: float) -> FaceBox | None:
    """Count the votes for a candidate in a cut-out `sides` times as large as its box."""
    half, (height, width) = candidate.size * sides / 2, picture.shape[:2]
    left, top = max(0, round(candidate.x - half)), max(0, round(candidate.y - half))
    right, bottom = min(width, round(candidate.x + half)), min(height, round(candidate.y + half))
    for box in upright_votes(np.ascontiguousarray(picture[top:bottom, left:right])):
        face = FaceBox(left + box.x, top + box.y, box.size, box.votes)
        if _is_same(face, candidate):
            return face
    return None


def _is_same(face: FaceBox, other: FaceBox) -> bool:
    near = math.hypot(face.x - other.x, face.y - other.y) < _SAME_DISTANCE * max(face.size, other.size)
    return near and abs(math.log(face.size / other.size)) < math.log(_SAME_RATIO)
