"""Where a thing that moves on its own, and is partly in a hole, lies in other frames.

Points of what is seen of it right beside the hole are followed from frame to frame; the motion that most have in
common is made exact by optical flow.
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
from pipelines.inpainting.flow.holes import Flags, dilated
from pipelines.inpainting.flow.registration import HoleRegion, residual_flow, warped
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask

NEAR_PX = 15
"""Of the look, as all pixels here."""
_LEAST_PIXELS = 10
_LEAST_SHARED = 4
_ERROR_LIMIT = 80
_POINTS = 100
"""Of a thing, that are followed, about: up to twice as many."""
_FEWEST = 8
_APART_PX = 6.0
"""Points that leave the others by this much in one step were lost."""

Points = NDArray[np.float32]
Shift = NDArray[np.float32]
"""How far a thing has moved, x and y, pixels."""


def near_objects(region: HoleRegion) -> Mask:
    """What is seen of moving things near the hole, in the wide crop; empty where it is too little to follow."""
    near = dilated(region.hole.empty, NEAR_PX) > 0
    found = region.thing & near
    enough = (
        np.count_nonzero(found) >= _LEAST_PIXELS
        and np.count_nonzero(found[region.hole.inner] & region.hole.rim) >= _LEAST_PIXELS // 2
    )
    return found if enough else np.zeros_like(found)


def object_shifts(
    seeds: Mask, box: Crop, thumbnails: Iterable[Thumbnail], moving: Callable[[int], Flags]
) -> Generator[Shift]:
    """How far the `seeds`, pixels of `box`, have moved in each look after the first, as far as they can be followed.

    `thumbnails` are the frame's and those of the frames one after the other, in either direction of time; `moving` says
    what moves in the n-th of them.
    """
    rows, columns = np.nonzero(seeds)
    step = max(1, len(rows) // _POINTS)
    start = (np.stack((columns + box.left, rows + box.top), axis=1)[::step]).astype(np.float32)
    here, kept, guess = start, np.ones(len(start), np.bool_), None
    for number, (before, now) in enumerate(pairwise(thumbnails), 1):
        gone, seen = track_points(before.gray, now.gray, here, guess)
        kept &= seen & inside(gone, _followable(now, moving(number)))
        if np.count_nonzero(kept) < _FEWEST:
            return
        step_px = gone - here
        kept &= np.hypot(*(channel - median(channel[kept]) for channel in step_px.T)) < _APART_PX
        if np.count_nonzero(kept) < _FEWEST:
            return
        # Things go on as they go.
        guess = gone + np.array([median(channel[kept]) for channel in step_px.T])
        here = gone
        yield np.array([median(channel) for channel in (here - start)[kept].T])


def object_coords(
    region: HoleRegion,
    seeds: Mask,
    spread: HarmonicFill,
    others: Sequence[tuple[Thumbnail, Shift]],
    preset: int,
) -> list[tuple[Coords, float] | None]:
    """Where each pixel of `region.hole.tight` would lie in each look if it moved as the thing does.

    One motion for the whole thing, then what flow finds on the `seeds`: legs pedal, and the rider above them does not.
    Also says by how many grey levels what is seen of it is off there; None where that is too little.
    """
    found = cast(list[tuple[Coords, float] | None], [None] * len(others))
    near: list[tuple[int, Coords, Mask]] = []
    flows = []
    for number, (other, move) in enumerate(others):
        coords: Coords = region.coords + move
        shown = covered_at(other.covered, coords) == 0
        if np.count_nonzero(seen := seeds & shown) >= _LEAST_SHARED:
            near.append((number, coords, seen))
            flows.append(residual_flow(region, warped(other.gray, coords), ~shown, preset).reshape(-1, 2))
    if not near:
        return found
    weights = np.stack([seen.ravel()[spread.coords] for _, _, seen in near]).astype(np.float32)
    fields = spread.field(*spread.means(np.stack(flows)[:, spread.coords], weights))
    for (number, coords, seen), field in zip(near, fields, strict=True):
        coords = coords + spread.enlarged(field, seen.shape)
        off = cv2.absdiff(region.gray, warped(others[number][0].gray, coords))
        error = float(np.minimum(off[seen], _ERROR_LIMIT).mean(dtype=np.float64))
        found[number] = coords[region.hole.inner], error
    return found


def _followable(now: Thumbnail, moving: Flags) -> Flags:
    return cast(Flags, moving & (now.hole == 0))
