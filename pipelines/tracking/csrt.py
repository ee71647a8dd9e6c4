"""Tracking an object from frame to frame, forwards or backwards from a prompt; one small record per frame.

A correlation tracker (CSRT, Lukezic et al. 2017) holds the box; motion against the background corrects it; the colours
decide whether it still is the object. If not, the object is *lost* on that frame: its box moves with the camera and at
its last speed, and the tracker tries to detect it again.

Thresholds without a stated source were found by trial.
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
        ("box", np.float32, (4,)),  # x, y, width, height at work size; may lie outside the frame
        ("speed", np.float32, (2,)),  # against the background, work pixels per frame, in the pass's direction
        ("moving", np.float32),  # 0..1: recent average of how much of the object moved against the background
        ("trust", np.float32),  # 0..1: confidence
        ("lost", np.uint8),  # frames since the object was last seen, at most 255; 0 while it is seen
    ]
)

KEEP_SIMILARITY, REDETECT_SIMILARITY, SURE_SIMILARITY = 0.6, 0.65, 0.75
"""Colour similarity at which a track is kept, a lost object is found again, and a moving part is the whole object.

Finding again needs more than keeping: the tracker's position is evidence, too.
"""
_CONFIDENCE_RANGE = (0.3, 0.8)
"""Colour similarity that maps to confidence 0 and 1."""
_STOP_PENALTY = 0.25
"""Additional similarity needed if an object that moved seems to stand still: objects rarely stop at once."""
_CONTRAST = 0.1
"""Similarity by which the object's silhouette must exceed its surroundings where nothing moves."""

_TEMPLATE_PX = 96
"""CSRT's template size; OpenCV's default of 200 is slower."""
_LEAST_PX = 8
"""CSRT needs crops of at least a few pixels."""
_SEARCH_SHARE, _CORE_SHARE = 0.5, 0.1
"""Enlargement of the box in which motion is searched, and in which most of a moving part must lie."""
_WIDER_PER_FRAME, _WIDEST_SHARE = 0.15, 4.0
"""Enlargement of the search for each frame that an object is lost, and its limit."""
_LEAST_MOVING = 0.25
"""Share of the object's usual area that must move for its motion to correct the box."""
_LEAST_PART, _MOST_PARTS = 0.3, 3.0
"""Area of a moving part, relative to the object's, within which it may be the object."""
_PULL, _SHRINK, _GROW = 0.5, 0.98, 1.03
"""Share of the way by which moving parts pull the box, and limits of its size change per frame."""
_RESTART_IOU = 0.4
"""Overlap of CSRT's box with the corrected one below which CSRT is initialised anew."""
_STEADY, _SMOOTHING, _LOST_DECAY = 0.9, 0.15, 0.97
"""Confidence from which speed is updated, its exponential smoothing, and its decay per frame while lost."""


@dataclass(frozen=True)
class State:
    """The tracker's state on a frame; what a record stores."""

    box: Box
    speed: Box
    moving: float = 0.0
    confidence: float = 1.0
    lost: int = 0

    def record(self) -> Records:
        """Return the state as a record `(1,)`."""
        record = np.zeros(1, RECORD)
        record["box"], record["speed"], record["moving"] = self.box, self.speed, self.moving
        record["trust"], record["lost"] = self.confidence, self.lost
        return record

    @classmethod
    def of(cls, record: np.void) -> "State":
        """Restore the state from `record`."""
        box, speed = (record[name].astype(np.float64) for name in ("box", "speed"))
        return cls(box, speed, float(record["moving"]), float(record["trust"]), int(record["lost"]))


@dataclass(frozen=True)
class _Detection:
    """The object on a frame: how much of it moves, 0 to 1, and its colour similarity."""

    box: Box
    moving: float
    similarity: float

    @property
    def confidence(self) -> float:
        low, high = _CONFIDENCE_RANGE
        return min(1.0, (self.similarity - low) / (high - low))


class ObjectTracker:
    """Tracks an object from frame to neighbouring frame. Holds CSRT's filters, a few MiB."""

    def __init__(self, neighbours: FrameNeighbours, target: Target, state: State | None = None) -> None:
        self._target = target
        self._state = state or State(target.box, np.zeros(2))
        self._frame = neighbours.current
        self._tracker = _Csrt.on(neighbours.current, self._state)

    @property
    def record(self) -> Records:
        """The record `(1,)` of the current frame."""
        return self._state.record()

    def reset_to_record(self) -> None:
        """Restart from the current frame and its record alone, as a pass that begins here would."""
        self._state = State.of(self.record[0])
        self._tracker = _Csrt.on(self._frame, self._state)

    def step(self, neighbours: FrameNeighbours) -> None:
        """Advance to a neighbouring frame, in either direction of time."""
        before, state, tracker = self._frame, self._state, self._tracker
        self._frame = neighbours.current
        motion = neighbours.current.back if neighbours.current.index > before.index else before.motion
        carried = state.box if motion is None else move_box(state.box, motion)
        expected = box_at(centre(carried) + state.speed, carried[2:])
        found = self._track(neighbours, tracker) if tracker else self._redetect(neighbours, expected)
        if found is None:
            self._tracker = None
            lost = min(255, state.lost + 1)
            self._state = replace(
                state, box=expected, speed=state.speed * _LOST_DECAY, confidence=0.0, lost=lost
            )
            return
        speed = state.speed
        if state.lost == 0 and found.confidence >= _STEADY:
            speed = speed + _SMOOTHING * (centre(found.box) - centre(carried) - speed)
        moving = state.moving + _SMOOTHING * (found.moving - state.moving)
        self._state = State(found.box, speed, moving, found.confidence)
        if tracker is None or iou(tracker.box, found.box) < _RESTART_IOU:
            self._tracker = _Csrt.on(neighbours.current, self._state)

    def _track(self, neighbours: FrameNeighbours, tracker: "_Csrt") -> _Detection | None:
        """Track the object with CSRT; None if it fails, or if what it finds does not look like the object."""
        size = tracker.update(neighbours.current)
        if size is None:
            return None
        box = box_at(centre(tracker.box), self._state.box[2:] * np.clip(size, _SHRINK, _GROW))
        pixels, target = neighbours.current.pixels, self._target
        crop, core = (
            box_crop(grow(box, _SEARCH_SHARE), pixels.shape),
            box_crop(grow(box, _CORE_SHARE), pixels.shape),
        )
        if min(crop.size) < _LEAST_PX:
            return None
        moved = moving_mask(neighbours, crop, core, target.colours)
        share = moved.sum() / (target.filling * max(1, core.area))
        if share >= _LEAST_MOVING:
            alike = similarity(target.colours, colour_histogram(pixels[crop.slices], moved))
            if alike >= KEEP_SIMILARITY:
                corrected = _pulled(box, outline_box(moved, crop)) if alike >= SURE_SIMILARITY else box
                return _Detection(corrected, min(1.0, share), alike)
        return self._check_static(neighbours, box, crop, KEEP_SIMILARITY, share)

    def _check_static(
        self, neighbours: FrameNeighbours, box: Box, crop: Crop, least: float, share: float
    ) -> _Detection | None:
        """Accept `box` without motion if the silhouette in it has the object's colours and its surroundings do not.

        An object that moved rarely stops at once, so it must be the more similar then.
        """
        pixels, target = neighbours.current.pixels[crop.slices], self._target
        outline = place_silhouette(target.silhouette, box, crop)
        alike = similarity(target.colours, colour_histogram(pixels, outline))
        around = similarity(target.colours, colour_histogram(pixels, 1 - outline))
        if alike < least + _STOP_PENALTY * self._state.moving or alike < around + _CONTRAST:
            return None
        return _Detection(box, share, alike)

    def _redetect(self, neighbours: FrameNeighbours, expected: Box) -> _Detection | None:
        """Search a lost object: moving parts near the expected box that look like it, else a static object there."""
        pixels, target = neighbours.current.pixels, self._target
        reach = min(_WIDEST_SHARE, _SEARCH_SHARE + _WIDER_PER_FRAME * self._state.lost)
        crop = box_crop(grow(expected, reach), pixels.shape)
        if min(crop.size) < _LEAST_PX:
            return None
        best: _Detection | None = None
        for part in self._candidates(neighbours, crop, target.filling * expected[2] * expected[3]):
            alike = similarity(target.colours, colour_histogram(pixels[crop.slices], part))
            if alike >= (best.similarity if best else REDETECT_SIMILARITY):
                best = _Detection(box_at(centre(outline_box(part, crop)), expected[2:]), 1.0, alike)
        return best or self._check_static(neighbours, expected, crop, REDETECT_SIMILARITY, 0.0)

    def _candidates(self, neighbours: FrameNeighbours, crop: Crop, size: float) -> Generator[Outline]:
        """Yield moving parts of about the object's area: all of its colours together, then each part alone."""
        together = moving_mask(neighbours, crop, crop, self._target.colours)
        if _LEAST_PART * size <= together.sum() <= _MOST_PARTS * size:
            yield together
        labels, areas = moving_parts(neighbours, crop)
        for k in np.flatnonzero((areas >= _LEAST_PART * size) & (areas <= _MOST_PARTS * size)):
            yield (labels == k).astype(np.uint8)


class _Csrt:
    """OpenCV's CSRT at work size; `box` is the last position it reported."""

    def __init__(self, current: RegisteredFrame, crop: Crop) -> None:
        settings: Any = cv2.TrackerCSRT_Params()  # type: ignore[attr-defined]
        settings.template_size = _TEMPLATE_PX
        self._csrt: Any = cv2.TrackerCSRT_create(settings)  # type: ignore[attr-defined]
        self._csrt.init(current.pixels, (crop.left, crop.top, *crop.size))
        self.box: Box = np.array([crop.left, crop.top, *crop.size], np.float64)

    @classmethod
    def on(cls, current: RegisteredFrame, state: State) -> "_Csrt | None":
        """Initialise CSRT on a frame; None if the object is lost or hardly inside the frame."""
        crop = box_crop(state.box, current.pixels.shape)
        return None if state.lost or min(crop.size) < _LEAST_PX else cls(current, crop)

    def update(self, current: RegisteredFrame) -> Box | None:
        """Track into `current`; returns the growth of width and height as factors, None if tracking failed."""
        found, box = self._csrt.update(current.pixels)
        if not found:
            return None
        before, self.box = self.box, np.array(box, np.float64)
        factors: Box = self.box[2:] / before[2:]
        return factors


def _pulled(box: Box, towards: Box) -> Box:
    """Move `box` half the way towards another, and resize it a little: what moves may be a part of the object."""
    size = np.clip(towards[2:], _SHRINK * box[2:], _GROW * box[2:])
    return box_at(centre(box) + _PULL * (centre(towards) - centre(box)), size)
