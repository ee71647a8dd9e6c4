"""The prepass that looks for faces on some frames of a video: a few boxes a look, kept span by span."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.faces.track import MOST_FACES, RECORD, Records, is_look, record_of
from pipelines.animation.inputs import inputs_of, read_given
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.vision.types import Pixels

FOLDER, SUFFIX = "state/faces", ".npy"

DetectFast = Callable[[Pixels], list[FaceBox]]
"""What may be faces on a frame."""


class FaceDetections(OneFile):
    """Looks at the driving video: 64 bytes for every eighth frame."""

    name = "faces"
    folder = FOLDER
    suffix = SUFFIX

    def __init__(self, glance_of: Callable[[RunContext], DetectFast]) -> None:
        self._glance_of = glance_of

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Records | None]:
        """What is seen on each of frames `[start, stop)` that is looked at; None for the others, which are skipped."""
        glance, driving = self._glance_of(run), inputs_of(run).driving
        with closing(read_given(run, driving, start, stop)) as frames:
            for frame in frames:
                yield record_of(glance(frame.rgb())) if is_look(frame.index, run.frames) else None

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npy` of `RECORD`, `(looks, MOST_FACES)`."""
        return RowSink[Records | None, Records](path, rows_of(RECORD, MOST_FACES), row=lambda look: look)

    def preview(self, item: Records | None) -> Pixels | None:
        """Nothing to show."""
        return None

    def value(self, item: Records | None) -> float | None:
        """No curve."""
        return None


def read_detections(run: RunContext) -> Iterator[Records]:
    """The looks of all frames, in order. Holds those of one span."""
    for span in run.spans:
        yield from read_array(_path(run, span))


def _path(run: RunContext, span: Span) -> Path:
    return run.folder / FOLDER / f"{span.name}{SUFFIX}"
