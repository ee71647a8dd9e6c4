"""Where a thing that moves on its own, and is partly in a hole, lies in other frames.

Corners of what is seen of it right beside the hole are followed from frame to frame; their motion is spread over the
hole and made exact by optical flow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.holes import Flags, Mask, dilated
from pipelines.inpainting.looks import Look, follow, inside
from pipelines.inpainting.membrane import Floats, coarse_membrane
from pipelines.inpainting.registration import Target, residual_flow
from pipelines.inpainting.views import Pixels, Places, View, covered_at, grid, sampled

NEAR_PX = 30
_LEAST_PIXELS = 40
_POINTS = 150
_FEWEST = 8
_APART_PX = 6.0
"""Points that leave the others by this much in one step, at the looks' size, were lost."""

Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Track:
    """Pixels of the target, `(N, 2)` integers x and y in its wide crop, and how far each has moved, pixels."""

    points: NDArray[np.int64]
    moves: Points


def near_things(aim: Target) -> Mask:
    """What is seen of moving things near the hole, in the wide crop; empty where it is too little to follow."""
    near = dilated(aim.hole.mask, NEAR_PX) > 0
    found = aim.thing & near
    enough = found.sum() >= _LEAST_PIXELS and (found & aim.hole.rim).sum() >= _LEAST_PIXELS // 2
    return found if enough else np.zeros_like(found)


def tracks(
    seeds: Mask,
    corner: tuple[int, int],
    scale: tuple[float, float],
    looks: Sequence[Look],
    moving: Callable[[int], Flags],
    wanted: Sequence[int],
) -> dict[int, Track]:
    """The motion of `seeds` to each of the `wanted` steps, as far as they can be followed.

    Args:
        seeds: pixels of the crop whose `corner` is left, top of the frame.
        scale: pixels of the frame per pixel of a look, across and down.
        looks: the frame's look, then those of the frames one after the other, in either direction of time.
        moving: what moves in the n-th of them.
        wanted: which of them, in rising order.
    """
    rows, columns = np.nonzero(seeds)
    step = max(1, len(rows) // _POINTS)
    points = np.stack((columns, rows), axis=1)[::step]
    ratio = np.array(scale, np.float32)
    start = ((points + np.array(corner) + 0.5) / ratio - 0.5).astype(np.float32)
    here, kept = start, np.ones(len(start), np.bool_)
    found: dict[int, Track] = {}
    for number, (before, now) in enumerate(zip(looks, looks[1:], strict=False), 1):
        gone, seen = follow(before.gray, now.gray, here)
        kept &= seen & inside(gone, _followable(now, moving(number)))
        if kept.sum() < _FEWEST:
            break
        moves = gone - here
        kept &= np.hypot(*(moves - np.median(moves[kept], axis=0)).T) < _APART_PX
        if kept.sum() < _FEWEST:
            break
        here = gone
        if number in wanted:
            found[number] = Track(points[kept], (here - start)[kept] * ratio)
    return found


def thing_places(aim: Target, seeds: Mask, track: Track, reference: View, preset: int) -> Places:
    """Where each pixel of `aim.hole.wide` would lie in `reference` if it moved as the thing does."""
    height, width = seeds.shape
    moves, known = np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32)
    columns, rows = track.points.T
    moves[rows, columns], known[rows, columns] = track.moves, 1
    wide = aim.hole.wide
    places: Places = grid(width, height) + np.float32((wide.left, wide.top)) + coarse_membrane(moves, known)
    colours, shown = sampled(reference, places)
    there = cast(Pixels, cv2.cvtColor(colours.astype(np.uint8), cv2.COLOR_RGB2GRAY))
    flow = residual_flow(aim, there, ~shown, preset)
    exact: Floats = coarse_membrane(flow, (seeds & shown).astype(np.float32))
    return places + exact


def _followable(now: Look, moving: Flags) -> Flags:
    return cast(Flags, moving & (now.hole == 0))
