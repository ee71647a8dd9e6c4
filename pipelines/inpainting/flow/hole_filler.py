"""One hole of one frame, filled from other frames of the shot."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.flow.blending import Mean, Seam, weight
from pipelines.inpainting.flow.clean_plate import Plate
from pipelines.inpainting.flow.confidence import Trust
from pipelines.inpainting.flow.frame_cache import FrameCache
from pipelines.inpainting.flow.frame_pairs import Homography, reduced
from pipelines.inpainting.flow.frame_view import FrameView, Places, covered_at, place, sampled
from pipelines.inpainting.flow.harmonic import Floats, Spread
from pipelines.inpainting.flow.holes import Hole
from pipelines.inpainting.flow.moving_objects import Move, moves, near_things, thing_places
from pipelines.inpainting.flow.references import Sight, chosen
from pipelines.inpainting.flow.registration import background_places, places_of, target
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

    def __init__(self, footage: FrameCache, of: FrameView, hole: Hole, effort: SearchEffort) -> None:
        self._footage, self._of, self._index, self._effort = footage, of, of.index, effort
        self._hole = hole
        moving = footage.moving(of.index)[hole.wide.slices] > 0
        self._aim = target(footage.look(of.index), hole, moving)
        self._known = of.pixels[hole.full.slices]
        steady = hole.repeated(self._aim.steady[hole.inner])
        self._seam = Seam(hole, self._known, hole.seam & steady, hole.inside)
        self._grid = places_of(hole.full)
        self._back = Mean(hole.inside.shape)
        self._front, self._asked = Mean(hole.inside.shape), np.zeros(hole.inside.shape, np.float32)

    def paint(self) -> HolePatch:
        """The patch. Holds the means, and what is sampled of `_TOGETHER` references."""
        shot = self._footage.shot(self._index, self._effort.reach)
        near = [self._footage.view(index) for index in self._near(shot)]
        for first in range(0, len(near), _TOGETHER):
            self._add_background(near[first : first + _TOGETHER])
        self._add_things(shot)
        for key in self._footage.keys(self._index)[:_MOST_KEYS]:
            if not self._missing.any():
                break
            if abs(key.index - self._index) > self._effort.reach:
                self._add_background([key])
        thing = self._aim.thing[self._hole.inner].astype(np.float32)
        return HolePatch(
            self._hole,
            self._merged(),
            self._missing,
            self._in_front | (self._hole.enlarged(thing) > _MAJORITY),
        )

    def _near(self, shot: Span) -> list[int]:
        """The frames of the shot that show most of the background."""
        moved = ((i, self._footage.motion(self._index, i)) for i in range(shot.start, shot.stop))
        sights = {
            i: self._sight(i, cast(Places, cv2.perspectiveTransform(self._spots, camera)))
            for i, camera in moved
            if camera is not None and i != self._index
        }
        return chosen(sights, self._index, self._effort.references)

    @cached_property
    def _spots(self) -> Places:
        """Places all over the hole, `(N, 1, 2)`, in the look."""
        rows, columns = np.nonzero(self._hole.empty)
        step = max(1, len(rows) // _SPOTS)
        corner = place(self._hole.wide.left, self._hole.wide.top)
        return (np.stack((columns, rows), axis=1)[::step, None] + corner).astype(np.float32)

    def _sight(self, index: int, spots: Places) -> Sight:
        return cast(Sight, covered_at(self._footage.look(index).covered, spots).ravel() == 0)

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
        motions = [(r, self._footage.motion(self._index, r.index)) for r in references]
        others = [(r, camera) for r, camera in motions if camera is not None]
        looks = [(self._footage.look(r.index), camera) for r, camera in others]
        found = background_places(self._aim, looks, self._effort.preset)
        told = [(r, places) for (r, _), places in zip(others, found, strict=True) if places is not None]
        samples = [sampled(r, self._enlarged(places)) for r, places in told]
        for (reference, places), (colours, real), candidate in zip(
            told, samples, self._seam.meets(samples), strict=True
        ):
            if candidate is not None:
                worth = real * candidate.weight * self._nearness(reference)
                moving = self._moving(reference.index, places)
                if moving.any():
                    worth *= self._hole.enlarged(1 - (1 - _MOVING_WEIGHT) * moving)
                self._back.add(candidate.relit(colours), worth, candidate.errors)

    def _nearness(self, reference: FrameView) -> np.float32:
        return np.float32(abs(reference.index - self._index) ** -0.5)

    def _enlarged(self, places: Places) -> Places:
        """Where the pixels of the frame lie in another, from where those of its look do."""
        moved = places - self._aim.places[self._hole.inner]
        return self._grid + self._hole.enlarged(moved) * np.float32(self._hole.reduction)

    def _add_things(self, shot: Span) -> None:
        seeds = near_things(self._aim)
        if not seeds.any():
            return
        found = self._moves(seeds, 1, shot.stop) | self._moves(seeds, -1, shot.start - 1)
        sights = {i: self._sight(i, self._spots + move) for i, move in found.items()}
        plate, spread = self._plate(), Spread(seeds, (self._hole.empty > 0) | seeds, _CELL_PX)
        near = [(i, found[i]) for i in chosen(sights, self._index, self._effort.references)]
        looks = [(self._footage.look(i), move) for i, move in near]
        there = thing_places(self._aim, seeds, spread, looks, self._effort.preset)
        for (i, _), seen in zip(near, there, strict=True):
            if seen is not None:
                self._add_thing(*seen, self._footage.view(i), plate)

    def _plate(self) -> Plate:
        hole = self._hole
        moving = self._footage.moving(self._index) > 0
        box = hole.wide.padded(max(hole.wide.size), moving.shape)
        return Plate.of(self._of, box, moving[box.slices], hole, self._back)

    def _moves(self, seeds: Mask, sign: int, stop: int) -> dict[int, Move]:
        """How far the seeds have moved in each frame up to `stop`, as far as they can be followed."""
        frames = range(self._index, stop, sign)
        looks = (self._footage.look(i) for i in frames)
        found = moves(seeds, self._hole.wide, looks, lambda number: self._footage.moving(frames[number]))
        return dict(zip(frames[1:], found, strict=False))

    def _add_thing(self, places: Places, error: float, reference: FrameView, plate: Plate) -> None:
        colours, real = sampled(reference, self._enlarged(places))
        worth = real * weight(np.asarray(error, np.float32)) * self._nearness(reference)
        self._asked += worth
        back = self._footage.motion(reference.index, self._index)
        shown = self._moving(reference.index, places) > _LIKELY
        if back is not None:
            small = reduced(colours, self._hole.tight.size, self._hole.reduction)
            shown &= ~plate.shows(small, places, back)
        if shown.any():
            worth = worth * self._hole.enlarged(shown.astype(np.float32))
            self._front.add(colours.astype(np.float32), worth)

    def _moving(self, index: int, places: Places) -> Floats:
        """How much the frame moves on its own at `places` of its look, 0 to 1."""
        flags = self._footage.moving(index)
        found = cv2.remap(
            flags * np.uint8(255), places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )  # type: ignore[call-overload]
        return cast(Floats, found.astype(np.float32) / 255)

    def _merged(self) -> Floats:
        back, front, hole = self._back, self._front, self._hole
        trust, seen = Trust(hole, self._known), back.seen & hole.inside
        mean = trust.mixed(back.colours, back.error, seen)
        # Where nothing is known of the background, half a thing is none.
        cover = np.where(back.seen, self._cover, self._in_front.astype(np.float32))[..., None]
        merged = mean + (front.colours - mean) * cover
        doubt = trust.doubt(merged, (self._aim.thing & ~self._aim.steady)[hole.inner])
        return merged if doubt is None else trust.mixed(merged, doubt, seen)


def moved_places(hole: Hole, camera: Homography) -> Places:
    """Where the camera's motion takes the pixels of the hole's crop."""
    small = places_of(hole.tight)
    moved = cast(Places, cv2.perspectiveTransform(small, camera)) - small
    return places_of(hole.full) + hole.enlarged(moved) * np.float32(hole.reduction)
