"""Following the object, as prepasses of a job: back from its hints, on from them, then a mask for each frame.

Records and masks are kept span by span, like everything else. The walk back counts its frames from the last one, so
that it, too, advances in the order in which spans are computed.
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
from pipelines.stages import OneFile, RunContext, Sink
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
    """A record for each frame, forwards or backwards from the hints."""

    suffix = ".npy"

    def __init__(self, *, backward: bool) -> None:
        self.name = "look back" if backward else "follow"
        self.folder = "state/back" if backward else "state/on"
        self._backward = backward
        self._kept: tuple[Span, Records] | None = None

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Records]:
        """Records `(1,)` of frames `[start, stop)`; of a walk back, of as many frames counted from the last."""
        source, targets = source_and_targets(run)
        asked = Span(start, stop)
        span = mirrored(run.frames, asked) if self._backward else asked
        known = functools.partial(self._record, run)
        walk = pass_records(source, targets, span.start, span.stop, backward=self._backward, known=known)
        with closing(walk) as records:
            yield from records

    def records(self, run: RunContext, start: int, stop: int) -> Generator[np.void]:
        """The kept records of the video's frames `[start, stop)`, in order. Holds one span's."""
        for frame in range(start, stop):
            if (record := self._record(run, frame)) is None:
                raise LongtakeError(
                    f"The record of frame {frame} is gone.", "Compute the job anew with --force."
                )
            yield record

    def _record(self, run: RunContext, frame: int) -> "np.void | None":
        """The record of the video's frame `frame`, or None where it is not kept."""
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
        """The span's file, below the job folder."""
        return (f"{self.folder}/{span.name}{self.suffix}",)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npy` of `RECORD`: 36 bytes a frame."""
        return RowSink[Records, Records](path, rows_of(RECORD), row=lambda record: record)

    def preview(self, item: Records) -> Pixels | None:
        """Nothing to show."""
        return None

    def value(self, item: Records) -> float | None:
        """No curve."""
        return None


class MaskVideoStage:
    """What a stage of masks keeps: small films that can be looked at, and the frames where the object was lost."""

    name = "masks"
    folder = FOLDER
    suffix = SUFFIX

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A film of the span's masks, and a list of where the object was lost."""
        return _MaskSink(run, path)

    def kept(self, span: Span) -> tuple[str, ...]:
        """The span's list and film, below the job folder."""
        return _lost_name(span), f"{self.folder}/{span.name}{self.suffix}"

    def has_all(self, run: RunContext, span: Span) -> bool:
        """Whether the list is there."""
        return _lost_path(run, span).is_file()

    def preview(self, item: Tracked) -> Pixels:
        """The mask."""
        return mask_to_rgb(item.mask)

    def value(self, item: Tracked) -> float | None:
        """No curve."""
        return None


class MaskStage(MaskVideoStage):
    """The masks themselves, drawn where the walks have been."""

    def __init__(self, on: PassStage, back: PassStage) -> None:
        self._on = on
        self._back = back

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Tracked]:
        """Where the object is on frames `[start, stop)`."""
        source, targets = source_and_targets(run)
        on, back = (walk.records(run, start, stop) for walk in (self._on, self._back))
        with closing(fused_masks(source, targets, on, back, start, stop)) as found:
            yield from found


def lost_frames(run: RunContext) -> Generator[int]:
    """The frames on which the object was not seen."""
    for span in run.spans:
        yield from json.loads(_lost_path(run, span).read_text(encoding="utf-8"))


def mirrored(whole: Span, span: Span) -> Span:
    """`span` counted from the other end of `whole`."""
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
