"""One hole of one frame, filled from other frames of the shot."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.footage import Footage
from pipelines.inpainting.holes import Box, Hole, Mask
from pipelines.inpainting.looks import Homography
from pipelines.inpainting.membrane import Floats, membrane
from pipelines.inpainting.merging import Candidate, Mean, candidate
from pipelines.inpainting.plate import Plate
from pipelines.inpainting.registration import background_places, target
from pipelines.inpainting.things import Move, moves, near_things, thing_places
from pipelines.inpainting.views import Places, View, grid, place, sampled

_MOVING_WEIGHT = np.float32(0.05)
"""What moves in another frame is hardly background there."""
_MAJORITY = 0.5
_LIKELY = 0.25
_SOFT_PX = 5
_TINY = 1e-30
_MOST_KEYS = 4
_TRUSTED = 0.97
_SPATIAL_ROUNDS = 6


@dataclass(frozen=True)
class Effort:
    """How hard the engine tries.

    `offsets` are the reference frames before and after, `thing_offsets` those for things that move, in frames; neither
    reaches farther than the last of `offsets`. `preset` is one of DIS's; `pad_share` is what is
    looked at around a hole, as a share of the frame's shorter side.
    """

    offsets: tuple[int, ...]
    thing_offsets: tuple[int, ...]
    preset: int
    pad_share: float

    @property
    def reach(self) -> int:
        """The farthest reference, frames."""
        return self.offsets[-1]


@dataclass(frozen=True, eq=False)
class Patch:
    """A hole's crop `hole.tight`: its `colours` `(h, w, 3)` float32, and two masks `(h, w)`.

    `missing` are the pixels of the hole that no frame shows, `in_front` those where a thing hides the background.
    """

    hole: Hole
    colours: Floats
    missing: Mask
    in_front: Mask


class Painter:
    """Fills one hole: the background first, then the things before it."""

    def __init__(self, footage: Footage, of: View, hole: Hole, effort: Effort) -> None:
        self._footage, self._of, self._index, self._effort = footage, of, of.index, effort
        self._aim = target(of, hole, self._moving(of.index, _places(hole.wide)) > _MAJORITY)
        self._back = Mean(hole.inside.shape)
        self._front, self._asked = Mean(hole.inside.shape), np.zeros(hole.inside.shape, np.float32)

    def paint(self) -> Patch:
        """The patch. Holds the means, and one candidate at a time."""
        offsets = [sign * step for step in self._effort.offsets for sign in (-1, 1)]
        shot = self._footage.shot(self._index, self._effort.reach)
        near = [i for i in (self._index + o for o in offsets) if shot.start <= i < shot.stop]
        for index in near:
            self._add_background(self._footage.view(index))
        self._add_things(shot.start, shot.stop)
        for key in self._footage.keys(self._index)[:_MOST_KEYS]:
            if not self._missing.any():
                break
            if abs(key.index - self._index) > self._effort.reach:
                self._add_background(key)
        return Patch(
            self._aim.hole,
            self._merged(),
            self._missing,
            self._in_front | self._aim.thing[self._aim.hole.inner],
        )

    @property
    def _missing(self) -> Mask:
        return self._aim.hole.inside & ~self._back.seen & ~self._in_front

    @property
    def _cover(self) -> Floats:
        """How much a thing hides the background, 0 to 1: the share of references that show it there, were it there."""
        share = self._front.weight / np.maximum(self._asked, _TINY)
        return cast(Floats, cv2.blur(share, (_SOFT_PX, _SOFT_PX))) * self._front.seen

    @property
    def _in_front(self) -> Mask:
        return self._cover > _MAJORITY

    def _add_background(self, reference: View) -> None:
        camera = self._footage.camera(self._index, reference.index)
        if camera is None:
            return
        places = background_places(self._aim, reference, camera, self._effort.preset)
        if places is None:
            return
        colours, real = sampled(reference, places)
        steady = self._aim.hole.seam & self._aim.steady[self._aim.hole.inner]
        found = candidate(self._aim.inner, colours, real, steady)
        if found is None:
            return
        moving = self._moving(reference.index, places)
        self._back.add(found, self._weight(found, reference) * (1 - (1 - _MOVING_WEIGHT) * moving))

    def _add_things(self, start: int, stop: int) -> None:
        seeds = near_things(self._aim)
        if not seeds.any():
            return
        plate = self._plate()
        for sign, end in ((1, stop - 1), (-1, start)):
            for step, move in self._moves(seeds, sign, end).items():
                self._add_thing(seeds, move, self._footage.view(self._index + sign * step), plate)

    def _plate(self) -> Plate:
        hole = self._aim.hole
        box = hole.wide.padded(max(hole.wide.size), self._of.covered.shape)
        return Plate.of(self._of, box, self._moving(self._index, _places(box)) > _MAJORITY, hole, self._back)

    def _moves(self, seeds: Mask, sign: int, end: int) -> dict[int, Move]:
        frames = range(self._index, end + sign, sign)
        wide = self._aim.hole.wide
        return moves(
            seeds,
            (wide.left, wide.top),
            self._footage.scale(self._index),
            [self._footage.look(i) for i in frames],
            lambda number: self._footage.moving(frames[number]),
            self._effort.thing_offsets,
        )

    def _add_thing(self, seeds: Mask, move: Move, reference: View, plate: Plate) -> None:
        places = thing_places(self._aim, seeds, move, reference, self._effort.preset)
        colours, real = sampled(reference, places)
        found = candidate(self._aim.pixels, colours, real, seeds, relight=False)
        if found is None:
            return
        inner = self._aim.hole.inner
        found = Candidate(colours[inner], real[inner], found.error)
        weight = found.real * np.float32(found.weight)
        self._asked += weight
        back = self._footage.camera(reference.index, self._index)
        same = np.zeros_like(found.real) if back is None else plate.shows(found.colours, places[inner], back)
        self._front.add(found, weight * ((self._moving(reference.index, places[inner]) > _LIKELY) & ~same))

    def _weight(self, found: Candidate, reference: View) -> Floats:
        apart = abs(reference.index - self._index)
        return found.real * np.float32(found.weight / np.sqrt(apart))

    def _moving(self, index: int, places: Places) -> Floats:
        """How much the frame moves on its own at `places`, 0 to 1."""
        flags = self._footage.moving(index)
        x, y = self._footage.scale(index)
        small = (places + np.float32(0.5)) / place(x, y) - np.float32(0.5)
        found = cv2.remap(
            flags * np.uint8(255), small, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )  # type: ignore[call-overload]
        return cast(Floats, found.astype(np.float32) / 255)

    def _merged(self) -> Floats:
        hole, known = self._aim.hole, self._aim.inner
        mean = trusted(self._back.colours, self._back.error, self._back.seen, known, hole)
        # Where nothing is known of the background, half a thing is none.
        cover = np.where(self._back.seen, self._cover, self._in_front.astype(np.float32))[..., None]
        return mean + (self._front.colours - mean) * cover


def trusted(colours: Floats, error: Floats, seen: Mask, known: Floats, hole: Hole) -> Floats:
    """`colours` as far as their error beside the hole is small against what a smooth fill would miss there.

    The deviation of what surrounds the hole stands for the latter. Where references are bad, the result is the
    smooth fill, and in between a mean of both: of two estimates, that is the one with the least expected error.
    """
    rim = hole.rim[hole.inner]
    varies = float(known[rim].var(axis=0, dtype=np.float64).mean()) if rim.any() else 0.0
    trust = np.float32(varies**2) / (np.float32(varies**2) + error**4 + np.float32(1e-6))
    if not (seen & hole.inside).any() or float(trust[seen & hole.inside].min()) > _TRUSTED:
        return colours
    smooth = spatial(known, ~hole.inside)
    return smooth + (colours - smooth) * trust[..., None]


def spatial(colours: Floats, known: Mask) -> Floats:
    """What is not known of a crop, drawn smoothly from what is."""
    return np.where(known[..., None], colours, membrane(colours, known.astype(np.float32), _SPATIAL_ROUNDS))


def _places(box: Box) -> Places:
    return grid(*box.size) + place(box.left, box.top)


def moved_places(hole: Hole, camera: Homography) -> Places:
    """Where the camera's motion takes the pixels of `hole.tight`."""
    return cast(Places, cv2.perspectiveTransform(_places(hole.tight), camera))
