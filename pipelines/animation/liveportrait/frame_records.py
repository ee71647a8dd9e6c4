"""Records of each frame, kept span by span under `state/`: a row of float32 per frame, under 1 kB per face."""

from collections.abc import Generator
from pathlib import Path

import numpy as np

from pipelines.animation.motion.keypoints import Floats
from pipelines.spans import Span
from pipelines.stages import RunContext
from pipelines.storage.span_arrays import RowSink, read_array

SUFFIX = ".npy"


def record_sink(path: Path) -> RowSink[Floats, Floats]:
    """A sink that stacks the rows of one span, all of the same width."""
    return RowSink(path, np.stack, row=lambda row: row)


class FrameRecords:
    """Records of a finished pass over the job's frames. Holds the rows of one span."""

    def __init__(self, run: RunContext, folder: str) -> None:
        self.frames = run.frames
        self._folder = run.folder / folder
        self._spans = run.spans
        self._last: tuple[Span, Floats] | None = None

    def between(self, start: int, stop: int) -> Floats:
        """Return the rows (N, width) of frames `[start, stop)`, at least one."""
        size = len(self._spans[0])
        # The last span may be a frame longer.
        first = min((start - self.frames.start) // size, len(self._spans) - 1)
        last = (stop - 1 - self.frames.start) // size
        return np.concatenate(
            [
                self._of(span)[max(0, start - span.start) : stop - span.start]
                for span in self._spans[first : last + 1]
            ]
        )

    def blocks(self) -> Generator[tuple[Span, Floats]]:
        """Yield all rows in order, a span at a time."""
        for span in self._spans:
            yield span, self._of(span)

    def _of(self, span: Span) -> Floats:
        if self._last is None or self._last[0] != span:
            rows: Floats = read_array(self._folder / f"{span.name}{SUFFIX}")
            self._last = span, rows
        return self._last[1]
