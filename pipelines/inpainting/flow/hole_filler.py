"""One hole of one frame, filled from other frames of the shot."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.flow.blending import Seam, WeightedMean, weight
from pipelines.inpainting.flow.clean_plate import CleanPlate
from pipelines.inpainting.flow.confidence import ConfidenceBlend
from pipelines.inpainting.flow.frame_cache import FrameCache
from pipelines.inpainting.flow.frame_pairs import Homography, reduced
from pipelines.inpainting.flow.frame_view import (
    Coords,
    FrameView,
    covered_at,
    point,
    sample,
)
from pipelines.inpainting.flow.harmonic import Floats, HarmonicFill
from pipelines.inpainting.flow.holes import Hole
from pipelines.inpainting.flow.moving_objects import (
    Shift,
    near_objects,
    object_coords,
    object_shifts,
)
from pipelines.inpainting.flow.references import Visibility, choose_references
from pipelines.inpainting.flow.registration import (
    background_coords,
    coords_of,
    hole_region,
)
from pipelines.spans import Span
from pipelines.vision.types import Mask

_MOVING_WEIGHT = np.float32(0.05)
"""What moves in another frame is hardly background there."""
_MAJORITY = 0.5
_LIKELY = 0.25
_SOFT = 2
"""Width of the edge of a thing, pixels of the look."""
_TINY = 1e-30
_MOST_KEYS = 4
_TOGETHER = 6
"""References that are compared side by side: many small steps become few."""
_CELL_PX = 2
"""Of the look."""
_SPOTS = 200
"""Places in a hole that tell which frames show how much of it."""


@dataclass(frozen=True)
class SearchEffort:
    """How hard the engine tries.

    `references` is how many frames are looked at for a hole's background, and as many for a thing before it, up to
    `reach` frames away; `preset` is one of DIS's; `pad_share` is what is looked at around a hole, as a share of the
    frame's shorter side.
    """

    references: int
    reach: int
    preset: int
    pad_share: float


@dataclass(frozen=True, eq=False)
class HolePatch:
    """A hole's crop `hole.full`: its `colours` `(h, w, 3)` float32, and two masks `(h, w)`.

    `missing` are the pixels of the hole that no frame shows, `in_front` those where a thing hides the background.
    """

    hole: Hole
    colours: Floats
    missing: Mask
    in_front: Mask


class HoleFiller:
    """Fills one hole: the background first, then the things before it."""

    def __init__(self, cache: FrameCache, of: FrameView, hole: Hole, effort: SearchEffort) -> None:
        self._cache, self._of, self._index, self._effort = cache, of, of.index, effort
        self._hole = hole
        moving = cache.moving(of.index)[hole.wide.slices] > 0
        self._region = hole_region(cache.thumbnail(of.index), hole, moving)
        self._known = of.pixels[hole.full.slices]
        steady = hole.repeated(self._region.steady[hole.inner])
        self._seam = Seam(hole, self._known, hole.seam & steady, hole.inside)
        self._grid = coords_of(hole.full)
        self._back = WeightedMean(hole.inside.shape)
        self._front, self._asked = WeightedMean(hole.inside.shape), np.zeros(hole.inside.shape, np.float32)

    def fill(self) -> HolePatch:
        """The patch. Holds the means, and what is sampled of `_TOGETHER` references."""
        shot = self._cache.shot(self._index, self._effort.reach)
        near = [self._cache.view(index) for index in self._near(shot)]
        for first in range(0, len(near), _TOGETHER):
            self._add_background(near[first : first + _TOGETHER])
        self._add_objects(shot)
        for key in self._cache.keys(self._index)[:_MOST_KEYS]:
            if not self._missing.any():
                break
            if abs(key.index - self._index) > self._effort.reach:
                self._add_background([key])
        thing = self._region.thing[self._hole.inner].astype(np.float32)
        return HolePatch(
            self._hole,
            self._merged(),
            self._missing,
            self._in_front | (self._hole.enlarged(thing) > _MAJORITY),
        )

    def _near(self, shot: Span) -> list[int]:
        """The frames of the shot that show most of the background."""
        moved = ((i, self._cache.motion(self._index, i)) for i in range(shot.start, shot.stop))
        visible = {
            i: self._visibility(i, cast(Coords, cv2.perspectiveTransform(self._spots, camera)))
            for i, camera in moved
            if camera is not None and i != self._index
        }
        return choose_references(visible, self._index, self._effort.references)

    @cached_property
    def _spots(self) -> Coords:
        """Places all over the hole, `(N, 1, 2)`, in the look."""
        rows, columns = np.nonzero(self._hole.empty)
        step = max(1, len(rows) // _SPOTS)
        corner = point(self._hole.wide.left, self._hole.wide.top)
        return (np.stack((columns, rows), axis=1)[::step, None] + corner).astype(np.float32)

    def _visibility(self, index: int, spots: Coords) -> Visibility:
        return cast(Visibility, covered_at(self._cache.thumbnail(index).covered, spots).ravel() == 0)

    @property
    def _missing(self) -> Mask:
        return self._hole.inside & ~self._back.seen & ~self._in_front

    @property
    def _cover(self) -> Floats:
        """How much a thing hides the background, 0 to 1: the share of references that show it there, were it there."""
        share, side = self._front.weight / np.maximum(self._asked, _TINY), _SOFT * self._hole.reduction + 1
        return cast(Floats, cv2.blur(share, (side, side))) * self._front.seen

    @property
    def _in_front(self) -> Mask:
        return self._cover > _MAJORITY

    def _add_background(self, references: Sequence[FrameView]) -> None:
        """Add what frames show of the background. Holds what is sampled of each: they are compared side by side."""
        motions = [(r, self._cache.motion(self._index, r.index)) for r in references]
        others = [(r, camera) for r, camera in motions if camera is not None]
        thumbnails = [(self._cache.thumbnail(r.index), camera) for r, camera in others]
        found = background_coords(self._region, thumbnails, self._effort.preset)
        registered = [(r, coords) for (r, _), coords in zip(others, found, strict=True) if coords is not None]
        samples = [sample(r, self._enlarged(coords)) for r, coords in registered]
        for (reference, coords), (colours, real), candidate in zip(
            registered, samples, self._seam.match(samples), strict=True
        ):
            if candidate is not None:
                worth = real * candidate.weight * self._nearness(reference)
                moving = self._moving(reference.index, coords)
                if moving.any():
                    worth *= self._hole.enlarged(1 - (1 - _MOVING_WEIGHT) * moving)
                self._back.add(candidate.relight(colours), worth, candidate.errors)

    def _nearness(self, reference: FrameView) -> np.float32:
        return np.float32(abs(reference.index - self._index) ** -0.5)

    def _enlarged(self, coords: Coords) -> Coords:
        """Where the pixels of the frame lie in another, from where those of its look do."""
        moved = coords - self._region.coords[self._hole.inner]
        return self._grid + self._hole.enlarged(moved) * np.float32(self._hole.reduction)

    def _add_objects(self, shot: Span) -> None:
        seeds = near_objects(self._region)
        if not seeds.any():
            return
        found = self._object_shifts(seeds, 1, shot.stop) | self._object_shifts(seeds, -1, shot.start - 1)
        visible = {i: self._visibility(i, self._spots + move) for i, move in found.items()}
        plate, spread = self._plate(), HarmonicFill(seeds, (self._hole.empty > 0) | seeds, _CELL_PX)
        near = [(i, found[i]) for i in choose_references(visible, self._index, self._effort.references)]
        thumbnails = [(self._cache.thumbnail(i), move) for i, move in near]
        there = object_coords(self._region, seeds, spread, thumbnails, self._effort.preset)
        for (i, _), seen in zip(near, there, strict=True):
            if seen is not None:
                self._add_object(*seen, self._cache.view(i), plate)

    def _plate(self) -> CleanPlate:
        hole = self._hole
        moving = self._cache.moving(self._index) > 0
        box = hole.wide.padded(max(hole.wide.size), moving.shape)
        return CleanPlate.of(self._of, box, moving[box.slices], hole, self._back)

    def _object_shifts(self, seeds: Mask, sign: int, stop: int) -> dict[int, Shift]:
        """How far the seeds have moved in each frame up to `stop`, as far as they can be followed."""
        frames = range(self._index, stop, sign)
        thumbnails = (self._cache.thumbnail(i) for i in frames)
        found = object_shifts(
            seeds, self._hole.wide, thumbnails, lambda number: self._cache.moving(frames[number])
        )
        return dict(zip(frames[1:], found, strict=False))

    def _add_object(self, coords: Coords, error: float, reference: FrameView, plate: CleanPlate) -> None:
        colours, real = sample(reference, self._enlarged(coords))
        worth = real * weight(np.asarray(error, np.float32)) * self._nearness(reference)
        self._asked += worth
        back = self._cache.motion(reference.index, self._index)
        shown = self._moving(reference.index, coords) > _LIKELY
        if back is not None:
            small = reduced(colours, self._hole.tight.size, self._hole.reduction)
            shown &= ~plate.matches(small, coords, back)
        if shown.any():
            worth = worth * self._hole.enlarged(shown.astype(np.float32))
            self._front.add(colours.astype(np.float32), worth)

    def _moving(self, index: int, coords: Coords) -> Floats:
        """How much the frame moves on its own at `coords` of its look, 0 to 1."""
        flags = self._cache.moving(index)
        found = cv2.remap(
            flags * np.uint8(255), coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )  # type: ignore[call-overload]
        return cast(Floats, found.astype(np.float32) / 255)

    def _merged(self) -> Floats:
        back, front, hole = self._back, self._front, self._hole
        trust, seen = ConfidenceBlend(hole, self._known), back.seen & hole.inside
        mean = trust.blend(back.colours, back.error, seen)
        # Where nothing is known of the background, half a thing is none.
        cover = np.where(back.seen, self._cover, self._in_front.astype(np.float32))[..., None]
        merged = mean + (front.colours - mean) * cover
        object_error = trust.object_error(merged, (self._region.thing & ~self._region.steady)[hole.inner])
        return merged if object_error is None else trust.blend(merged, object_error, seen)


def warped_coords(hole: Hole, camera: Homography) -> Coords:
    """Where the camera's motion takes the pixels of the hole's crop."""
    small = coords_of(hole.tight)
    moved = cast(Coords, cv2.perspectiveTransform(small, camera)) - small
    return coords_of(hole.full) + hole.enlarged(moved) * np.float32(hole.reduction)
