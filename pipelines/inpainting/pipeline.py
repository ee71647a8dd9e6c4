"""Removing an object from a video: masks, then the fill, then one file with the source's sound and times."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path

from memory.plan import Cost, Load
from pipelines.inpainting import unseen
from pipelines.inpainting.stage import FillStage, FrameFiller, InpaintEngine, InPlace, frame_folder
from pipelines.inpainting.unseen import draw_invention
from pipelines.jobs.events import Outputs
from pipelines.masks.mask_video import SUFFIX
from pipelines.masks.reading import settings_of
from pipelines.masks.resize import work_size
from pipelines.settings import VIDEO_SUFFIXES, InpaintSettings, MaskSettings, Settings
from pipelines.spans import Span
from pipelines.stages import FrameByFrame, RunContext, Stage
from pipelines.storage.atomic import atomic_write
from pipelines.storage.report import write_report
from pipelines.tracking.prepass import check_marks, lost_stretches, tracking_load, tracking_stages
from pipelines.video.encodings import check_available
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.join import join_segments
from pipelines.video.reader import choose_decoder, held_bytes
from presets.tiers import own_tiers

_MIB = 2**20
_PROCESS_BYTES = 220 * _MIB
_ENCODER_PIXEL_BYTES = 170
"""What libx264 `veryfast` holds a pixel, with its look-ahead, references and conversion: measured at 120 to 165."""
_READERS = 3
"""The engine reads frames twice, and each is read once more when it is filled."""
_PNG_PIXEL_BYTES = 2


class FillPipeline(FrameByFrame):
    """The task `inpaint`, whatever makes its frames."""

    task = "inpaint"

    def __init__(self, settings: InpaintSettings, filler: InpaintEngine) -> None:
        self.engine = filler.name
        self._settings = settings
        self._filler = filler
        self._fill = FillStage(filler, VIDEO_SUFFIXES[settings.codec])
        self._tracking = tracking_stages(settings)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The object is followed, where that is asked for; then the frames are filled."""
        return (*self._tracking, self._fill)

    def check(self, run: RunContext) -> None:
        """Masks that mark something, hints within the picture, an encoder that answers, a folder that is free.

        Raises BadInput, and what `open_masks` raises.
        """
        check_available(settings_of(run).codec)
        self.check_masks(run)
        if folder := frame_folder(run):
            folder.claim()

    def check_masks(self, run: RunContext) -> None:
        """Masks that mark something, and hints within the picture. Raises as `check_marks` does."""
        check_marks(run)

    def disk_bytes(self, video: VideoInfo, frames: Span) -> int:
        """Segments and the joined file, each about as long as the source's share of these frames, and pictures."""
        files = video.images or (video.path,)
        size = sum(path.stat().st_size for path in files)
        pictures = _PNG_PIXEL_BYTES * video.width * video.height if self._settings.frames_out else 0
        return int(3 * size * len(frames) / video.frames) + pictures * len(frames)

    def join(self, run: RunContext, segments: list[Path], warn: Callable[[str, str], None]) -> Outputs:
        """The video, the table, the report and its picture. Holds one span's records."""
        result = run.folder / f"result{self._fill.suffix}"
        with atomic_write(result) as part:
            joined = join_segments(segments, run.video, run.frames, part)
        for sentence in joined.warnings:
            warn("sound", sentence)
        lost = lost_stretches(run, warn)
        video, seconds = run.video, _clock(run.video)
        pixels, start = prod(self._filler.size(run)), run.frames.start
        found = unseen.Invention(len(run.frames), pixels)
        records = (unseen.record_path(run.folder, span.name) for span in run.spans)
        table, report, picture = (run.folder / name for name in ("invented.csv", "report.json", "report.png"))
        unseen.write_table(table, found.watch(records), start, pixels, seconds)
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine,
                "video": video_facts(video),
                "settings": run.settings.identity(),
                "work_size": list(self._filler.work_size(run)),
                "audio_packets": joined.audio_packets,
                "warnings": list(joined.warnings),
                "lost": [[span.start, span.stop] for span in lost],
                "summary": found.describe(start, seconds),
            },
        )
        with atomic_write(picture) as part:
            before = self._filler.picture(run, start)
            draw_invention(part, video.path.name, before, found, start, seconds)
        return Outputs(result=result, report=report, scores=table, picture=picture, mask=self._mask_film(run))

    def _mask_film(self, run: RunContext) -> Path | None:
        """The masks that were made, as one film of the video's times."""
        if not self._tracking:
            return None
        film, stage = run.folder / f"mask{SUFFIX}", self._tracking[-1]
        kept = [run.folder / stage.folder / f"{span.name}{stage.suffix}" for span in run.spans]
        with atomic_write(film) as part:
            join_segments(kept, run.video, run.frames, part, silent=True)
        return film


class InpaintPipeline(FillPipeline):
    """The task with a built-in engine."""

    def __init__(self, settings: InpaintSettings, engine: FrameFiller) -> None:
        super().__init__(settings, InPlace(engine))
        self._load = engine.load

    def cost(self, video: VideoInfo, settings: Settings) -> Cost:
        """Decoders, the encoder, and what the engine holds of the size at which it computes."""
        most = own_tiers().inpaint.quality[settings.quality].max_side_px
        width, height = work_size((video.width, video.height), self._settings, most)
        around = around_the_engine(video, settings)
        per_pixel = around.per_pixel + self._load.per_pixel * width * height / (video.width * video.height)
        return Cost(host=replace(around, fixed=around.fixed + self._load.fixed, per_pixel=per_pixel))


def around_the_engine(video: VideoInfo, settings: Settings) -> Load:
    """What a run holds beside what its engine does: the process, decoders and the encoder."""
    decoder = choose_decoder(video, luma_only=True) if settings.decoder == "auto" else settings.decoder
    decoders = _READERS * held_bytes(video, decoder) / (video.width * video.height)
    fixed = _PROCESS_BYTES
    if isinstance(settings, MaskSettings) and settings.tracker != "builtin":
        fixed += int(tracking_load(settings).fixed)
    return Load(fixed=fixed, per_pixel=decoders + _ENCODER_PIXEL_BYTES, per_window_pixel=3 * _READERS)


def _clock(video: VideoInfo) -> Callable[[int], float]:
    return lambda frame: float(video.timeline.time(frame))
