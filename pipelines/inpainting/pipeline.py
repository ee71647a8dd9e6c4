"""Removing an object from a video: masks, then the fill, then one file with the source's sound and times."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path

from memory.plan import Cost, Load
from pipelines.events import Outputs
from pipelines.inpainting import invention
from pipelines.inpainting.chart import draw_invention
from pipelines.inpainting.filling import Engine, Filler, FillStage, InPlace, frame_folder
from pipelines.inpainting.given import settings_of
from pipelines.inpainting.masks.marking import check_marks, lost_stretches, tracking_load, tracking_stages
from pipelines.inpainting.masks.mask_films import SUFFIX
from pipelines.inpainting.scale import work_size
from pipelines.report_file import video_facts, write_report
from pipelines.settings import VIDEO_SUFFIXES, InpaintSettings, MaskSettings, Settings
from pipelines.spans import Span
from pipelines.stages import Assignment, FrameByFrame, Stage
from pipelines.video.encodings import check_available
from pipelines.video.info import VideoInfo
from pipelines.video.join import join_segments
from pipelines.video.reader import choose_decoder, held_bytes
from pipelines.whole import whole
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

    def __init__(self, settings: InpaintSettings, filler: Filler) -> None:
        self.engine = filler.name
        self._settings = settings
        self._filler = filler
        self._fill = FillStage(filler, VIDEO_SUFFIXES[settings.codec])
        self._tracking = tracking_stages(settings)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The object is followed, where that is asked for; then the frames are filled."""
        return (*self._tracking, self._fill)

    def check(self, job: Assignment) -> None:
        """Masks that mark something, hints within the picture, an encoder that answers, a folder that is free.

        Raises BadInput, and what `open_masks` raises.
        """
        check_available(settings_of(job).codec)
        self.check_masks(job)
        if folder := frame_folder(job):
            folder.claim()

    def check_masks(self, job: Assignment) -> None:
        """Masks that mark something, and hints within the picture. Raises as `check_marks` does."""
        check_marks(job)

    def disk_bytes(self, video: VideoInfo, frames: Span) -> int:
        """Segments and the joined file, each about as long as the source's share of these frames, and pictures."""
        files = video.images or (video.path,)
        size = sum(path.stat().st_size for path in files)
        pictures = _PNG_PIXEL_BYTES * video.width * video.height if self._settings.frames_out else 0
        return int(3 * size * len(frames) / video.frames) + pictures * len(frames)

    def join(self, job: Assignment, segments: list[Path], warn: Callable[[str, str], None]) -> Outputs:
        """The video, the table, the report and its picture. Holds one span's records."""
        result = job.folder / f"result{self._fill.suffix}"
        with whole(result) as part:
            joined = join_segments(segments, job.video, job.frames, part)
        for sentence in joined.warnings:
            warn("sound", sentence)
        lost = lost_stretches(job, warn)
        video, seconds = job.video, _clock(job.video)
        pixels, start = prod(self._filler.size(job)), job.frames.start
        found = invention.Invention(len(job.frames), pixels)
        records = (invention.record_path(job.folder, span.name) for span in job.spans)
        table, report, picture = (job.folder / name for name in ("invented.csv", "report.json", "report.png"))
        invention.write_table(table, found.watch(records), start, pixels, seconds)
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine,
                "video": video_facts(video),
                "settings": job.settings.identity(),
                "work_size": list(self._filler.work_size(job)),
                "audio_packets": joined.audio_packets,
                "warnings": list(joined.warnings),
                "lost": [[span.start, span.stop] for span in lost],
                "summary": found.describe(start, seconds),
            },
        )
        with whole(picture) as part:
            before = self._filler.picture(job, start)
            draw_invention(part, video.path.name, before, found, start, seconds)
        return Outputs(result=result, report=report, scores=table, picture=picture, mask=self._mask_film(job))

    def _mask_film(self, job: Assignment) -> Path | None:
        """The masks that were made, as one film of the video's times."""
        if not self._tracking:
            return None
        film, stage = job.folder / f"mask{SUFFIX}", self._tracking[-1]
        kept = [job.folder / stage.folder / f"{span.name}{stage.suffix}" for span in job.spans]
        with whole(film) as part:
            join_segments(kept, job.video, job.frames, part, silent=True)
        return film


class InpaintPipeline(FillPipeline):
    """The task with a built-in engine."""

    def __init__(self, settings: InpaintSettings, engine: Engine) -> None:
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
