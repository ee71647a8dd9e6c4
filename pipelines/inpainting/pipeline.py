"""The task `inpaint`: masks, then the fill, then one file with the source's sound and times."""

from collections.abc import Callable
from math import prod
from pathlib import Path

from pipelines.inpainting import unseen
from pipelines.inpainting.engine import InpaintEngine
from pipelines.inpainting.stage import FillStage
from pipelines.inpainting.unseen import draw_invention
from pipelines.jobs.events import Outputs
from pipelines.masks.mask_video import SUFFIX
from pipelines.settings import VIDEO_SUFFIXES
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write
from pipelines.storage.frame_export import frame_folder
from pipelines.storage.names import printable
from pipelines.storage.report import write_report
from pipelines.tracking.prepass import lost_stretches, tracking_stages
from pipelines.video.encodings import check_available
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.join import join_segments

_PNG_PIXEL_BYTES = 2
"""Of a frame that is kept as a picture, of three."""


class InpaintPipeline(VideoPipeline[InpaintEngine]):
    """Removes an object from one video, with whichever engine makes the frames."""

    task = "inpaint"

    def __init__(self, inputs: tuple[Path, ...], engine: InpaintEngine) -> None:
        super().__init__(inputs, engine)
        self._fill = FillStage(engine, VIDEO_SUFFIXES[engine.settings.codec])
        self._tracking = tracking_stages(engine.settings)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The object is tracked, where that is asked for; then the frames are filled."""
        return (*self._tracking, *self.engine.prepasses, self._fill)

    def check(self, run: RunContext) -> None:
        """An encoder that answers, what the engine checks, a folder that is free. Raises BadInput, and as that does."""
        check_available(self.engine.settings.codec)
        self.engine.check(run)
        if folder := frame_folder(run):
            folder.claim()

    def disk_bytes(self, frames: Span) -> int:
        """Segments and the joined file, each about as long as the source's share of these frames, and pictures."""
        video = self.video
        files = video.images or (video.path,)
        size = sum(path.stat().st_size for path in files)
        pictures = _PNG_PIXEL_BYTES * video.width * video.height if self.engine.settings.frames_out else 0
        return int(3 * size * len(frames) / video.frames) + pictures * len(frames)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """The video, the table, the report and its picture. Holds one span's records."""
        result = run.folder / f"result{self._fill.suffix}"
        with atomic_write(result) as part:
            joined = join_segments(segments, run.video, run.frames, part)
        for sentence in joined.warnings:
            warn("sound", sentence)
        lost = lost_stretches(run, warn)
        video, seconds = run.video, _clock(run.video)
        pixels, start = prod(self.engine.size(run)), run.frames.start
        found = unseen.Invention(len(run.frames), pixels)
        records = (unseen.record_path(run.folder, span.name) for span in run.spans)
        table, report, picture = (run.folder / name for name in ("invented.csv", "report.json", "report.png"))
        unseen.write_table(table, found.watch(records), start, pixels, seconds)
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine.name,
                "video": video_facts(video),
                "settings": run.settings.identity(),
                "work_size": list(self.engine.work_size(run)),
                "audio_packets": joined.audio_packets,
                "warnings": list(joined.warnings),
                "lost": [[span.start, span.stop] for span in lost],
                "summary": {**found.describe(start, seconds), **self.engine.report(run, warn)},
            },
        )
        with atomic_write(picture) as part:
            before = self.engine.picture(run, start)
            draw_invention(part, printable(video.path.name), before, found, start, seconds)
        return Outputs(
            result=result,
            report=report,
            scores=table,
            picture=picture,
            mask=self._mask_video(run),
            **self.engine.products(run),
        )

    def _mask_video(self, run: RunContext) -> Path | None:
        """The masks that were made, as one film of the video's times."""
        if not self._tracking:
            return None
        film, stage = run.folder / f"mask{SUFFIX}", self._tracking[-1]
        kept = [run.folder / stage.folder / f"{span.name}{stage.suffix}" for span in run.spans]
        with atomic_write(film) as part:
            join_segments(kept, run.video, run.frames, part, silent=True)
        return film


def _clock(video: VideoInfo) -> Callable[[int], float]:
    return lambda frame: float(video.timeline.time(frame))
