"""Scoring a video: one pass of records, then verdicts and the report; with the built-in engine, or on top of it."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.jobs.events import Outputs
from pipelines.scoring.metrics.frame_features import RECORD, FrameFeatures, compare, features_of
from pipelines.scoring.metrics.smoothness import blur_record
from pipelines.scoring.metrics.verdicts import Records, Verdicts, verdicts
from pipelines.scoring.report import tables
from pipelines.scoring.report.summary import Seconds, Summary
from pipelines.settings import ScoreSettings, Settings
from pipelines.spans import Span, widen
from pipelines.stages import FrameByFrame, OneFile, RunContext, Sink, Stage
from pipelines.storage.report import write_report
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.prefetch import read_ahead
from pipelines.video.reader import Frame, held_bytes, read_frames
from pipelines.vision.types import Pixels
from pipelines.weights.catalog import PUBLISHED

_PROCESS_BYTES = 190 * MIB
"""Interpreter, libraries, the command line and the chart: measured at 160 to 175 MiB."""


class Scored(NamedTuple):
    """One frame's record `(1,)` and the frame itself, for a preview."""

    record: Records
    frame: Frame


class ScoreStage(OneFile):
    """Records of all frames, kept as arrays."""

    name = "score"
    folder = "segments"
    suffix = ".npy"

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Scored]:
        """Records of frames `[start, stop)`; reads one frame before. Holds `job.plan.window_frames` frames."""
        first = widen(Span(start, stop), 1, 0, run.frames).start
        settings = run.settings
        frames = read_frames(
            run.video, first, stop, decoder=settings.decoder, salvage=settings.salvage, luma_only=True
        )
        with (
            one_thread_each(),
            closing(_analysed(frames, analysis_width(run), run.plan.window_frames)) as records,
        ):
            for scored in records:
                if scored.frame.index >= start:
                    yield scored

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npy` of `RECORD`: about 250 bytes a frame."""
        return RowSink(path, rows_of(RECORD), row=_record)

    def preview(self, item: Scored) -> Pixels | None:
        """The frame."""
        return item.frame.rgb()

    def value(self, item: Scored) -> float | None:
        """Sharpness."""
        return float(item.record["sharpness"][0])


def _record(item: Scored) -> Records:
    return item.record


def analysis_width(run: RunContext) -> int:
    """The width at which frames are analysed; never larger than they are."""
    return min(run.video.width, int(run.choice.values["analysis_width"]))


def _analysed(frames: Generator[Frame], width: int, held: int) -> Generator[Scored]:
    """Records in order; the frame before the first is unknown. A thread of its own looks `held` frames ahead."""
    before: FrameFeatures | None = None
    with closing(read_ahead(_looks(frames, width), held)) as looks:
        for frame, now in looks:
            yield Scored(compare(before, now), frame)
            before = now


def _looks(frames: Generator[Frame], width: int) -> Generator[tuple[Frame, FrameFeatures]]:
    with closing(frames):
        for frame in frames:
            yield frame, features_of(frame.luma(width))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """OpenCV splits no picture: these are small, and the threads work on a frame each."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


class ScorePipeline(FrameByFrame):
    """The task `score` with the built-in engine."""

    task = "score"
    engine = "builtin"
    """An engine on top of this one keeps segments of its own, and says here how they are read."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One pass over the frames."""
        return (ScoreStage(),)

    def cost(self, video: VideoInfo, settings: Settings) -> Cost:
        """Interpreter, libraries and chart; the decoder's frames, and those in analysis."""
        per_pixel = held_bytes(video, settings.decoder, luma_only=True) / (video.width * video.height)
        return Cost(host=Load(fixed=_PROCESS_BYTES, per_pixel=per_pixel, per_window_pixel=5))

    def disk_bytes(self, video: VideoInfo, frames: Span) -> int:
        """Records, a row in the table, and the report with its pictures."""
        return len(frames) * (RECORD.itemsize + 64) + 4 * MIB

    def join(self, run: RunContext, segments: list[Path], warn: Callable[[str, str], None]) -> Outputs:
        """Go over the records once: table, report, chart, worst frames. Holds a block of verdicts and the summary."""
        from pipelines.scoring.report import (
            chart,  # here: it loads what draws, which a mere look does without
        )

        settings = run.settings
        window = self.window(settings)
        movement = self.movement(segments)
        summary, seconds = Summary(run.frames.start, len(run.frames), movement), clock(run.video)
        scores, facts, picture = (run.folder / name for name in ("scores.csv", "report.json", "report.png"))
        blocks = self.judged(segments, window)
        tables.write_scores(scores, summary.watch(blocks), run.frames.start, seconds)
        smoothness = summary.smoothness
        write_report(
            facts,
            {
                "task": self.task,
                "engine": self.engine,
                "video": video_facts(run.video),
                "settings": settings.identity(),
                "analysis_width": analysis_width(run),
                "summary": summary.describe(seconds),
                "blur_record": blur_record(run.video.path.name, smoothness, summary.movement, window),
                **self.more(run, segments),
            },
        )
        name, memory = run.video.path.name, run.folder / "memory.csv"
        chart.draw_report(
            picture, name, summary, seconds, memory, PUBLISHED[self.engine].title if self.network else ""
        )
        worst = tables.write_worst(
            run.folder / "worst",
            run.video,
            summary.worst_frames(),
            decoder=settings.decoder,
            salvage=settings.salvage,
        )
        return Outputs(report=facts, scores=scores, picture=picture, worst=worst)

    def window(self, settings: Settings) -> int:
        """Frames of a window score."""
        return settings.window if isinstance(settings, ScoreSettings) else 1

    def movement(self, segments: list[Path]) -> float | None:
        """The measure of movement that the smoothness threshold follows; None: it is taken from the records."""
        return None

    def judged(self, segments: list[Path], window: int) -> Iterator[Verdicts]:
        """Verdicts of all frames, in order, in blocks."""
        return verdicts(map(read_records, segments), window)

    def more(self, run: RunContext, segments: list[Path]) -> dict[str, Any]:
        """What else the report says."""
        return {}


def read_records(path: Path) -> Records:
    """The records of one span."""
    return read_array(path)


def clock(video: VideoInfo) -> Seconds:
    """The time at which a frame begins; the frame after the last begins where the video ends."""
    timeline = video.timeline

    def seconds(frame: int) -> float:
        if frame < timeline.frames:
            return float(timeline.time(frame))
        return float(timeline.time(timeline.frames - 1) + timeline.last_seconds)

    return seconds
