"""Track of one face over a whole video, from detections on some of its frames.

Each frame's record depends on that frame alone, so that any span of frames comes out the same. Following one face and
smoothing its path need all frames; they read the records, which are small.
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
"""Frames from one detection to the next, on a grid that starts at the job's first frame."""
MOST_FACES = 4
"""Faces kept per detection."""
RECORD = np.dtype([("x", "<f4"), ("y", "<f4"), ("size", "<f4"), ("votes", "<i4")])
Records = NDArray[np.void]
"""Record of one frame, `(MOST_FACES,)` of `RECORD`, most votes first; 0 votes mark an empty entry."""

_MAX_DISTANCE, _MAX_SIZE_RATIO = 0.7, 1.5
"""Largest move of a face since the last detection, in sides of its box, and largest ratio of its sizes."""
_MIN_VOTES_NEAR, _MIN_VOTES_ELSEWHERE = 3, 8
"""Votes that a face needs near its last position, and anywhere else after it was gone."""
_GONE_DETECTIONS = 4
"""Detections in a row without the face after which it counts as gone; fewer count as missed."""
_SMOOTHING_DETECTIONS = 1.5
"""Standard deviation, in detections, of the Gaussian that smooths the path: boxes jitter by some pixels."""
_FADE_FRAMES = 10
"""Frames over which the portrait fades to rest before the face is gone, and back after it."""


def is_detection_frame(frame: int, frames: Span) -> bool:
    """Tell whether faces are detected on `frame` of `frames`."""
    return (frame - frames.start) % DETECT_EVERY == 0


def to_record(boxes: Sequence[FaceBox]) -> Records:
    """Pack the boxes of one frame: 16 bytes per face, `MOST_FACES` of them."""
    records = np.zeros(MOST_FACES, RECORD)
    for record, box in zip(records, boxes, strict=False):
        record["x"], record["y"], record["size"], record["votes"] = box.x, box.y, box.size, max(1, box.votes)
    return records


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """Track of one face over `frames`, smoothed. Holds 25 bytes per detection.

    `first` is its box on the frame `reference`, as it was selected there.
    """

    frames: Span
    first: FaceBox
    reference: int
    path: NDArray[np.float64]
    """`(detections, 3)`: x, y and the logarithm of the size."""
    seen: NDArray[np.bool_]
    """`(detections,)`: whether it was detected."""

    def box(self, frame: int) -> FaceBox:
        """Return its box on `frame`; interpolated where it is missed or gone."""
        at = (frame - self.frames.start) / DETECT_EVERY
        x, y, size = (float(np.interp(at, np.arange(len(self.path)), column)) for column in self.path.T)
        return FaceBox(x, y, float(np.exp(size)))

    def presence(self, frame: int) -> float:
        """Return 1 where it is there, 0 where it is gone, and a fade over some frames before and after."""
        distance = min((_distance_to(frame, span) for span in self.gone), default=_FADE_FRAMES)
        return min(1.0, distance / _FADE_FRAMES)

    @functools.cached_property
    def gone(self) -> list[Span]:
        """Spans of frames on which it is gone, in order; a few missed detections do not count."""
        spans = []
        edges = np.flatnonzero(np.diff(np.r_[False, ~self.seen, False].astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            if stop - start >= _GONE_DETECTIONS or stop * DETECT_EVERY <= self.reference - self.frames.start:
                first = self.frames.start + max(0, (start - 1) * DETECT_EVERY + 1)
                spans.append(Span(first, min(self.frames.stop, self.frames.start + stop * DETECT_EVERY)))
        return spans


def follow_face(detections: Iterable[Records], frames: Span, first: FaceBox, reference: int) -> FaceTrack:
    """Follow the face `first` of the frame `reference` through the records of the detections in `frames`, in order.

    `reference` is a frame of a detection; no face was there before it.
    """
    path: list[tuple[float, float, float]] = []
    seen: list[bool] = []
    last, missed, known = first, 0, first.votes > 0
    for number, records in enumerate(detections):
        ahead = reference - frames.start - number * DETECT_EVERY
        found: FaceBox | None = None
        if ahead == 0:
            found = first
        elif ahead < 0:
            found = _match(records, last, known and missed >= _GONE_DETECTIONS)
        missed = 0 if found else missed + 1
        known = known or (found is not None and ahead < 0)
        last = found or last
        path.append((last.x, last.y, float(np.log(last.size))))
        seen.append(found is not None)
    present = np.array(seen)
    if not known:
        # The detector misses this face, which a user marked: whether it is there is left to the flow.
        present[(reference - frames.start) // DETECT_EVERY :] = True
    return FaceTrack(frames, first, reference, _smoothed(_interpolated(np.array(path), present)), present)


def _distance_to(frame: int, span: Span) -> int:
    """Return how many frames `frame` is away from `span`; 0 inside."""
    return max(0, span.start - frame, frame - span.stop + 1)


def _match(records: Records, last: FaceBox, anywhere: bool) -> FaceBox | None:
    """Return the face among the records that is `last`; one that was gone may come back `anywhere`."""
    candidates: list[tuple[float, FaceBox]] = []
    for record in records[records["votes"] > 0]:
        box = _box(record)
        distance = float(np.hypot(box.x - last.x, box.y - last.y)) / last.size
        similar_size = abs(np.log(box.size / last.size)) < np.log(_MAX_SIZE_RATIO)
        near = distance < _MAX_DISTANCE and similar_size and box.votes >= _MIN_VOTES_NEAR
        if near or (anywhere and box.votes >= _MIN_VOTES_ELSEWHERE):
            candidates.append((distance, box))
    return min(candidates, key=lambda found: found[0])[1] if candidates else None


def _box(record: Any) -> FaceBox:
    return FaceBox(float(record["x"]), float(record["y"]), float(record["size"]), int(record["votes"]))


def _interpolated(path: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Interpolate the path linearly where the face was not detected."""
    at = np.arange(len(path))
    return np.stack([np.interp(at, at[seen], column[seen]) for column in path.T], axis=1)


def _smoothed(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth the jitter of the boxes: a median of three removes outliers, then a Gaussian over time."""
    padded = np.pad(path, ((1, 1), (0, 0)), "edge")
    path = np.median(np.stack((padded[:-2], padded[1:-1], padded[2:])), axis=0)
    reach = int(np.ceil(3 * _SMOOTHING_DETECTIONS))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTHING_DETECTIONS) ** 2)
    padded = np.pad(path, ((reach, reach), (0, 0)), "edge")
    columns = [np.convolve(column, weights / weights.sum(), "valid") for column in padded.T]
    return np.stack(columns, axis=1)
