"""One face over a whole video, from records of what was seen on some of its frames.

Each frame's record depends on that frame alone, so that any span of them comes out the same. What needs them all,
following one face and smoothing its path, reads the records, which are small.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.spans import Span

DETECT_EVERY = 8
"""Frames from one look to the next; a grid that starts at the job's first frame."""
MOST_FACES = 4
RECORD = np.dtype([("x", "<f4"), ("y", "<f4"), ("size", "<f4"), ("votes", "<i4")])
Records = NDArray[np.void]
"""`(MOST_FACES,)` of `RECORD`, what one frame shows, most votes first; 0 votes is nobody."""

_MAX_DISTANCE, _MAX_SIZE_RATIO = 0.7, 1.5
"""How far a face may be from where it was at the last look, in sides, and how much larger or smaller."""
_MIN_VOTES_NEAR, _MIN_VOTES_ELSEWHERE = 3, 8
_GONE_DETECTIONS = 4
"""Looks without the face after which it counts as gone, not as overlooked."""
_SMOOTHING_DETECTIONS = 1.5
_FADE_FRAMES = 10


def is_detection_frame(frame: int, frames: Span) -> bool:
    """Whether `frame` of `frames` is looked at."""
    return (frame - frames.start) % DETECT_EVERY == 0


def to_record(boxes: Sequence[FaceBox]) -> Records:
    """What was seen on one frame, to be kept: 16 bytes a face, `MOST_FACES` of them."""
    records = np.zeros(MOST_FACES, RECORD)
    for record, box in zip(records, boxes, strict=False):
        record["x"], record["y"], record["size"], record["votes"] = box.x, box.y, box.size, max(1, box.votes)
    return records


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """Where one face is on every frame of `frames`, its path smoothed. Holds 25 bytes a look.

    `first` is its box on the frame `reference`, as it was chosen there.
    """

    frames: Span
    first: FaceBox
    reference: int
    path: NDArray[np.float64]
    """`(looks, 3)`: x, y and the logarithm of the size."""
    seen: NDArray[np.bool_]
    """`(looks,)`."""

    def box(self, frame: int) -> FaceBox:
        """Its box on `frame`; where it is overlooked or gone, between where it was and where it is again."""
        at = (frame - self.frames.start) / DETECT_EVERY
        x, y, size = (float(np.interp(at, np.arange(len(self.path)), column)) for column in self.path.T)
        return FaceBox(x, y, float(np.exp(size)))

    def presence(self, frame: int) -> float:
        """1 where it is there, 0 where it is gone, and in between for some frames before and after."""
        distance = min((_distance_to(frame, span) for span in self.gone), default=_FADE_FRAMES)
        return min(1.0, distance / _FADE_FRAMES)

    @functools.cached_property
    def gone(self) -> list[Span]:
        """The frames on which it is not to be seen, in order; a look or two without it do not count."""
        spans = []
        edges = np.flatnonzero(np.diff(np.r_[False, ~self.seen, False].astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            if stop - start >= _GONE_DETECTIONS or stop * DETECT_EVERY <= self.reference - self.frames.start:
                first = self.frames.start + max(0, (start - 1) * DETECT_EVERY + 1)
                spans.append(Span(first, min(self.frames.stop, self.frames.start + stop * DETECT_EVERY)))
        return spans


def follow_face(detections: Iterable[Records], frames: Span, first: FaceBox, reference: int) -> FaceTrack:
    """Follow the face `first` of the frame `reference` through the records of the looks of `frames`, in order.

    Before `reference`, which is a look, nobody was there.
    """
    path: list[tuple[float, float, float]] = []
    seen: list[bool] = []
    last, missed, known = first, 0, first.votes > 0
    for number, records in enumerate(detections):
        ahead = reference - frames.start - number * DETECT_EVERY
        found = (
            None
            if ahead > 0
            else first
            if ahead == 0
            else _match(records, last, known and missed >= _GONE_DETECTIONS)
        )
        missed = 0 if found else missed + 1
        known = known or (found is not None and ahead < 0)
        last = found or last
        path.append((last.x, last.y, float(np.log(last.size))))
        seen.append(found is not None)
    present = np.array(seen)
    if not known:
        # A face that looks do not know, drawn by hand: the flow itself tells whether it is there.
        present[(reference - frames.start) // DETECT_EVERY :] = True
    return FaceTrack(frames, first, reference, _smoothed(_interpolated(np.array(path), present)), present)


def _distance_to(frame: int, span: Span) -> int:
    """How many frames `frame` is away from `span`, 0 inside."""
    return max(0, span.start - frame, frame - span.stop + 1)


def _match(records: Records, last: FaceBox, anywhere: bool) -> FaceBox | None:
    """The face of `look` that is `last`; one that was gone for a while may come back `anywhere`."""
    candidates: list[tuple[float, FaceBox]] = []
    for seen in records[records["votes"] > 0]:
        box = _box(seen)
        distance = float(np.hypot(box.x - last.x, box.y - last.y)) / last.size
        similar_size = abs(np.log(box.size / last.size)) < np.log(_MAX_SIZE_RATIO)
        near = distance < _MAX_DISTANCE and similar_size and box.votes >= _MIN_VOTES_NEAR
        if near or (anywhere and box.votes >= _MIN_VOTES_ELSEWHERE):
            candidates.append((distance, box))
    return min(candidates, key=lambda found: found[0])[1] if candidates else None


def _box(seen: Any) -> FaceBox:
    return FaceBox(float(seen["x"]), float(seen["y"]), float(seen["size"]), int(seen["votes"]))


def _interpolated(path: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What was not seen drawn straight between what was."""
    at = np.arange(len(path))
    return np.stack([np.interp(at, at[seen], column[seen]) for column in path.T], axis=1)


def _smoothed(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """The path without the jitter of the boxes: outliers first, then a weighted mean of the looks around."""
    padded = np.pad(path, ((1, 1), (0, 0)), "edge")
    path = np.median(np.stack((padded[:-2], padded[1:-1], padded[2:])), axis=0)
    reach = int(np.ceil(3 * _SMOOTHING_DETECTIONS))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTHING_DETECTIONS) ** 2)
    padded = np.pad(path, ((reach, reach), (0, 0)), "edge")
    columns = [np.convolve(column, weights / weights.sum(), "valid") for column in padded.T]
    return np.stack(columns, axis=1)
