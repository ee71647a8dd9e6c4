"""The stage that removes the object: frames span by span, and beside each span what of it was invented."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from memory.plan import Load
from pipelines.inpainting import unseen
from pipelines.masks.reading import read_inputs, read_masks, read_pixels, settings_of, size_of
from pipelines.masks.resize import Pixels, Size, large_mask, paste_back
from pipelines.masks.sequence import Mask
from pipelines.spans import Span
from pipelines.stages import RunContext, Sink
from pipelines.storage.frame_export import FrameFolder
from pipelines.video.encodings import encoding
from pipelines.video.writer import VideoWriter

Read = Callable[[int, int], Generator[tuple[Pixels, Mask]]]
"""Frames and masks of a range, from any frame on."""


class Fill(NamedTuple):
    """A frame `(h, w, 3)` uint8 RGB with its hole filled, and which pixels `(h, w)` of that no frame shows."""

    pixels: Pixels
    invented: Mask


class FrameFiller(Protocol):
    """Fills holes from other frames."""

    name: str

    @property
    def load(self) -> Load:
        """What it holds beside its readers; pixels are those of the size at which it computes."""
        ...

    def fill(self, read: Read, frames: Span, start: int, stop: int) -> Generator[Fill]:
        """Frames `[start, stop)`, filled; looks at others within `frames` by `read`. The same whatever `start` is."""
        ...


@dataclass(frozen=True)
class Filled:
    """One frame of the result, as it was and as it is, what was filled, and what of that was invented."""

    index: int
    before: Pixels
    after: Pixels
    mask: Mask
    invented: Mask


class InpaintEngine(Protocol):
    """Makes the frames of the result."""

    name: str

    def work_size(self, run: RunContext) -> Size:
        """Width and height at which it computes."""
        ...

    def size(self, run: RunContext) -> Size:
        """Width and height of the result."""
        ...

    def picture(self, run: RunContext, index: int) -> Pixels:
        """Frame `index` as it was, at the size of the result."""
        ...

    def filled(self, run: RunContext, start: int, stop: int) -> Generator[Filled]:
        """Frames `[start, stop)` at the size of the result, the same whatever `start` is."""
        ...


class InPlace:
    """Frames of the video's size; outside the masks they are what was decoded, to the bit."""

    def __init__(self, engine: FrameFiller) -> None:
        self.name = engine.name
        self._engine = engine

    def work_size(self, run: RunContext) -> Size:
        """As asked, or up to the preset's most."""
        return size_of(run)

    def size(self, run: RunContext) -> Size:
        """The video's."""
        return run.video.width, run.video.height

    def picture(self, run: RunContext, index: int) -> Pixels:
        """As it was decoded."""
        with closing(read_pixels(run, index, index + 1)) as frames:
            return next(frames)

    def filled(self, run: RunContext, start: int, stop: int) -> Generator[Filled]:
        """Frames `[start, stop)`, filled.

        The engine reads on its own, at its own size and ahead; frames and masks are read a second time here, which
        holds less than keeping them until they are filled.
        """
        size = self.size(run)
        with (
            closing(self._engine.fill(partial(read_inputs, run), run.frames, start, stop)) as fills,
            closing(read_pixels(run, start, stop)) as frames,
            closing(read_masks(run, start, stop)) as masks,
        ):
            for index, (fill, frame, mask) in enumerate(zip(fills, frames, masks, strict=True), start):
                after = paste_back(frame, fill.pixels, mask)
                yield Filled(index, frame, after, mask, large_mask(fill.invented, size) & mask)


class FillStage:
    """Makes the segments."""

    name = "fill"
    folder = "segments"

    def __init__(self, filler: InpaintEngine, suffix: str) -> None:
        self.suffix = suffix
        self._filler = filler

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Filled]:
        """Frames `[start, stop)` of the result."""
        return self._filler.filled(run, start, stop)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A segment, the span's records and, where they are wanted, its pictures."""
        return _FillSink(run, path, self._filler.size(run))

    def has_all(self, run: RunContext, span: Span) -> bool:
        """Whether records and pictures are there."""
        folder = frame_folder(run)
        records = unseen.record_path(run.folder, span.name)
        return records.is_file() and (folder is None or folder.has(span))

    def preview(self, item: Filled) -> Pixels:
        """Before and after, side by side."""
        return np.hstack([item.before, item.after])

    def value(self, item: Filled) -> float:
        """Which share of what was filled was invented."""
        return int(np.count_nonzero(item.invented)) / max(1, int(np.count_nonzero(item.mask)))


class _FillSink:
    """One span's files. Holds the encoder, and 16 bytes a frame."""

    def __init__(self, run: RunContext, path: Path, size: Size) -> None:
        video, settings = run.video, settings_of(run)
        crf = run.choice.number("crf") if settings.crf is None else settings.crf
        self._job = run
        self._transparent = encoding(settings.codec, crf).alpha
        self._pictures = frame_folder(run)
        self._recorder = unseen.Recorder(*size)
        self._first: int | None = None
        self._stop = 0
        self._writer = VideoWriter(
            path,
            *size,
            video.frame_rate,
            colour=video.output_colour,
            sample_aspect_ratio=video.sample_aspect_ratio,
            codec=settings.codec,
            crf=crf,
        )

    def write(self, item: Filled) -> None:
        """Encode the frame; keep its record, and its picture where one is wanted."""
        self._writer.write(_with_alpha(item) if self._transparent else item.after)
        self._recorder.add(item.mask, item.invented)
        if self._pictures:
            self._pictures.write(item.index, item.after)
        if self._first is None:
            self._first = item.index
        self._stop = item.index + 1

    def close(self) -> None:
        """The records come before the segment has its name: a span without them is not finished."""
        self._writer.close()
        span = Span(self._first or 0, self._stop)
        self._recorder.save(unseen.record_path(self._job.folder, span.name))

    def abandon(self) -> None:
        self._writer.abandon()


def frame_folder(run: RunContext) -> FrameFolder | None:
    """Where the job's frames are wanted as pictures, if they are."""
    folder = settings_of(run).frames_out
    return FrameFolder(folder, run.folder.name, run.frames) if folder else None


def _with_alpha(item: Filled) -> Pixels:
    """RGBA: opaque where something was filled."""
    return np.dstack([item.after, item.mask.view(np.uint8) * np.uint8(255)])
