"""Showing what would be removed before it is: masks laid over the frames, and a film of them to correct and give back.

The film holds the masks as they are marked, before they are dilated, one a frame and at the video's size: given back
with the same settings, it stands for the same masks.
"""

import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any

import numpy as np

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.jobs.events import Outputs
from pipelines.masks.mask_video import mask_to_rgb
from pipelines.masks.reading import FrameMask, mask_settings_of, read_holes, read_pixels
from pipelines.settings import TrackSettings
from pipelines.spans import Span
from pipelines.stages import Engine, RunContext, Sink, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write
from pipelines.storage.report import write_report
from pipelines.storage.span_arrays import read_array, save_arrays
from pipelines.tracking.overlay import draw_lost_frame, overlay_mask
from pipelines.tracking.prepass import check_marks, lost_stretches, tracking_load, tracking_stages
from pipelines.tracking.stages import lost_frames
from pipelines.video.info import ColourTags, VideoInfo, video_facts
from pipelines.video.join import join_segments
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.video.writer import VideoWriter
from pipelines.vision.types import Pixels, Size
from presets.choose import Choice

COLUMNS = ("frame", "time_seconds", "area_share", "lost")
RECORD = np.dtype([("masked", np.int64), ("lost", np.bool_)])
"""Pixels that would be filled, and whether the object was lost."""

_MOST_WIDTH_PX = 1280
_FILM_SUFFIX = ".mkv"
_FULL_RANGE = ColourTags(range="pc")
"""White is 255: what is corrected in a paint program stays black and white."""

_PROCESS_BYTES = 220 * MIB
_READERS = 2
"""The frames, and the masks where they are a film."""
_PIXEL_BYTES = 60
_FILM_PIXEL_BYTES = 0.01
"""Measured at 0.001 for a disc in 1080p; ragged masks take more."""


@dataclass(frozen=True, eq=False)
class Checked:
    """A frame with its mask laid over it, at most 1280 pixels wide, and the mask itself."""

    index: int
    picture: Pixels
    hole: FrameMask
    lost: bool


class TrackEngine(Engine):
    """Lays masks over frames: `frames` yields one `Checked` for each."""

    name = "builtin"

    def __init__(self, video: VideoInfo, settings: TrackSettings) -> None:
        super().__init__(video, settings)
        self.settings: TrackSettings = settings

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Decoders, two encoders, and a few pictures."""
        video, settings = self.video, self.settings
        decoder = bounded_decoder(video, settings.decoder)
        per_pixel = _READERS * held_bytes(video, decoder) / (video.width * video.height) + _PIXEL_BYTES
        fixed = _PROCESS_BYTES + tracking_load(settings).fixed
        return choice, Cost(host=Load(fixed=fixed, per_pixel=per_pixel, per_window_pixel=3 * _READERS))

    def check(self, run: RunContext) -> None:
        """Masks that mark something, prompts within the picture. Raises as `check_marks` does."""
        check_marks(run)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Checked]:
        """Frames `[start, stop)`. Holds one, its masks, and what their decoders hold."""
        size = overlay_size(run.video)
        with closing(read_pixels(run, start, stop)) as frames, closing(read_holes(run, start, stop)) as holes:
            given = zip(range(start, stop), frames, holes, _lost_flags(run, start, stop), strict=True)
            for index, frame, hole, lost in given:
                picture = overlay_mask(frame, hole.filled, size)
                yield Checked(index, draw_lost_frame(picture, index) if lost else picture, hole, lost)


class OverlayStage:
    """Makes the segments, and beside each the span's film of masks and its records."""

    name = "overlay"
    folder = "segments"
    suffix = ".mp4"

    def __init__(self, engine: TrackEngine) -> None:
        self.compute = engine.frames

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Encoders of the segment and of the film."""
        return _OverlaySink(run, path)

    def has_all(self, run: RunContext, span: Span) -> bool:
        """Whether film and records are there."""
        return _film_path(run, span).is_file() and _records_path(run, span).is_file()

    def preview(self, item: Checked) -> Pixels:
        """The frame with its mask."""
        return item.picture

    def value(self, item: Checked) -> float:
        """Which share of the picture would be filled."""
        return int(np.count_nonzero(item.hole.filled)) / item.hole.filled.size


class TrackPipeline(VideoPipeline[TrackEngine]):
    """Shows what would be removed from one video, and keeps the masks."""

    task = "track"

    def __init__(self, inputs: tuple[Path, ...], engine: TrackEngine) -> None:
        super().__init__(inputs, engine)
        self._tracking = tracking_stages(engine.settings)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The object is tracked, where that is asked for; then the masks are shown."""
        return (*self._tracking, OverlayStage(self.engine))

    def disk_bytes(self, frames: Span) -> int:
        """Segments and joined files: the overlay about as long as the source's share of these frames, and the film."""
        video = self.video
        files = video.images or (video.path,)
        size = sum(path.stat().st_size for path in files) / video.frames
        return int(2 * len(frames) * (size + _FILM_PIXEL_BYTES * video.width * video.height))

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """The overlay, the film, the table and the report. Holds one span's records."""
        result, film = run.folder / "result.mp4", run.folder / f"mask{_FILM_SUFFIX}"
        table, report = run.folder / "masks.csv", run.folder / "report.json"
        films = [_film_path(run, span) for span in run.spans]
        for kept, target in ((segments, result), (films, film)):
            with atomic_write(target) as part:
                joined = join_segments(kept, run.video, run.frames, part, silent=True)
        for sentence in joined.warnings:
            warn("times", sentence)
        lost = lost_stretches(run, warn)
        summary = _Summary()
        with atomic_write(table) as part:
            _write_table(part, summary.watch(_read_records(run)), run.video)
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine.name,
                "video": video_facts(run.video),
                "settings": run.settings.identity(),
                "lost": [[span.start, span.stop] for span in lost],
                "summary": summary.describe(),
            },
        )
        return Outputs(result=result, report=report, scores=table, mask=film)


def overlay_size(video: VideoInfo) -> Size:
    """Width and height at which masks are shown: at most 1280 pixels wide."""
    width = min(video.width, _MOST_WIDTH_PX)
    return width, max(1, round(video.height * width / video.width))


class _OverlaySink:
    """One span's files. Holds two encoders, and 9 bytes a frame."""

    def __init__(self, run: RunContext, path: Path) -> None:
        video = run.video
        self._job = run
        self._records: list[tuple[int, bool]] = []
        self._first: int | None = None
        self._overlay = VideoWriter(
            path,
            *overlay_size(video),
            video.frame_rate,
            colour=video.output_colour,
            sample_aspect_ratio=video.sample_aspect_ratio,
            crf=run.choice.number("crf"),
        )
        # Beside the segment until it is whole: what a kill leaves there is cleared away.
        self._film_part = path.with_suffix(_FILM_SUFFIX)
        self._film = VideoWriter(
            self._film_part,
            video.width,
            video.height,
            video.frame_rate,
            colour=_FULL_RANGE,
            codec="ffv1",
        )

    def write(self, item: Checked) -> None:
        """Encode the frame and its mask; keep its record."""
        self._overlay.write(item.picture)
        self._film.write(mask_to_rgb(item.hole.marked))
        self._records.append((int(np.count_nonzero(item.hole.filled)), item.lost))
        if self._first is None:
            self._first = item.index

    def close(self) -> None:
        """Film and records come before the segment has its name: a span without them is not finished."""
        self._overlay.close()
        self._film.close()
        first = self._first or 0
        span = Span(first, first + len(self._records))
        film = _film_path(self._job, span)
        film.parent.mkdir(parents=True, exist_ok=True)
        self._film_part.replace(film)
        save_arrays(_records_path(self._job, span), np.array(self._records, RECORD))

    def abandon(self) -> None:
        self._overlay.abandon()
        self._film.abandon()


@dataclass
class _Summary:
    """The masks of all frames in a few figures."""

    frames: int = 0
    marked: int = 0
    lost: int = 0
    shares: float = 0.0
    largest: float = 0.0

    def watch(self, rows: Iterator["_Row"]) -> Iterator["_Row"]:
        """Pass rows on, and take them in."""
        for row in rows:
            self.frames += 1
            self.marked += row.share > 0
            self.lost += row.lost
            self.shares += row.share
            self.largest = max(self.largest, row.share)
            yield row

    def describe(self) -> dict[str, Any]:
        """The facts for a report."""
        return {
            "frames": self.frames,
            "frames_marked": self.marked,
            "frames_lost": self.lost,
            "mean_area_share": round(self.shares / self.frames, 6),
            "largest_area_share": round(self.largest, 6),
        }


@dataclass(frozen=True)
class _Row:
    frame: int
    share: float
    lost: bool


def _read_records(run: RunContext) -> Iterator[_Row]:
    pixels = run.video.width * run.video.height
    for span in run.spans:
        records = read_array(_records_path(run, span)).tolist()
        for frame, (masked, lost) in enumerate(records, span.start):
            yield _Row(frame, masked / pixels, lost)


def _write_table(path: Path, rows: Iterator[_Row], video: VideoInfo) -> None:
    """One row a frame; decimals are fixed, so that equal runs give equal bytes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in rows:
            time = float(video.timeline.time(row.frame))
            table.writerow((row.frame, f"{time:.6f}", f"{row.share:.6f}", int(row.lost)))


def _lost_flags(run: RunContext, start: int, stop: int) -> Iterator[bool]:
    """Whether the object was lost, for each of frames `[start, stop)`."""
    frames = lost_frames(run) if mask_settings_of(run).follows else iter(())
    lost = dropwhile(lambda frame: frame < start, frames)
    due = next(lost, None)
    for frame in range(start, stop):
        found = frame == due
        if found:
            due = next(lost, None)
        yield found


def _film_path(run: RunContext, span: Span) -> Path:
    return run.folder / "state/film" / f"{span.name}{_FILM_SUFFIX}"


def _records_path(run: RunContext, span: Span) -> Path:
    return run.folder / "state/checked" / f"{span.name}.npy"
