"""The engine `builtin`: sharpness, blur and motion of each frame, without a network."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.scoring.engine import ScoringEngine, analysis_width
from pipelines.scoring.metrics.frame_features import RECORD, FrameFeatures, compare, features_of
from pipelines.scoring.metrics.verdicts import Records, Verdicts, verdicts
from pipelines.settings import ScoreSettings
from pipelines.spans import Span, widen
from pipelines.stages import RunContext, Sink
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.video.decoders.prefetch import read_ahead
from pipelines.video.info import VideoInfo
from pipelines.video.reader import Frame, held_bytes, read_frames
from pipelines.vision.types import Pixels
from presets.choose import Choice

_PROCESS_BYTES = 190 * MIB
"""Interpreter, libraries, the command line and the chart: measured at 160 to 175 MiB."""

_HDR_PIXEL_BYTES = 9
"""Bytes per pixel of a copy of the samples, 4:4:4 at most, and of the tables' result, while luma is made of HDR."""


class Scored(NamedTuple):
    """The record `(1,)` of a frame, and the frame itself for a preview."""

    record: Records
    frame: Frame


class BuiltinEngine(ScoringEngine):
    """The engine `builtin`: makes one record per frame in a single pass."""

    name = "builtin"
    suffix = ".npy"

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Return the cost of the process, the decoder's frames and the frames being analysed."""
        return choice, Cost(host=analysis_load(self.video, self.settings))

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Scored]:
        """Analyse frames `[start, stop)`; also reads the frame before. Holds `run.plan.window_frames` frames."""
        first = widen(Span(start, stop), 1, 0, run.frames).start
        settings = run.settings
        frames = read_frames(
            run.video, first, stop, decoder=settings.decoder, salvage=settings.salvage, luma_only=True
        )
        with (
            single_threaded_opencv(),
            closing(_analysed(frames, analysis_width(run), run.plan.window_frames)) as records,
        ):
            for scored in records:
                if scored.frame.index >= start:
                    yield scored

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for the span's records."""
        return RowSink(path, rows_of(RECORD), row=_record)

    def preview(self, item: Scored) -> Pixels | None:
        """Return the frame."""
        return item.frame.rgb()

    def value(self, item: Scored) -> float | None:
        """Return the sharpness."""
        return float(item.record["sharpness"][0])

    def verdicts(self, segments: list[Path]) -> Iterator[Verdicts]:
        """Yield the verdicts of all frames, in order, in blocks."""
        return verdicts(map(read_records, segments), self.window, float(self.video.frame_rate))


def analysis_load(video: VideoInfo, settings: ScoreSettings) -> Load:
    """Return the host memory of the analysis: the process, the decoder's frames and the frames being analysed."""
    per_pixel = held_bytes(video, settings.decoder, luma_only=True) / (video.width * video.height)
    if video.hdr:
        per_pixel += _HDR_PIXEL_BYTES
    return Load(fixed=_PROCESS_BYTES, per_pixel=per_pixel, per_window_pixel=5)


def _analysed(frames: Generator[Frame], width: int, held: int) -> Generator[Scored]:
    """Make records in order, the first without a previous frame. A thread measures up to `held` frames ahead."""
    before: FrameFeatures | None = None
    with closing(read_ahead(_measured(frames, width), held)) as measured:
        for frame, now in measured:
            yield Scored(compare(before, now), frame)
            before = now


def _measured(frames: Generator[Frame], width: int) -> Generator[tuple[Frame, FrameFeatures]]:
    with closing(frames):
        for frame in frames:
            yield frame, features_of(frame.luma(width))


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Keep OpenCV from splitting pictures among threads: they are small, and each of our threads has its own frame."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _record(item: Scored) -> Records:
    return item.record


def read_records(path: Path) -> Records:
    """Read the records of one span."""
    return read_array(path)
