"""The task `inpaint`: makes masks, fills them, and joins one file with the source's sound and times."""

from collections.abc import Callable
from math import prod
from pathlib import Path

from pipelines.inpainting import unseen
from pipelines.inpainting.deep.reading import fills_samples
from pipelines.inpainting.engine import READERS, InpaintEngine
from pipelines.inpainting.stage import FillStage
from pipelines.inpainting.unseen import draw_invention
from pipelines.jobs.events import Outputs
from pipelines.masks.bundle import mask_size
from pipelines.masks.mask_video import SUFFIX
from pipelines.settings import VIDEO_SUFFIXES
from pipelines.spans import Span
from pipelines.stages import RunContext, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write
from pipelines.storage.frame_export import frame_folder
from pipelines.storage.names import printable
from pipelines.storage.optional import optional
from pipelines.storage.report import write_report
from pipelines.tracking.prepass import lost_stretches, mask_bytes, stretched, tracking_stages
from pipelines.video.encoding.depth_notes import depth_notes
from pipelines.video.encoding.disk import result_bytes
from pipelines.video.encoding.encodings import check_available, chosen_codec
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.join import foreseen_warnings, join_segments
from pipelines.vision.types import Size


class InpaintPipeline(VideoPipeline[InpaintEngine]):
    """Removes an object from one video with any inpainting engine."""

    task = "inpaint"

    def __init__(self, inputs: tuple[Path, ...], engine: InpaintEngine) -> None:
        super().__init__(inputs, engine)
        self._fill = FillStage(engine, VIDEO_SUFFIXES[engine.settings.codec])
        self._tracking = tracking_stages(engine.settings)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Tracking of the object, if requested, and the engine's prepasses; then the fill."""
        return (*self._tracking, *self.engine.prepasses, self._fill)

    def check(self, run: RunContext) -> None:
        """Check that the encoder works and the export folder is free, and run the engine's checks.

        Raises BadInput, and what the engine raises.
        """
        check_available(chosen_codec(self.engine.settings.codec, self.video))
        self.engine.check(run)
        if folder := frame_folder(run):
            folder.claim()

    def notices(self, run: RunContext) -> tuple[str, ...]:
        """Return what the result cannot keep of the source."""
        return (*self._lost(), *stretched(run), *foreseen_warnings(run.video, self._result(run)))

    def disk_bytes(self, frames: Span) -> int:
        """Estimate segments and joined file, and pictures."""
        settings = self.engine.settings
        codec, pictures = chosen_codec(settings.codec, self.video), settings.frames_out is not None
        return result_bytes(self.video, codec, len(frames), pictures=pictures)

    def other_bytes(self) -> int:
        """Estimate what reading the masks, or the painted prompts, holds."""
        return mask_bytes(self.inputs, self.video, self.engine.settings, readers=READERS)

    def other_sizes(self) -> tuple[Size, ...]:
        """Return the size of the largest mask, if there is one."""
        sizes = (mask_size(path.expanduser(), self.video.frames) for path in self.inputs[1:])
        return tuple(size for size in sizes if size)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Write the video, the table, the report and its pictures. Holds one span's records."""
        result = self._result(run)
        with atomic_write(result) as part:
            joined = join_segments(segments, run.video, run.frames, part)
        for sentence in joined.warnings:
            warn("sound", sentence)
        lost = lost_stretches(run, warn)
        video, seconds = run.video, _clock(run.video)
        pixels, start = prod(self.engine.size(run)), run.frames.start
        invention = unseen.Invention(len(run.frames), pixels)
        paths = [unseen.record_path(run.folder, span.name) for span in run.spans]
        table, report, picture = (run.folder / name for name in ("invented.csv", "report.json", "report.png"))
        unseen.write_table(table, invention.watch(paths), start, pixels, seconds)
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine.name,
                "video": video_facts(video),
                "settings": run.settings.identity(),
                "work_size": list(self.engine.work_size(run)),
                "audio_packets": joined.audio_packets,
                "warnings": [*self._lost(), *stretched(run), *joined.warnings],
                "lost": [[span.start, span.stop] for span in lost],
                "summary": {
                    **invention.describe(start, seconds),
                    **self._samples_at_edges(paths),
                    **self.engine.report(run, warn),
                },
            },
        )
        heat_map = run.folder / "heat_map.jpg"
        with optional("picture of what was invented", warn):
            before = self.engine.picture(run, start)
            if invention.invented:
                with optional("map of what was invented", warn):
                    unseen.save_heat_map(heat_map, before, invention)
            with atomic_write(picture) as part:
                draw_invention(part, printable(video.path.name), before, invention, start, seconds)
        return Outputs(
            result=result,
            report=report,
            scores=table,
            picture=picture if picture.exists() else None,
            heat_map=heat_map if heat_map.exists() else None,
            mask=self._mask_video(run),
            **self.engine.products(run),
        )

    def _lost(self) -> tuple[str, ...]:
        """Say what the codec cannot keep of the samples."""
        return depth_notes(self.video, chosen_codec(self.engine.settings.codec, self.video))

    def _samples_at_edges(self, paths: list[Path]) -> dict[str, int]:
        """Return the number of chroma samples that stand for filled and unfilled pixels, and so were changed."""
        if not fills_samples(self.video, self.engine.settings):
            return {}
        return {"chroma_samples_at_edges": unseen.chroma_at_edges(paths)}

    def _result(self, run: RunContext) -> Path:
        return run.folder / f"result{self._fill.suffix}"

    def _mask_video(self, run: RunContext) -> Path | None:
        """Join the tracked masks into one video with the source's times; None if nothing was tracked."""
        if not self._tracking:
            return None
        mask_video, stage = run.folder / f"mask{SUFFIX}", self._tracking[-1]
        segments = [run.folder / stage.folder / f"{span.name}{stage.suffix}" for span in run.spans]
        with atomic_write(mask_video) as part:
            join_segments(segments, run.video, run.frames, part, silent=True)
        return mask_video


def _clock(video: VideoInfo) -> Callable[[int], float]:
    return lambda frame: float(video.timeline.time(frame))
