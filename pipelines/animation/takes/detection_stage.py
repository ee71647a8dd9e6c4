"""Prepass that detects faces in every shot of the driving video: a few boxes per detection, kept span by span.

Detections lie on a grid that starts with the shot. Until one shows a face it is looked for carefully, after that
quickly, among faces of such sizes; so a shot's first row with faces is a careful one.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.selection import FaceDetector
from pipelines.animation.faces.track import DETECT_EVERY, MOST_FACES, RECORD, to_record
from pipelines.animation.inputs import InputMedia, read_pixels
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.vision.types import Pixels

FOLDER, SUFFIX = "state/faces", ".npy"
"""Folder in the job's folder, one file per span."""
ROW = np.dtype([("faces", RECORD, (MOST_FACES,)), ("kept", np.bool_, (MOST_FACES,))])
Row = NDArray[np.void]
"""`()` of `ROW`: the faces of one detection, and which of them a cut before it left as they were."""

Patch = NDArray[np.float64]
"""Grey levels around a face, in a row."""

_CAREFUL, _SMALL = frozenset({0, 2, 8}), frozenset({0, 8})
"""Detections of a shot, by number, on which a face is looked for carefully while none is known, and on which small
ones are, too; on others only where a fast pass sees something."""
_LIKELY_VOTES = 8
"""Votes of a fast pass that are worth a careful look."""
_PATCH_PX, _KEPT_CORRELATION = 32, 0.95
"""Side of the patch by which a face is compared across a cut, and the least correlation of one that stayed: where only
something beside them changed, faces had 0.999; the same face a tenth larger 0.85, another one at most 0.3."""


@dataclass(frozen=True)
class DrivingSearch:
    """How the driving face is searched: as it was found before the run, by `detector` in the first shot."""

    shots: tuple[Span, ...]
    reference: int
    """Frame on which it was found before the run."""
    detector: FaceDetector
    later: FaceDetector
    """Detector of the later shots."""


@dataclass
class _Search:
    """State of the search in one shot: the faces of its first detection that shows any."""

    shot: Span
    upcoming: int
    """Frame of the next detection."""
    faces: list[FaceBox] = field(default_factory=list)
    found_at: int | None = None
    """Frame on which they were found."""

    def holds_at(self, frame: int) -> bool:
        """Tell whether this is what is known before `frame`, a frame of the shot."""
        if self.found_at is not None:
            return self.found_at < frame
        return frame <= self.upcoming < frame + DETECT_EVERY


class FaceDetections(OneFile):
    """Detections on the driving video: 68 bytes for every eighth frame."""

    in_order = True  # faces are looked for near those of the detection before
    name = "faces"
    folder = FOLDER
    suffix = SUFFIX

    def __init__(self, driving: InputMedia, search_of: Callable[[RunContext], DrivingSearch]) -> None:
        self._driving = driving
        self._search_of = search_of
        self._last: _Search | None = None

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Row | None]:
        """Detect faces on frames `[start, stop)`; yields None for the frames between detections.

        Reads the frame before them; and, where nothing is known yet of the shot that they begin in, that shot's.
        """
        search = self._search_of(run)
        shots = iter(shot for shot in search.shots if shot.stop > start)
        shot, before = next(shots), None
        state = self._state(run, search, shot, start)
        with closing(read_pixels(run, self._driving, max(run.frames.start, start - 1), stop)) as frames:
            for index, pixels in enumerate(frames, max(run.frames.start, start - 1)):
                if index >= shot.stop:
                    shot = next(shots)
                    state = _Search(shot, shot.start)
                if index >= start:
                    row = self._row(search, state, index, pixels)
                    if row is not None and index == shot.start and before is not None:
                        row["kept"] = _kept(before, pixels, state.faces)
                    self._last = state
                    yield row
                before = pixels

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a `.npy` of `ROW`, `(detections,)`."""
        return RowSink[Row | None, Row](path, rows_of(ROW), row=lambda row: row)

    def preview(self, item: Row | None) -> Pixels | None:
        """Show nothing."""
        return None

    def value(self, item: Row | None) -> float | None:
        """Draw no curve."""
        return None

    def _row(self, search: DrivingSearch, state: _Search, index: int, pixels: Pixels) -> Row | None:
        """Detect faces on a frame of the state's shot if it is a detection; remembers the first that are found."""
        number, between = divmod(index - state.shot.start, DETECT_EVERY)
        if between:
            return None
        state.upcoming = index + DETECT_EVERY
        detector = search.detector if state.shot == search.shots[0] else search.later
        if state.faces:
            faces = detector.detect_fast(pixels, state.faces)
        else:
            expected = 0 <= index - search.reference < DETECT_EVERY
            faces = state.faces = _look(detector, pixels, number, expected=expected)[:MOST_FACES]
            state.found_at = index if faces else None
        row = np.zeros((), ROW)
        row["faces"] = to_record(faces)
        return row

    def _state(self, run: RunContext, search: DrivingSearch, shot: Span, start: int) -> _Search:
        """Return the state of the search in `shot` before frame `start`; repeats it where that is not known."""
        last = self._last
        if last and last.shot == shot and last.holds_at(start):
            return last
        state = _Search(shot, shot.start)
        with closing(read_pixels(run, self._driving, shot.start, max(start, shot.start))) as frames:
            for index, pixels in enumerate(frames, shot.start):
                self._row(search, state, index, pixels)
                if state.faces:
                    break
        return state


def read_detections(run: RunContext) -> Iterator[Row]:
    """Yield the detections of all frames, in order. Holds those of one span."""
    for span in run.spans:
        yield from read_array(run.folder / FOLDER / f"{span.name}{SUFFIX}")


def _look(detector: FaceDetector, pixels: Pixels, number: int, *, expected: bool) -> list[FaceBox]:
    """Look for faces on the `number`-th detection of a shot in which none was found yet."""
    if expected or number in _SMALL:
        return detector.detect(pixels) or detector.detect_small(pixels)
    likely = number in _CAREFUL or any(box.votes >= _LIKELY_VOTES for box in detector.detect_fast(pixels))
    return detector.detect(pixels) if likely else []


def _kept(before: Pixels, now: Pixels, faces: list[FaceBox]) -> list[bool]:
    """Tell for each face whether it looked the same on the frame before, padded to `MOST_FACES`."""
    kept = [_correlation(_patch(before, face), _patch(now, face)) > _KEPT_CORRELATION for face in faces]
    return kept + [False] * (MOST_FACES - len(kept))


def _correlation(first: Patch, second: Patch) -> float:
    """Return the correlation of two patches; 0 where one is flat."""
    spread = float(first.std() * second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread if spread > 1 else 0.0


def _patch(pixels: Pixels, face: FaceBox) -> Patch:
    half, (height, width) = face.size / 2, pixels.shape[:2]
    left, top = max(0, min(width - 1, round(face.x - half))), max(0, min(height - 1, round(face.y - half)))
    right, bottom = max(left + 1, round(face.x + half)), max(top + 1, round(face.y + half))
    small = cv2.resize(pixels[top:bottom, left:right], (_PATCH_PX, _PATCH_PX), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64).ravel()
