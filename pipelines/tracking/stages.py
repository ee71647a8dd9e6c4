"""Prepass stages of the built-in tracker: backward and forward passes from the prompts, then a mask for each frame.

Records and masks are stored span by span. The backward pass counts its frames from the last one, so that it, too,
advances in the order in which spans are computed.
"""

import functools
import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from pipelines.errors import LongtakeError
from pipelines.masks.mask_video import CRF, FOLDER, SUFFIX, mask_to_rgb
from pipelines.spans import Span
from pipelines.stages import AnyOrder, OneFile, RunContext, Sink
from pipelines.storage.atomic import write_bytes
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.tracking.csrt import RECORD, Records
from pipelines.tracking.fusion import Tracked, fused_masks
from pipelines.tracking.job_prompts import source_and_targets
from pipelines.tracking.passes import pass_records
from pipelines.video.writer import VideoWriter
from pipelines.vision.types import Pixels

_LOST = "state/lost"


class PassStage(OneFile):
    """Stage of one tracking pass: a record for each frame, forwards or backwards from the prompts."""

    in_order = True  # a pass goes on from the record before
    suffix = ".npy"

    def __init__(self, *, backward: bool) -> None:
        self.name = "look back" if backward else "follow"
        self.folder = "state/back" if backward else "state/on"
        self._backward = backward
        self._kept: tuple[Span, Records] | None = None

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Records]:
        """Yield records `(1,)` of frames `[start, stop)`, counted from the last frame in a backward pass."""
        source, targets = source_and_targets(run)
        span = Span(start, stop)
        if self._backward:
            span = mirrored(run.frames, span)
        known = functools.partial(self._record, run)
        tracking_pass = pass_records(
            source, targets, span.start, span.stop, backward=self._backward, known=known
        )
        with closing(tracking_pass) as records:
            yield from records

    def records(self, run: RunContext, start: int, stop: int) -> Generator[np.void]:
        """Yield the stored records of the video's frames `[start, stop)`, in order. Holds one span's."""
        for frame in range(start, stop):
            if (record := self._record(run, frame)) is None:
                raise LongtakeError(
                    f"The record of frame {frame} is missing.",
                    "Recompute the job with --force.",
                    "job.damaged",
                )
            yield record

    def _record(self, run: RunContext, frame: int) -> "np.void | None":
        """The stored record of the video's frame `frame`, or None."""
        at = mirrored(run.frames, Span(frame, frame + 1)).start if self._backward else frame
        if self._kept is None or not self._kept[0].start <= at < self._kept[0].stop:
            span = next(span for span in run.spans if span.start <= at < span.stop)
            path = run.folder / self.folder / f"{span.name}{self.suffix}"
            if not path.is_file():
                return None
            self._kept = span, read_array(path)
        span, records = self._kept
        found: np.void = records[at - span.start]
        return found

    def kept(self, span: Span) -> tuple[str, ...]:
        """The span's file, relative to the job folder."""
        return (f"{self.folder}/{span.name}{self.suffix}",)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npy` of `RECORD`: 36 bytes a frame."""
        return RowSink[Records, Records](path, rows_of(RECORD), row=lambda record: record)

    def preview(self, item: Records) -> Pixels | None:
        """No preview."""
        return None

    def value(self, item: Records) -> float | None:
        """No curve."""
        return None


class MaskVideoStage(AnyOrder):
    """Base of stages that store masks: a small video per span, and a list of the frames where the object was lost."""

    name = "masks"
    folder = FOLDER
    suffix = SUFFIX

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A writer of the span's mask video and its list of lost frames."""
        return _MaskSink(run, path)

    def kept(self, span: Span) -> tuple[str, ...]:
        """The span's list and mask video, relative to the job folder."""
        return _lost_name(span), f"{self.folder}/{span.name}{self.suffix}"

    def beside(self, run: RunContext, span: Span) -> tuple[Path, ...]:
        """Return the list."""
        return (_lost_path(run, span),)

    def preview(self, item: Tracked) -> Pixels:
        """The mask, white on black."""
        return mask_to_rgb(item.mask)

    def value(self, item: Tracked) -> float | None:
        """No curve."""
        return None


class MaskStage(MaskVideoStage):
    """Stage of the masks, fused from both passes."""

    def __init__(self, forward: PassStage, backward: PassStage) -> None:
        self._passes = forward, backward

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Tracked]:
        """Yield the object on frames `[start, stop)`."""
        source, targets = source_and_targets(run)
        forward, backward = (each.records(run, start, stop) for each in self._passes)
        with closing(fused_masks(source, targets, forward, backward, start, stop)) as found:
            yield from found


def lost_frames(run: RunContext) -> Generator[int]:
    """Yield the frames on which the object was lost, in order."""
    for span in run.spans:
        yield from json.loads(_lost_path(run, span).read_text(encoding="utf-8"))


def mirrored(whole: Span, span: Span) -> Span:
    """Return `span` counted from the other end of `whole`."""
    turn = whole.start + whole.stop
    return Span(turn - span.stop, turn - span.start)


def _lost_path(run: RunContext, span: Span) -> Path:
    return run.folder / _lost_name(span)


def _lost_name(span: Span) -> str:
    return f"{_LOST}/{span.name}.json"


class _MaskSink:
    """An encoder, and the numbers of the frames where the object was lost."""

    def __init__(self, run: RunContext, path: Path) -> None:
        video = run.video
        self._job = run
        self._lost: list[int] = []
        self._frames: list[int] = []
        self._writer = VideoWriter(path, video.width, video.height, video.frame_rate, crf=CRF)

    def write(self, item: Tracked) -> None:
        self._writer.write(mask_to_rgb(item.mask))
        self._frames.append(item.frame)
        if item.lost:
            self._lost.append(item.frame)

    def close(self) -> None:
        self._writer.close()
        span = Span(self._frames[0], self._frames[-1] + 1)
        write_bytes(_lost_path(self._job, span), json.dumps(self._lost).encode())

    def abandon(self) -> None:
        self._writer.abandon()
