"""Finding a moving object that is partly inside a hole in other frames.

Points on its visible part beside the hole are tracked from frame to frame; their median shift is refined by optical
flow. Distances are in pixels of the thumbnail. Constants without a stated source were found by trial.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import pairwise
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.flow.frame_pairs import Thumbnail, inside, track_points
from pipelines.inpainting.flow.frame_view import Coords, covered_at
from pipelines.inpainting.flow.harmonic import HarmonicFill, median
from pipelines.inpainting.flow.holes import dilated
from pipelines.inpainting.flow.registration import HoleRegion, residual_flow, warped
from pipelines.vision.crop import Crop
from pipelines.vision.types import Flags, Mask

NEAR_PX = 15
"""Distance from a hole within which an object counts as partly inside it."""
_LEAST_PIXELS = 10
"""Visible pixels below which an object is too small to track; half as many must touch the hole's rim."""
_LEAST_SHARED = 4
"""Pixels of an object that another frame must show for it to be compared."""
_ERROR_LIMIT = 80
"""Grey levels at which errors are cut off, so that an occlusion does not dominate."""
_POINTS = 100
"""Points tracked on an object, approximately: up to twice as many."""
_FEWEST = 8
"""Points below which tracking ends."""
_APART_PX = 6.0
"""Points that deviate this far from the median shift of one step are dropped."""

Shift = NDArray[np.float32]
"""How far an object has moved, x and y in pixels."""


def near_objects(region: HoleRegion) -> Mask:
    """Return the visible parts of moving objects near the hole, in its wide crop; empty if too small to track."""
    near = dilated(region.hole.empty, NEAR_PX) > 0
    found = region.moving & near
    enough = (
        np.count_nonzero(found) >= _LEAST_PIXELS
        and np.count_nonzero(found[region.hole.inner] & region.hole.rim) >= _LEAST_PIXELS // 2
    )
    return found if enough else np.zeros_like(found)


def object_shifts(
    object_mask: Mask, box: Crop, thumbnails: Iterable[Thumbnail], moving: Callable[[int], Flags]
) -> Generator[Shift]:
    """Track an object, given by `object_mask` in `box`, and yield its shift in each thumbnail after the first.

    `thumbnails` are consecutive, in either direction of time, beginning with the object's frame; `moving(n)` marks what
    moves in the n-th. Ends where too few points are left.
    """
    rows, columns = np.nonzero(object_mask)
    step = max(1, len(rows) // _POINTS)
    start = (np.stack((columns + box.left, rows + box.top), axis=1)[::step]).astype(np.float32)
    points, kept, guess = start, np.ones(len(start), np.bool_), None
    for number, (before, now) in enumerate(pairwise(thumbnails), 1):
        tracked, seen = track_points(before.gray, now.gray, points, guess)
        kept &= seen & inside(tracked, _followable(now, moving(number)))
        if np.count_nonzero(kept) < _FEWEST:
            return
        step_px = tracked - points
        kept &= np.hypot(*(channel - median(channel[kept]) for channel in step_px.T)) < _APART_PX
        if np.count_nonzero(kept) < _FEWEST:
            return
        # Objects tend to continue their motion.
        guess = tracked + np.array([median(channel[kept]) for channel in step_px.T])
        points = tracked
        yield np.array([median(channel) for channel in (points - start)[kept].T])


def object_coords(
    region: HoleRegion,
    object_mask: Mask,
    fill: HarmonicFill,
    others: Sequence[tuple[Thumbnail, Shift]],
    preset: int,
) -> list[tuple[Coords, float] | None]:
    """Map each pixel of `region.hole.tight` to each thumbnail, as if it moved with the object.

    One shift for the whole object, refined by flow on `object_mask`: legs pedal, and the rider above them does not.
    Each mapping comes with the object's mean error there in grey levels; None if too little of it is visible.
    """
    found = cast(list[tuple[Coords, float] | None], [None] * len(others))
    near: list[tuple[int, Coords, Mask]] = []
    flows = []
    for number, (other, shift) in enumerate(others):
        coords: Coords = region.coords + shift
        shown = covered_at(other.covered, coords) == 0
        if np.count_nonzero(seen := object_mask & shown) >= _LEAST_SHARED:
            near.append((number, coords, seen))
            flows.append(residual_flow(region, warped(other.gray, coords), ~shown, preset).reshape(-1, 2))
    if not near:
        return found
    weights = np.stack([seen.ravel()[fill.indices] for _, _, seen in near]).astype(np.float32)
    fields = fill.field(*fill.means(np.stack(flows)[:, fill.indices], weights))
    for (number, coords, seen), field in zip(near, fields, strict=True):
        coords = coords + fill.enlarged(field, seen.shape)
        off = cv2.absdiff(region.gray, warped(others[number][0].gray, coords))
        error = float(np.minimum(off[seen], _ERROR_LIMIT).mean(dtype=np.float64))
        found[number] = coords[region.hole.inner], error
    return found


def _followable(now: Thumbnail, moving: Flags) -> Flags:
    return cast(Flags, moving & (now.hole == 0))
