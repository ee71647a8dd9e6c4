"""Where a thing that moves on its own, and is partly in a hole, lies in other frames.

Points of what is seen of it right beside the hole are followed from frame to frame; the motion that most have in
common is made exact by optical flow.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.holes import Flags, Mask, dilated
from pipelines.inpainting.looks import Look, follow, inside
from pipelines.inpainting.membrane import coarse_membrane
from pipelines.inpainting.registration import Target, gray_of, residual_flow
from pipelines.inpainting.views import Places, View, grid, place, sampled

NEAR_PX = 30
_LEAST_PIXELS = 40
_POINTS = 100
_FEWEST = 8
_APART_PX = 6.0
"""Points that leave the others by this much in one step, at the looks' size, were lost."""

Points = NDArray[np.float32]
Move = NDArray[np.float32]
"""How far a thing has moved, x and y, pixels."""


def near_things(aim: Target) -> Mask:
    """What is seen of moving things near the hole, in the wide crop; empty where it is too little to follow."""
    near = dilated(aim.hole.mask, NEAR_PX) > 0
    found = aim.thing & near
    enough = (
        np.count_nonzero(found) >= _LEAST_PIXELS
        and np.count_nonzero(found & aim.hole.rim) >= _LEAST_PIXELS // 2
    )
    return found if enough else np.zeros_like(found)


def moves(
    seeds: Mask,
    corner: tuple[int, int],
    scale: tuple[float, float],
    looks: Sequence[Look],
    moving: Callable[[int], Flags],
    wanted: Sequence[int],
) -> dict[int, Move]:
    """The motion of `seeds` to each of the `wanted` steps, as far as they can be followed.

    Args:
        seeds: pixels of a crop.
        corner: the crop's left and top in the frame.
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
    found: dict[int, Move] = {}
    for number, (before, now) in enumerate(pairwise(looks), 1):
        gone, seen = follow(before.gray, now.gray, here)
        kept &= seen & inside(gone, _followable(now, moving(number)))
        if kept.sum() < _FEWEST:
            break
        step_px = gone - here
        kept &= np.hypot(*(step_px - np.median(step_px[kept], axis=0)).T) < _APART_PX
        if kept.sum() < _FEWEST:
            break
        here = gone
        if number in wanted:
            found[number] = np.median((here - start)[kept], axis=0) * ratio
    return found


def thing_places(aim: Target, seeds: Mask, move: Move, reference: View, preset: int) -> Places:
    """Where each pixel of `aim.hole.wide` would lie in `reference` if it moved as the thing does.

    One motion for the whole thing, then what flow finds on the `seeds`: legs pedal, and the rider above them does not.
    """
    wide = aim.hole.wide
    places: Places = grid(*wide.size) + place(wide.left, wide.top) + move
    colours, shown = sampled(reference, places)
    flow = residual_flow(aim, gray_of(colours.astype(np.uint8)), ~shown, preset)
    return places + coarse_membrane(flow, (seeds & shown).astype(np.float32))


def _followable(now: Look, moving: Flags) -> Flags:
    return cast(Flags, moving & (now.hole == 0))
