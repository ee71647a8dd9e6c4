"""The task `score`: one pass over the frames, then verdicts, table and report."""

from pathlib import Path

from memory.units import MIB
from pipelines.jobs.events import Outputs
from pipelines.scoring.engine import ScoringEngine, analysis_width
from pipelines.scoring.metrics.frame_features import RECORD
from pipelines.scoring.metrics.smoothness import blur_record
from pipelines.scoring.report import chart, tables
from pipelines.scoring.report.summary import Seconds, Summary
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import printable
from pipelines.storage.optional import optional
from pipelines.storage.report import write_report
from pipelines.video.info import VideoInfo, video_facts


class ScoreStage(OneFile):
    """Saves the engine's measurements of all frames, span by span."""

    name = "score"
    folder = "segments"

    def __init__(self, engine: ScoringEngine) -> None:
        self.suffix = engine.suffix
        self.compute, self.sink, self.halo = engine.frames, engine.sink, engine.halo  # type: ignore[method-assign]
        self.preview, self.value = engine.preview, engine.value


class ScorePipeline(VideoPipeline[ScoringEngine]):
    """Scores one video with any scoring engine."""

    task = "score"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The engine's prepasses, then one pass over the frames."""
        return (*self.engine.prepasses, ScoreStage(self.engine))

    def disk_bytes(self, frames: Span) -> int:
        """Estimate records, one table row per frame, and the report with its pictures."""
        return len(frames) * (RECORD.itemsize + 64) + 4 * MIB + self.engine.disk_bytes(frames)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Write table, report, chart and worst frames. Holds a block of verdicts and the summary."""
        engine, settings = self.engine, self.engine.settings
        movement = engine.movement(segments)
        summary, seconds = Summary(run.frames.start, len(run.frames), movement), clock(run.video)
        scores, facts, picture = (run.folder / name for name in ("scores.csv", "report.json", "report.png"))
        blocks = engine.verdicts(segments)
        tables.write_scores(scores, summary.collect(blocks), run.frames.start, seconds)
        smoothness, worst_frames = summary.smoothness, summary.worst_frames()
        write_report(
            facts,
            {
                "task": self.task,
                "engine": engine.name,
                "video": video_facts(run.video),
                "settings": settings.identity(),
                "analysis_width": analysis_width(run),
                "summary": summary.describe(seconds),
                "worst": [{"frame": frame, "seconds": round(seconds(frame), 6)} for frame in worst_frames],
                "published": blur_record(run.video.path.name, smoothness, summary.movement, engine.window),
                **engine.report(run, warn),
            },
        )
        name, memory = run.video.path.name, run.folder / "memory.csv"
        with optional("chart", warn), atomic_write(picture) as part:
            chart.draw_report(part, printable(name), summary, seconds, memory, engine.title)
        worst: tuple[Path, ...] = ()
        with optional("pictures of the worst frames", warn):
            worst = tables.write_worst(
                run.folder / "worst",
                run.video,
                worst_frames,
                decoder=settings.decoder,
                salvage=settings.salvage,
            )
        return Outputs(
            report=facts,
            scores=scores,
            picture=picture if picture.exists() else None,
            worst=worst,
            **engine.products(run),
        )


def clock(video: VideoInfo) -> Seconds:
    """Return the function from a frame to its start in seconds; the frame after the last starts at the video's end."""
    timeline = video.timeline

    def seconds(frame: int) -> float:
        if frame < timeline.frames:
            return float(timeline.time(frame))
        return float(timeline.time(timeline.frames - 1) + timeline.last_seconds)

    return seconds
