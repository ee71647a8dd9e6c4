"""Filling one hole of a frame from other frames of the shot."""

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
from pipelines.inpainting.flow.frame_pairs import reduced
from pipelines.inpainting.flow.frame_view import Coords, FrameView, covered_at, point, sample
from pipelines.inpainting.flow.harmonic import HarmonicFill
from pipelines.inpainting.flow.holes import Hole
from pipelines.inpainting.flow.moving_objects import Shift, near_objects, object_coords, object_shifts
from pipelines.inpainting.flow.references import Visibility, choose_references
from pipelines.inpainting.flow.registration import background_coords, coords_of, hole_region
from pipelines.spans import Span
from pipelines.vision.camera_motion import Homography
from pipelines.vision.types import Floats, Mask

_MOVING_WEIGHT = np.float32(0.05)
"""Weight of pixels that move in a reference: they are hardly background there."""
_HALF = 0.5
"""Share of references that must show an object for it to hide the background."""
_LIKELY_MOVING = 0.25
"""Share of moving pixels from which a sample may be the object."""
_SOFT_PX = 2
"""Width of an object's soft edge, in thumbnail pixels."""
_TINY = 1e-30
_MOST_KEYS = 4
"""Key frames tried for what no near frame shows."""
_BATCH = 6
"""References that are compared at once, which turns many small array operations into few."""
_CELL_PX = 2
"""Cell of the harmonic fill, in thumbnail pixels: half resolution loses less than 0.1 dB."""
_PROBES = 200
"""Sample points in a hole by which its visibility in other frames is estimated."""


@dataclass(frozen=True)
class SearchEffort:
    """The engine's search effort.

    `references` frames are used for a hole's background, and as many for an object in front of it, up to `reach` frames
    away; `preset` is one of DIS's; `pad_share` is the width of a hole's surroundings that are registered, as a share of
    the frame's shorter side.
    """

    references: int
    reach: int
    preset: int
    pad_share: float


@dataclass(frozen=True, eq=False)
class HolePatch:
    """A filled hole: `colours` `(H, W, 3)` float32 of its crop `hole.full`, and two masks `(H, W)` bool.

    `missing` marks pixels of the hole that no frame shows, `in_front` those where an object hides the background.
    """

    hole: Hole
    colours: Floats
    missing: Mask
    in_front: Mask


class HoleFiller:
    """Fills one hole: first the background, then the objects in front of it."""

    def __init__(self, cache: FrameCache, frame: FrameView, hole: Hole, effort: SearchEffort) -> None:
        self._cache, self._frame, self._index, self._effort = cache, frame, frame.index, effort
        self._hole = hole
        moving = cache.moving(frame.index)[hole.wide.slices] > 0
        self._region = hole_region(cache.thumbnail(frame.index), hole, moving)
        self._known = frame.levels(hole.full.slices)
        steady = hole.repeated(self._region.steady[hole.inner])
        self._seam = Seam(hole, self._known, hole.seam & steady, hole.inside)
        self._grid = coords_of(hole.full)
        self._back = WeightedMean(hole.inside.shape)
        self._front = WeightedMean(hole.inside.shape)
        self._candidate_weight = np.zeros(hole.inside.shape, np.float32)

    def fill(self) -> HolePatch:
        """Fill the hole. Holds the weighted means, and samples of `_BATCH` references."""
        shot = self._cache.shot(self._index, self._effort.reach)
        near = [self._cache.view(index) for index in self._best_references(shot)]
        for first in range(0, len(near), _BATCH):
            self._add_background(near[first : first + _BATCH])
        self._add_objects(shot)
        for key in self._cache.keys(self._index)[:_MOST_KEYS]:
            if not self._missing.any():
                break
            if abs(key.index - self._index) > self._effort.reach:
                self._add_background([key])
        moving = self._region.moving[self._hole.inner].astype(np.float32)
        return HolePatch(
            self._hole,
            self._composite(),
            self._missing,
            self._in_front | (self._hole.enlarged(moving) > _HALF),
        )

    def _best_references(self, shot: Span) -> list[int]:
        """Choose the frames of the shot that show most of the background."""
        moved = ((i, self._cache.motion(self._index, i)) for i in range(shot.start, shot.stop))
        visible = {
            i: self._visibility(i, cast(Coords, cv2.perspectiveTransform(self._probes, camera)))
            for i, camera in moved
            if camera is not None and i != self._index
        }
        return choose_references(visible, self._index, self._effort.references)

    @cached_property
    def _probes(self) -> Coords:
        """Sample points all over the hole, `(N, 1, 2)`, in the thumbnail."""
        rows, columns = np.nonzero(self._hole.empty)
        step = max(1, len(rows) // _PROBES)
        corner = point(self._hole.wide.left, self._hole.wide.top)
        return (np.stack((columns, rows), axis=1)[::step, None] + corner).astype(np.float32)

    def _visibility(self, index: int, points: Coords) -> Visibility:
        """Which of `points` `(N, 1, 2)` the thumbnail of frame `index` shows."""
        return cast(Visibility, covered_at(self._cache.thumbnail(index).covered, points).ravel() == 0)

    @property
    def _missing(self) -> Mask:
        return self._hole.inside & ~self._back.seen & ~self._in_front

    @property
    def _occlusion(self) -> Floats:
        """Opacity of objects in front, 0 to 1: the weighted share of references that show one at a pixel."""
        share = self._front.weight / np.maximum(self._candidate_weight, _TINY)
        side = _SOFT_PX * self._hole.reduction + 1
        return cast(Floats, cv2.blur(share, (side, side))) * self._front.seen

    @property
    def _in_front(self) -> Mask:
        return self._occlusion > _HALF

    def _add_background(self, references: Sequence[FrameView]) -> None:
        """Add what references show of the background. Holds the samples of all of them."""
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
                weights = real * candidate.weight * self._nearness(reference)
                moving = self._moving(reference.index, coords)
                if moving.any():
                    weights *= self._hole.enlarged(1 - (1 - _MOVING_WEIGHT) * moving)
                self._back.add(candidate.relight(colours), weights, candidate.errors)

    def _nearness(self, reference: FrameView) -> np.float32:
        return np.float32(abs(reference.index - self._index) ** -0.5)

    def _enlarged(self, coords: Coords) -> Coords:
        """Upscale coordinates in another frame's thumbnail to coordinates in that frame."""
        moved = coords - self._region.coords[self._hole.inner]
        return self._grid + self._hole.enlarged(moved) * np.float32(self._hole.reduction)

    def _add_objects(self, shot: Span) -> None:
        object_mask = near_objects(self._region)
        if not object_mask.any():
            return
        after = self._object_shifts(object_mask, 1, shot.stop)
        shifts = after | self._object_shifts(object_mask, -1, shot.start - 1)
        visible = {i: self._visibility(i, self._probes + shift) for i, shift in shifts.items()}
        plate, fill = self._plate(), HarmonicFill(object_mask, (self._hole.empty > 0) | object_mask, _CELL_PX)
        near = [(i, shifts[i]) for i in choose_references(visible, self._index, self._effort.references)]
        thumbnails = [(self._cache.thumbnail(i), shift) for i, shift in near]
        registered = object_coords(self._region, object_mask, fill, thumbnails, self._effort.preset)
        for (i, _), seen in zip(near, registered, strict=True):
            if seen is not None:
                self._add_object(*seen, self._cache.view(i), plate)

    def _plate(self) -> CleanPlate:
        hole = self._hole
        moving = self._cache.moving(self._index) > 0
        box = hole.wide.padded(max(hole.wide.size), moving.shape)
        return CleanPlate.of(self._frame, box, moving[box.slices], hole, self._back)

    def _object_shifts(self, object_mask: Mask, sign: int, stop: int) -> dict[int, Shift]:
        """Track the object up to frame `stop`; returns its shift by frame."""
        frames = range(self._index, stop, sign)
        thumbnails = (self._cache.thumbnail(i) for i in frames)
        found = object_shifts(
            object_mask, self._hole.wide, thumbnails, lambda number: self._cache.moving(frames[number])
        )
        return dict(zip(frames[1:], found, strict=False))

    def _add_object(self, coords: Coords, error: float, reference: FrameView, plate: CleanPlate) -> None:
        colours, real = sample(reference, self._enlarged(coords))
        weights = real * weight(np.asarray(error, np.float32)) * self._nearness(reference)
        self._candidate_weight += weights
        back = self._cache.motion(reference.index, self._index)
        shown = self._moving(reference.index, coords) > _LIKELY_MOVING
        if back is not None:
            small = reduced(colours, self._hole.tight.size, self._hole.reduction)
            shown &= ~plate.matches(small, coords, back)
        if shown.any():
            weights = weights * self._hole.enlarged(shown.astype(np.float32))
            self._front.add(colours.astype(np.float32), weights)

    def _moving(self, index: int, coords: Coords) -> Floats:
        """How much a frame moves on its own at `coords` of its thumbnail, 0 to 1."""
        flags = self._cache.moving(index)
        found = cv2.remap(
            flags * np.uint8(255), coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )  # type: ignore[call-overload]
        return cast(Floats, found.astype(np.float32) / 255)

    def _composite(self) -> Floats:
        """Composite the objects in front over the background, each blended by confidence."""
        back, front, hole = self._back, self._front, self._hole
        confidence, seen = ConfidenceBlend(hole, self._known), back.seen & hole.inside
        mean = confidence.blend(back.colours, back.error, seen)
        # Where the background is unknown, an object is opaque or absent: there is nothing to blend with.
        occlusion = np.where(back.seen, self._occlusion, self._in_front.astype(np.float32))[..., None]
        composite = mean + (front.colours - mean) * occlusion
        moving = (self._region.moving & ~self._region.steady)[hole.inner]
        object_error = confidence.object_error(composite, moving)
        return composite if object_error is None else confidence.blend(composite, object_error, seen)


def warped_coords(hole: Hole, camera: Homography) -> Coords:
    """Return the coordinates of the pixels of the hole's crop after the camera's motion."""
    small = coords_of(hole.tight)
    moved = cast(Coords, cv2.perspectiveTransform(small, camera)) - small
    return coords_of(hole.full) + hole.enlarged(moved) * np.float32(hole.reduction)
