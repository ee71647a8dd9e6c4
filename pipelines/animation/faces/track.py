"""Track of one face over a whole video, from detections on some of its frames.

Each frame's record depends on that frame alone, so that any span of frames comes out the same. Following one face and
smoothing its path need all frames; they read the records, which are small.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
_MOST_OTHERS = 16
"""Other faces that are remembered, so that memory stays bounded in a crowd."""
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
    """Track of one face over `frames`, smoothed. Holds 33 bytes per detection.

    `first` is its box on the frame `reference`, as it was selected there.
    """

    frames: Span
    first: FaceBox
    reference: int
    path: NDArray[np.float64]
    """`(detections, 3)`: x, y and the logarithm of the size."""
    seen: NDArray[np.bool_]
    """`(detections,)`: whether it was detected."""
    detected_at: NDArray[np.int64] | None = None
    """`(detections,)`: frames of the detections; None for a grid that starts at the first frame."""
    breaks: tuple[Span, ...] = ()
    """Spans of frames that show something else, such as a flash, between frames of the same shot."""
    seams: tuple[int, ...] = ()
    """First frames of the shots that it was followed through, but for the first: one that leaves there leaves there."""
    ends_in_cut: bool = False
    """Whether another shot follows: the portrait fades to rest before it."""

    @functools.cached_property
    def at(self) -> NDArray[np.int64]:
        """Frames of the detections, in order."""
        if self.detected_at is not None:
            return self.detected_at
        return self.frames.start + DETECT_EVERY * np.arange(len(self.seen))

    def box(self, frame: int) -> FaceBox:
        """Return its box on `frame`; interpolated where it is missed or gone."""
        x, y, size = (float(np.interp(frame, self.at, column)) for column in self.path.T)
        return FaceBox(x, y, float(np.exp(size)))

    def presence(self, frame: int) -> float:
        """Return 1 where it is there, 0 where it is gone, and a fade over some frames before and after."""
        distance = min((_distance_to(frame, span) for span in self._absences), default=_FADE_FRAMES)
        if self.ends_in_cut:
            distance = min(distance, self.frames.stop - frame)
        return min(1.0, distance / _FADE_FRAMES)

    def is_seen_in(self, span: Span) -> bool:
        """Tell whether it was detected on a frame of `span`."""
        inside = (self.at >= span.start) & (self.at < span.stop)
        return bool(self.seen[inside].any())

    @functools.cached_property
    def gone(self) -> list[Span]:
        """Spans of frames on which it is gone, in order; a few missed detections do not count."""
        spans, at = [], self.at
        edges = np.flatnonzero(np.diff(np.r_[False, ~self.seen, False].astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            if stop - start >= _GONE_DETECTIONS or at[stop - 1] < self.reference:
                first = int(at[start - 1]) + 1 if start else self.frames.start
                first = max([first, *(seam for seam in self.seams if first < seam <= at[start])])
                spans.append(Span(first, int(at[stop]) if stop < len(at) else self.frames.stop))
        return spans

    @functools.cached_property
    def _absences(self) -> list[Span]:
        return [*self.gone, *self.breaks]


def follow_face(detections: Iterable[Records], frames: Span, first: FaceBox, reference: int) -> FaceTrack:
    """Follow the face `first` of the frame `reference` through the records of the detections in `frames`, in order.

    `reference` is a frame of a detection; no face was there before it.
    """
    follower = FaceFollower(first, reference)
    for number, records in enumerate(detections):
        follower.add(frames.start + number * DETECT_EVERY, records)
    return follower.track(frames)


class FaceFollower:
    """Follows one face from detection to detection. Holds its path, and where the other faces were last."""

    def __init__(self, first: FaceBox, reference: int) -> None:
        self.last = first
        self._first, self._reference = first, reference
        self._missed, self._known = 0, first.votes > 0
        self._at: list[int] = []
        self._path: list[tuple[float, float, float]] = []
        self._seen: list[bool] = []
        self._others: list[FaceBox] = []

    def add(self, frame: int, records: Records) -> None:
        """Take the faces that were detected on `frame`, which is later than those before."""
        found: FaceBox | None = None
        if frame == self._reference:
            found = self._first
        elif frame > self._reference:
            found = _match(records, self.last, self._others, self._known and self._missed >= _GONE_DETECTIONS)
        self._missed = 0 if found else self._missed + 1
        self._known = self._known or (found is not None and frame > self._reference)
        self.last = found or self.last
        self._watch_others(records, found)
        self._at.append(frame)
        self._path.append((self.last.x, self.last.y, float(np.log(self.last.size))))
        self._seen.append(found is not None)

    def track(
        self,
        frames: Span,
        *,
        breaks: tuple[Span, ...] = (),
        seams: tuple[int, ...] = (),
        ends_in_cut: bool = False,
    ) -> FaceTrack:
        """Return the track over `frames`, which hold all detections so far."""
        present, at = np.array(self._seen), np.array(self._at)
        if not self._known:
            # The detector misses this face, which a user marked: whether it is there is left to the flow.
            present[at >= self._reference] = True
        path = _smoothed(_interpolated(np.array(self._path), present))
        return FaceTrack(frames, self._first, self._reference, path, present, at, breaks, seams, ends_in_cut)

    def _watch_others(self, records: Records, found: FaceBox | None) -> None:
        """Follow the faces that are seen beside the followed one: none of them is that face when it is gone."""
        for record in records[records["votes"] > 0]:
            box = box_of(record)
            if found and _is_near(box, found):
                continue
            known = next((number for number, other in enumerate(self._others) if _is_near(box, other)), None)
            if known is not None:
                self._others[known] = replace(box, votes=self._others[known].votes + box.votes)
            elif found and len(self._others) < _MOST_OTHERS:
                self._others.append(box)


def _distance_to(frame: int, span: Span) -> int:
    """Return how many frames `frame` is away from `span`; 0 inside."""
    return max(0, span.start - frame, frame - span.stop + 1)


def _match(records: Records, last: FaceBox, others: Sequence[FaceBox], anywhere: bool) -> FaceBox | None:
    """Return the face among the records that is `last`; one that was gone may come back `anywhere`.

    It does not come back as one of the `others`, which were there together with it.
    """
    candidates: list[tuple[float, FaceBox]] = []
    for record in records[records["votes"] > 0]:
        box = box_of(record)
        near = _is_near(box, last) and box.votes >= _MIN_VOTES_NEAR
        if near or (anywhere and box.votes >= _MIN_VOTES_ELSEWHERE and not _is_one_of(box, others)):
            candidates.append((float(np.hypot(box.x - last.x, box.y - last.y)) / last.size, box))
    return min(candidates, key=lambda found: found[0])[1] if candidates else None


def _is_near(box: FaceBox, other: FaceBox) -> bool:
    """Tell whether a box is where another was at the detection before, and as large."""
    distance = float(np.hypot(box.x - other.x, box.y - other.y)) / other.size
    return distance < _MAX_DISTANCE and abs(float(np.log(box.size / other.size))) < np.log(_MAX_SIZE_RATIO)


def _is_one_of(box: FaceBox, others: Sequence[FaceBox]) -> bool:
    """Tell whether it is a face that was seen often enough beside the followed one."""
    return any(other.votes >= _MIN_VOTES_ELSEWHERE and _is_near(box, other) for other in others)


def box_of(record: Any) -> FaceBox:
    """Unpack one face of a record."""
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
