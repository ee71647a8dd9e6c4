"""Takes: what is followed from one reference frame, made of the shots of a driving video and the faces on them.

A take begins at a cut, or after a dissolve, with a face of its own. It goes on across a cut that leaves a face as it
was (only something beside it changed), and across a flash or an insert without a face, after which the same shot
returns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.selection import Which, select_faces
from pipelines.animation.faces.track import (
    DETECT_EVERY,
    FaceFollower,
    FaceTrack,
    box_of,
)
from pipelines.animation.takes.detection_stage import Row
from pipelines.animation.takes.shot_stage import Grid, Shots
from pipelines.spans import Span
from pipelines.vision.shots import normalised

MOST_BREAK_FRAMES = 64
"""Frames of a flash or an insert after which the same shot may return."""
_SAME_LAYOUT = 0.15
"""Distance of layouts below which the shot is the same: half of what a cut needs at least."""
_SAME_DISTANCE, _SAME_RATIO = 0.5, 1.3
"""The face is the same after a break if it is this near, in sides of its box, and within this ratio of its size."""


@dataclass(frozen=True, eq=False)
class Take:
    """Frames of the driving that are followed from one reference frame; without a track there is no face on them."""

    frames: Span
    track: FaceTrack | None = None
    mixed: bool = False
    """Whether it is a dissolve, which mixes the shots on both sides."""


@dataclass(frozen=True, eq=False)
class Takes:
    """Takes of a whole job, in order and without gaps."""

    takes: tuple[Take, ...]

    @property
    def cuts(self) -> list[int]:
        """Frames on which the driving is followed anew, from another face than before."""
        followed = [take for take in self.takes if take.track]
        return [take.frames.start for take in followed[1:]]

    @property
    def gone(self) -> list[Span]:
        """Spans of frames on which no face is seen to follow, in order."""
        return [span for take in self.takes for span in (take.track.gone if take.track else [take.frames])]

    def between(self, start: int, stop: int) -> Iterator[tuple[Take, Span]]:
        """Yield the takes that lie in frames `[start, stop)`, each with its frames among them."""
        for take in self.takes:
            first, last = max(start, take.frames.start), min(stop, take.frames.stop)
            if first < last:
                yield take, Span(first, last)


def is_same_layout(before: Grid, after: Grid) -> bool:
    """Tell whether two frames, by their thumbnails, are of the same shot."""
    layouts = normalised(np.stack((before, after)))
    return float(((layouts[0] - layouts[1]) ** 2).mean()) / 2 <= _SAME_LAYOUT


def make_takes(shots: Shots, rows: Iterator[Row], first: tuple[int, FaceBox], which: Which) -> Takes:
    """Make the takes of a job from its shots and the detections on all frames, in order.

    `first` is the frame on which the driving face was found before the run, and its box. Holds a shot's detections.
    """
    maker = _Maker(first, which)
    for shot, edges, mixed in zip(shots.spans, shots.edges, shots.mixed, strict=True):
        at = range(shot.start, shot.stop, DETECT_EVERY)
        maker.add(_Shot(shot, edges, [(frame, next(rows)) for frame in at], mixed))
    return maker.close()


@dataclass(frozen=True, eq=False)
class _Shot:
    frames: Span
    edges: tuple[Grid, Grid]
    detections: list[tuple[int, Row]]
    mixed: bool = False

    @property
    def reference(self) -> tuple[int, Row] | None:
        """First detection that shows a face; None for a dissolve, on which two shots show theirs."""
        if self.mixed:
            return None
        return next(((frame, row) for frame, row in self.detections if row["faces"]["votes"].any()), None)


class _Maker:
    """Joins shots to takes. Holds the shots since the last one with a face, and the follower of that one's face."""

    def __init__(self, first: tuple[int, FaceBox], which: Which) -> None:
        self._first, self._which = first, which
        self._takes: list[Take] = []
        self._follower: FaceFollower | None = None
        self._last: list[_Shot] = []
        self._breaks: list[Span] = []
        self._seams: list[int] = []
        self._pending: list[_Shot] = []

    def add(self, shot: _Shot) -> None:
        """Add the next shot."""
        reference = shot.reference
        if reference is None:
            detections = [] if self._is_long(shot) or shot.mixed else shot.detections
            self._pending.append(_Shot(shot.frames, shot.edges, detections, shot.mixed))
        elif self._follower and self._goes_on(shot, reference):
            self._seams.append(shot.frames.start)
            self._breaks += [pending.frames for pending in self._pending]
            for each in (*self._pending, shot):
                for frame, row in each.detections:
                    self._follower.add(frame, row["faces"])
            self._last, self._pending = (
                [_Shot(Span(self._last[0].frames.start, shot.frames.stop), shot.edges, [])],
                [],
            )
        else:
            self._finish(ends_in_cut=True)
            self._begin(shot, reference)

    def close(self) -> Takes:
        """Return the takes of all shots that were added."""
        self._finish(ends_in_cut=bool(self._pending))
        return Takes(tuple(self._takes))

    def _is_long(self, shot: _Shot) -> bool:
        return len(shot.frames) > MOST_BREAK_FRAMES

    def _begin(self, shot: _Shot, reference: tuple[int, Row]) -> None:
        frame, row = reference
        found, box = self._first
        if frame != found:
            kept, fresh = _faces(row)
            boxes = fresh or kept
            which: Which = min(self._which, len(boxes)) if isinstance(self._which, int) else "largest"
            box = select_faces(boxes, which)[0]
        self._follower = FaceFollower(box, frame)
        self._last = [shot]
        for at, each in shot.detections:
            self._follower.add(at, each["faces"])

    def _finish(self, *, ends_in_cut: bool) -> None:
        """Close the take that is being followed, and make one without a face of what came after it."""
        if self._follower:
            frames = self._last[0].frames
            track = self._follower.track(
                frames, breaks=tuple(self._breaks), seams=tuple(self._seams), ends_in_cut=ends_in_cut
            )
            self._takes.append(Take(frames, track))
        for mixed, shots in groupby(self._pending, key=lambda shot: shot.mixed):
            spans = [shot.frames for shot in shots]
            self._takes.append(Take(Span(spans[0].start, spans[-1].stop), mixed=mixed))
        self._follower, self._last, self._breaks, self._seams, self._pending = None, [], [], [], []

    def _goes_on(self, shot: _Shot, reference: tuple[int, Row]) -> bool:
        """Tell whether a shot that shows faces continues the take before it."""
        frame, row = reference
        if not self._pending:
            kept, fresh = _faces(row)
            stays = self._follower is not None and any(_is_same(box, self._follower.last) for box in kept)
            # Where nobody is new, the followed face alone has left.
            return stays or bool(kept and not fresh)
        away = sum(len(pending.frames) for pending in self._pending)
        if away > MOST_BREAK_FRAMES or frame - shot.frames.start > DETECT_EVERY:
            return False
        if self._follower is None or not is_same_layout(self._last[-1].edges[1], shot.edges[0]):
            return False
        last = self._follower.last
        return any(_is_same(box, last) for boxes in _faces(row) for box in boxes)


def _faces(row: Row) -> tuple[list[FaceBox], list[FaceBox]]:
    """Return the faces of a detection that a cut before it left as they were, and the others."""
    present = row["faces"]["votes"] > 0
    return tuple(  # type: ignore[return-value]
        [box_of(record) for record in row["faces"][present & (row["kept"] == kept)]] for kept in (True, False)
    )


def _is_same(box: FaceBox, last: FaceBox) -> bool:
    distance = float(np.hypot(box.x - last.x, box.y - last.y)) / last.size
    return distance < _SAME_DISTANCE and abs(float(np.log(box.size / last.size))) < np.log(_SAME_RATIO)
