"""The task `track`: previews what would be removed, as masks over the frames and a mask video that can be corrected.

The mask video has one mask per frame at the video's size, as marked, before dilation: used as the mask of a removal
with the same settings, it gives the same masks.
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
from pipelines.masks.bundle import mask_size
from pipelines.masks.mask_video import mask_to_rgb
from pipelines.masks.reading import FrameMask, mask_settings_of, read_holes, read_pixels
from pipelines.settings import TrackSettings
from pipelines.spans import Span
from pipelines.stages import AnyOrder, Engine, RunContext, Sink, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write
from pipelines.storage.report import write_report
from pipelines.storage.span_arrays import read_array, save_arrays
from pipelines.tracking.overlay import draw_lost_frame, overlay_mask
from pipelines.tracking.prepass import (
    check_marks,
    lost_stretches,
    mask_bytes,
    mask_reading,
    stretched,
    tracking_load,
    tracking_stages,
)
from pipelines.tracking.stages import lost_frames
from pipelines.video.info import ColourTags, VideoInfo, video_facts
from pipelines.video.join import join_segments
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.video.writer import VideoWriter
from pipelines.vision.types import Pixels, Size
from presets.choose import Choice

COLUMNS = ("frame", "time_seconds", "area_share", "lost")
RECORD = np.dtype([("masked", np.int64), ("lost", np.bool_)])
"""Number of pixels that would be filled, and whether tracking lost the object."""

_MOST_WIDTH_PX = 1280
_MASK_SUFFIX = ".mkv"
_FULL_RANGE = ColourTags(range="pc")
"""White is 255, so that masks stay black and white when they are corrected in a paint program."""

_PROCESS_BYTES = 220 * MIB
_READERS = 2
"""Open decoders: of the frames, and of the mask video that tracking made."""
_PIXEL_BYTES = 60
"""Bytes per pixel held by two encoders and a few pictures."""
_MASK_FILE_BYTES = 0.01
"""File bytes per pixel of the mask video: measured at 0.001 for a disc in 1080p; ragged masks take more."""


@dataclass(frozen=True, eq=False)
class Checked:
    """A frame with its mask overlaid, at most 1280 pixels wide, and the mask itself."""

    index: int
    picture: Pixels
    hole: FrameMask
    lost: bool


class TrackEngine(Engine):
    """Overlays masks on frames: `frames` yields one `Checked` per frame."""

    name = "builtin"

    def __init__(self, video: VideoInfo, settings: TrackSettings) -> None:
        super().__init__(video, settings)
        self.settings: TrackSettings = settings

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Return the cost of decoders, two encoders and a few pictures."""
        video, settings = self.video, self.settings
        decoder = bounded_decoder(video, settings.decoder)
        per_pixel = _READERS * held_bytes(video, decoder) / (video.width * video.height) + _PIXEL_BYTES
        fixed = _PROCESS_BYTES + tracking_load(settings).fixed
        return choice, Cost(host=Load(fixed=fixed, per_pixel=per_pixel, per_window_pixel=3 * _READERS))

    def check(self, run: RunContext) -> None:
        """Check that masks mark something and prompts lie within the frame. Raises the errors of `check_marks`."""
        check_marks(run)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Checked]:
        """Overlay the masks of frames `[start, stop)`. Holds one frame, its masks, and the decoders."""
        size = overlay_size(run.video)
        with closing(read_pixels(run, start, stop)) as frames, closing(read_holes(run, start, stop)) as holes:
            items = zip(range(start, stop), frames, holes, _lost_flags(run, start, stop), strict=True)
            for index, frame, hole, lost in items:
                picture = overlay_mask(frame, hole.filled, size)
                yield Checked(index, draw_lost_frame(picture, index) if lost else picture, hole, lost)


class OverlayStage(AnyOrder):
    """Encodes the overlay into segments, and saves the span's mask video and records beside each."""

    name = "overlay"
    folder = "segments"
    suffix = ".mp4"

    def __init__(self, engine: TrackEngine) -> None:
        self.compute = engine.frames

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open encoders for the segment and the mask video."""
        return _OverlaySink(run, path)

    def beside(self, run: RunContext, span: Span) -> tuple[Path, ...]:
        """Return mask video and records."""
        return _mask_path(run, span), _records_path(run, span)

    def preview(self, item: Checked) -> Pixels:
        """Return the frame with its mask."""
        return item.picture

    def value(self, item: Checked) -> float:
        """Return the share of the frame that would be filled."""
        return int(np.count_nonzero(item.hole.filled)) / item.hole.filled.size


class TrackPipeline(VideoPipeline[TrackEngine]):
    """Previews what would be removed from one video, and saves the masks."""

    task = "track"

    def __init__(self, inputs: tuple[Path, ...], engine: TrackEngine) -> None:
        super().__init__(inputs, engine)
        self._tracking = tracking_stages(engine.settings)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Tracking of the object, if requested; then the overlay."""
        return (*self._tracking, OverlayStage(self.engine))

    def disk_bytes(self, frames: Span) -> int:
        """Estimate segments and joined files: an overlay about as large as these frames of the source, and masks."""
        video = self.video
        files = video.images or (video.path,)
        size = sum(path.stat().st_size for path in files) / video.frames
        return int(2 * len(frames) * (size + _MASK_FILE_BYTES * video.width * video.height))

    def other_bytes(self) -> int:
        """Estimate what reading the masks, or the painted prompts, holds."""
        return mask_bytes(self.inputs, self.video, self.engine.settings, readers=1)

    def other_sizes(self) -> tuple[Size, ...]:
        """Return the size of the largest mask, if there is one."""
        sizes = (mask_size(path.expanduser(), self.video.frames) for path in self.inputs[1:])
        return tuple(size for size in sizes if size)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Write overlay, mask video, table and report. Holds one span's records."""
        result, mask_video = run.folder / "result.mp4", run.folder / f"mask{_MASK_SUFFIX}"
        table, report = run.folder / "masks.csv", run.folder / "report.json"
        mask_segments = [_mask_path(run, span) for span in run.spans]
        for parts, target in ((segments, result), (mask_segments, mask_video)):
            with atomic_write(target) as part:
                joined = join_segments(parts, run.video, run.frames, part, silent=True)
        for sentence in joined.warnings:
            warn("times", sentence)
        for sentence in stretched(run):
            warn("source", sentence)
        lost = lost_stretches(run, warn)
        summary = _Summary()
        with atomic_write(table) as part:
            _write_table(part, summary.collect(_read_records(run)), run.video)
        write_report(
            report,
            {
                "task": self.task,
                "engine": self.engine.name,
                "video": video_facts(run.video),
                "settings": run.settings.identity(),
                "mask_reading": mask_reading(run, warn),
                "warnings": list(stretched(run)),
                "lost": [[span.start, span.stop] for span in lost],
                "summary": summary.describe(),
            },
        )
        return Outputs(result=result, report=report, scores=table, mask=mask_video)


def overlay_size(video: VideoInfo) -> Size:
    """Return width and height of the overlay: at most 1280 pixels wide."""
    width = min(video.width, _MOST_WIDTH_PX)
    return width, max(1, round(video.height * width / video.width))


class _OverlaySink:
    """Writes one span's files. Holds two encoders, and 9 bytes per frame."""

    def __init__(self, run: RunContext, path: Path) -> None:
        video = run.video
        self._run = run
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
        # Written beside the segment until complete: leftovers of a killed job are cleaned up there.
        self._mask_part = path.with_suffix(_MASK_SUFFIX)
        self._masks = VideoWriter(
            self._mask_part,
            video.width,
            video.height,
            video.frame_rate,
            colour=_FULL_RANGE,
            codec="ffv1_gray",
        )

    def write(self, item: Checked) -> None:
        """Encode the frame and its mask, and add its record."""
        self._overlay.write(item.picture)
        self._masks.write(mask_to_rgb(item.hole.marked))
        self._records.append((int(np.count_nonzero(item.hole.filled)), item.lost))
        if self._first is None:
            self._first = item.index

    def close(self) -> None:
        """Complete masks and records before the loop renames the segment and so finishes the span."""
        self._overlay.close()
        self._masks.close()
        first = self._first or 0
        span = Span(first, first + len(self._records))
        with atomic_write(_mask_path(self._run, span)) as part:
            self._mask_part.replace(part)
        save_arrays(_records_path(self._run, span), np.array(self._records, RECORD))

    def abandon(self) -> None:
        self._overlay.abandon()
        self._masks.abandon()


@dataclass
class _Summary:
    """Statistics of the masks of all frames."""

    frames: int = 0
    marked: int = 0
    lost: int = 0
    shares: float = 0.0
    largest: float = 0.0

    def collect(self, rows: Iterator["_Row"]) -> Iterator["_Row"]:
        """Pass rows through and accumulate them."""
        for row in rows:
            self.frames += 1
            self.marked += row.share > 0
            self.lost += row.lost
            self.shares += row.share
            self.largest = max(self.largest, row.share)
            yield row

    def describe(self) -> dict[str, Any]:
        """Return the summary for the report."""
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
    """Write one row per frame, with a fixed number of decimals so that equal runs give equal bytes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in rows:
            time = float(video.timeline.time(row.frame))
            table.writerow((row.frame, f"{time:.6f}", f"{row.share:.6f}", int(row.lost)))


def _lost_flags(run: RunContext, start: int, stop: int) -> Iterator[bool]:
    """Yield for each of frames `[start, stop)` whether tracking lost the object."""
    frames = lost_frames(run) if mask_settings_of(run).follows else iter(())
    lost = dropwhile(lambda frame: frame < start, frames)
    next_lost = next(lost, None)
    for frame in range(start, stop):
        is_lost = frame == next_lost
        if is_lost:
            next_lost = next(lost, None)
        yield is_lost


def _mask_path(run: RunContext, span: Span) -> Path:
    return run.folder / "state/film" / f"{span.name}{_MASK_SUFFIX}"


def _records_path(run: RunContext, span: Span) -> Path:
    return run.folder / "state/checked" / f"{span.name}.npy"
