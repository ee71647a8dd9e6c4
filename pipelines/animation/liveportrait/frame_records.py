"""Records of each frame, kept span by span under `state/`: a row of float32 per frame, under 1 kB per face."""

from collections.abc import Generator
from pathlib import Path

import numpy as np

from pipelines.animation.motion.keypoints import Floats
from pipelines.spans import Span
from pipelines.stages import RunContext

SUFFIX = ".npy"


class RecordSink:
    """Collects the rows of one span. Holds them until it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Floats] = []  # bounded by the span

    def write(self, item: Floats) -> None:
        """Add the row of the next frame."""
        self._rows.append(item)

    def close(self) -> None:
        """Write the file."""
        with self._path.open("wb") as file:
            np.save(file, np.stack(self._rows))

    def abandon(self) -> None:
        """Leave nothing."""
        self._path.unlink(missing_ok=True)


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
            rows: Floats = np.load(self._folder / f"{span.name}{SUFFIX}", allow_pickle=False)
            self._last = span, rows
        return self._last[1]
