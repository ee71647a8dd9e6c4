"""Prepass that detects faces on some frames of the driving video: a few boxes per detection, kept span by span."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.track import MOST_FACES, RECORD, Records, is_detection_frame, to_record
from pipelines.animation.inputs import InputMedia, read_frames_of
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.vision.types import Pixels

FOLDER, SUFFIX = "state/faces", ".npy"
"""Folder in the job's folder, one file per span."""

DetectFast = Callable[[Pixels], list[FaceBox]]
"""Detects face candidates on a frame."""


class FaceDetections(OneFile):
    """Detections on the driving video: 64 bytes for every eighth frame."""

    name = "faces"
    folder = FOLDER
    suffix = SUFFIX

    def __init__(self, driving: InputMedia, get_detector: Callable[[RunContext], DetectFast]) -> None:
        self._driving = driving
        self._get_detector = get_detector

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Records | None]:
        """Detect faces on frames `[start, stop)`; yields None for the frames between detections."""
        detect = self._get_detector(run)
        with closing(read_frames_of(run, self._driving, start, stop)) as frames:
            for frame in frames:
                yield to_record(detect(frame.rgb())) if is_detection_frame(frame.index, run.frames) else None

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a `.npy` of `RECORD`, `(detections, MOST_FACES)`."""
        return RowSink[Records | None, Records](path, rows_of(RECORD, MOST_FACES), row=lambda record: record)

    def preview(self, item: Records | None) -> Pixels | None:
        """Show nothing."""
        return None

    def value(self, item: Records | None) -> float | None:
        """Draw no curve."""
        return None


def read_detections(run: RunContext) -> Iterator[Records]:
    """Yield the detections of all frames, in order. Holds those of one span."""
    for span in run.spans:
        yield from read_array(_path(run, span))


def _path(run: RunContext, span: Span) -> Path:
    return run.folder / FOLDER / f"{span.name}{SUFFIX}"
