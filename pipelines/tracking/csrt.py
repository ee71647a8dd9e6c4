"""Where the object is on each frame, walking on from a hint or back from it: one small record per frame.

A correlation tracker (CSRT, Lukezic et al. 2017) holds the box; what moves against the background sets it
right; the object's colours tell whether it is the object at all. Where they do not, the frame is *lost*: the box
goes on with the camera and waits for the object to come back.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.tracking.appearance import (
    colour_histogram,
    moving_mask,
    moving_parts,
    place_silhouette,
    similarity,
)
from pipelines.tracking.background import FrameNeighbours, RegisteredFrame
from pipelines.tracking.target import Target
from pipelines.vision.boxes import Box, Outline, box_at, box_crop, centre, grow, iou, outline_box
from pipelines.vision.camera_motion import move_box
from pipelines.vision.crop import Crop

Records = NDArray[np.void]

RECORD = np.dtype(
    [
        ("box", np.float32, (4,)),  # x, y, width, height at work size; may lie outside the picture
        (
            "speed",
            np.float32,
            (2,),
        ),  # against the background, work pixels a frame, in the direction of the walk
        ("moving", np.float32),  # 0..1, how much of it moved against the background of late
        ("trust", np.float32),  # 0..1
        ("lost", np.uint8),  # frames since it was seen, at most 255; 0 where it is seen
    ]
)

HELD, FOUND, SURE = 0.6, 0.65, 0.75
"""Likeness of colours from which it is still the object, is the object again, and is all of it."""
_TRUSTED = (0.3, 0.8)
_NOT_AT_ONCE, _CONTRAST = 0.25, 0.1

_TEMPLATE_PX, _LEAST_PX = 96, 8
_SEARCH, _CORE = 0.5, 0.1
_WIDER, _WIDEST = 0.15, 4.0
_FEWEST_MOVED = 0.25
"""Of the share of its box that the object filled when it was shown."""
_LEAST_PART, _MOST_PARTS = 0.3, 3.0
_PULL, _SHRINK, _GROW = 0.5, 0.98, 1.03
_APART = 0.4
_STEADY, _STEERING, _WEARY = 0.9, 0.15, 0.97


@dataclass(frozen=True)
class State:
    """What a record keeps."""

    box: Box
    speed: Box
    moving: float = 0.0
    trust: float = 1.0
    lost: int = 0

    def record(self) -> Records:
        """As a record `(1,)`."""
        record = np.zeros(1, RECORD)
        record["box"], record["speed"], record["moving"] = self.box, self.speed, self.moving
        record["trust"], record["lost"] = self.trust, self.lost
        return record

    @classmethod
    def of(cls, record: np.void) -> "State":
        """What `record` kept."""
        box, speed = (record[name].astype(np.float64) for name in ("box", "speed"))
        return cls(box, speed, float(record["moving"]), float(record["trust"]), int(record["lost"]))


@dataclass(frozen=True)
class _Found:
    box: Box
    moving: float
    similarity: float

    @property
    def trust(self) -> float:
        low, high = _TRUSTED
        return min(1.0, (self.similarity - low) / (high - low))


class ObjectTracker:
    """Walks from frame to neighbouring frame. Holds a tracker's filters, a few MiB."""

    def __init__(self, neighbours: FrameNeighbours, target: Target, state: State | None = None) -> None:
        self._find_target = target
        self._state = state or State(target.box, np.zeros(2))
        self._view = neighbours.current
        self._tracker = _Tracker.on(neighbours.current, self._state)

    @property
    def record(self) -> Records:
        """The record `(1,)` of the frame it stands at."""
        return self._state.record()

    def forget(self) -> None:
        """Forget all that the record and the frame do not tell."""
        self._state = State.of(self.record[0])
        self._tracker = _Tracker.on(self._view, self._state)

    def step(self, neighbours: FrameNeighbours) -> None:
        """Go on to a neighbouring frame."""
        before, state, tracker = self._view, self._state, self._tracker
        self._view = neighbours.current
        motion = neighbours.current.back if neighbours.current.index > before.index else before.motion
        carried = state.box if motion is None else move_box(state.box, motion)
        expected = box_at(centre(carried) + state.speed, carried[2:])
        found = self._held(neighbours, tracker) if tracker else self._found_again(neighbours, expected)
        if found is None:
            self._tracker = None
            lost = min(255, state.lost + 1)
            self._state = replace(state, box=expected, speed=state.speed * _WEARY, trust=0.0, lost=lost)
            return
        speed = state.speed
        if state.lost == 0 and found.trust >= _STEADY:
            speed = speed + _STEERING * (centre(found.box) - centre(carried) - speed)
        moving = state.moving + _STEERING * (found.moving - state.moving)
        self._state = State(found.box, speed, moving, found.trust)
        if tracker is None or iou(tracker.box, found.box) < _APART:
            self._tracker = _Tracker.on(neighbours.current, self._state)

    def _held(self, neighbours: FrameNeighbours, tracker: "_Tracker") -> _Found | None:
        """Where the tracker sees the object; None where it does not, or where what it sees is something else."""
        size = tracker.update(neighbours.current)
        if size is None:
            return None
        box = box_at(centre(tracker.box), self._state.box[2:] * np.clip(size, _SHRINK, _GROW))
        pixels, target = neighbours.current.pixels, self._find_target
        crop, core = box_crop(grow(box, _SEARCH), pixels.shape), box_crop(grow(box, _CORE), pixels.shape)
        if min(crop.size) < _LEAST_PX:
            return None
        moved = moving_mask(neighbours, crop, core, target.colours)
        share = moved.sum() / (target.filling * max(1, core.area))
        if share >= _FEWEST_MOVED:
            alike = similarity(target.colours, colour_histogram(pixels[crop.slices], moved))
            if alike >= HELD:
                drawn = _drawn(box, outline_box(moved, crop)) if alike >= SURE else box
                return _Found(drawn, min(1.0, share), alike)
        return self._standing(neighbours, box, crop, HELD, share)

    def _standing(
        self, neighbours: FrameNeighbours, box: Box, crop: Crop, least: float, share: float
    ) -> _Found | None:
        """`box` where the object's form in it has its colours, and what is around has not.

        An object that moved does not stop at once: then its colours must be the surer.
        """
        part, form = (
            neighbours.current.pixels[crop.slices],
            place_silhouette(self._find_target.form, box, crop),
        )
        alike = similarity(self._find_target.colours, colour_histogram(part, form))
        elsewhere = similarity(self._find_target.colours, colour_histogram(part, 1 - form))
        if alike < least + _NOT_AT_ONCE * self._state.moving or alike < elsewhere + _CONTRAST:
            return None
        return _Found(box, share, alike)

    def _found_again(self, neighbours: FrameNeighbours, expected: Box) -> _Found | None:
        """What moves near where the object should be and is like it; else the object, standing there."""
        pixels, target = neighbours.current.pixels, self._find_target
        crop = box_crop(grow(expected, min(_WIDEST, _SEARCH + _WIDER * self._state.lost)), pixels.shape)
        if min(crop.size) < _LEAST_PX:
            return None
        best: _Found | None = None
        for part in self._candidates(neighbours, crop, target.filling * expected[2] * expected[3]):
            alike = similarity(target.colours, colour_histogram(pixels[crop.slices], part))
            if alike >= (best.similarity if best else FOUND):
                best = _Found(box_at(centre(outline_box(part, crop)), expected[2:]), 1.0, alike)
        return best or self._standing(neighbours, expected, crop, FOUND, 0.0)

    def _candidates(self, neighbours: FrameNeighbours, crop: Crop, size: float) -> Generator[Outline]:
        """What moves in `crop` and is about as large: all that has the object's colours together, then each part."""
        together = moving_mask(neighbours, crop, crop, self._find_target.colours)
        if _LEAST_PART * size <= together.sum() <= _MOST_PARTS * size:
            yield together
        labels, areas = moving_parts(neighbours, crop)
        for k in np.flatnonzero((areas >= _LEAST_PART * size) & (areas <= _MOST_PARTS * size)):
            yield (labels == k).astype(np.uint8)


class _Tracker:
    """OpenCV's CSRT on work frames; `box` is where it last saw the object."""

    def __init__(self, current: RegisteredFrame, crop: Crop) -> None:
        settings: Any = cv2.TrackerCSRT_Params()  # type: ignore[attr-defined]
        settings.template_size = _TEMPLATE_PX
        self._csrt: Any = cv2.TrackerCSRT_create(settings)  # type: ignore[attr-defined]
        self._csrt.init(current.pixels, (crop.left, crop.top, *crop.size))
        self.box: Box = np.array([crop.left, crop.top, *crop.size], np.float64)

    @classmethod
    def on(cls, current: RegisteredFrame, state: State) -> "_Tracker | None":
        """A new one for an object that is seen; None where it is lost or hardly in the picture."""
        crop = box_crop(state.box, current.pixels.shape)
        return None if state.lost or min(crop.size) < _LEAST_PX else cls(current, crop)

    def update(self, current: RegisteredFrame) -> Box | None:
        """How much wider and higher the object has become, as factors; None where it sees nothing."""
        seen, place = self._csrt.update(current.pixels)
        if not seen:
            return None
        before, self.box = self.box, np.array(place, np.float64)
        factors: Box = self.box[2:] / before[2:]
        return factors


def _drawn(box: Box, towards: Box) -> Box:
    """`box` moved half the way, and its size a little, towards another: what moves may be a part of the object."""
    size = np.clip(towards[2:], _SHRINK * box[2:], _GROW * box[2:])
    return box_at(centre(box) + _PULL * (centre(towards) - centre(box)), size)
