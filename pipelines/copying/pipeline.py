"""Decode, encode, join: a task that changes nothing and so tests the whole machinery.

A prepass stores a checksum of every decoded frame; the main stage decodes the frames again, from wherever its span
starts, and fails where a checksum differs. So a copy proves that decoding is exact from any frame.
"""

import zlib
from bisect import bisect_right
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import LongtakeError
from pipelines.frame_task import FrameEngine, FramePipeline, codec_of
from pipelines.spans import Span
from pipelines.stages import OneFile, RunContext, Sink, Stage
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.video.encoding.encodings import keeps_alpha
from pipelines.video.reader import read_frames
from pipelines.video.samples.planes import Planes
from pipelines.vision.types import Pixels


def _read(run: RunContext, start: int, stop: int, *, planes: bool) -> Generator[Pixels | Planes]:
    """Yield frames as their samples, or as RGB."""
    settings = run.settings
    with closing(
        read_frames(
            run.video,
            start,
            stop,
            decoder=settings.decoder,
            salvage=settings.salvage,
            planes=planes,
            ahead=run.plan.window_frames,
        )
    ) as frames:
        for frame in frames:
            yield frame.planes() if planes else frame.rgb()


def _checksum(frame: Pixels | Planes) -> int:
    """Return the CRC-32 of all samples."""
    found = 0
    for array in frame.stored if isinstance(frame, Planes) else (frame,):
        found = zlib.crc32(np.ascontiguousarray(array).data, found)
    return found


class _Checksums(OneFile):
    """Prepass: a checksum of four bytes per frame."""

    name = "look"
    folder = "state/checksums"
    suffix = ".npy"

    def __init__(self, *, planes: bool) -> None:
        self._planes = planes

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[int]:
        """CRC-32 of each frame's samples."""
        with closing(_read(run, start, stop, planes=self._planes)) as frames:
            for frame in frames:
                yield _checksum(frame)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npy` of uint32."""
        return RowSink[int, int](path, rows_of(np.uint32), row=lambda checksum: checksum)

    def preview(self, item: int) -> Pixels | None:
        """Nothing to show."""
        return None

    def value(self, item: int) -> float | None:
        """No curve."""
        return None


class CopyEngine(FrameEngine):
    """Decodes every frame again."""

    name = "builtin"

    @property
    def _planes(self) -> bool:
        """Whether samples are copied as they are; those of 8 bits go by RGB, except where that would lose some."""
        return self.video.deep or self.video.hdr is not None or codec_of(self) == "ffv1"

    @property
    def keeps_transparency(self) -> bool:
        """Whether the samples are copied with their opacity."""
        return self._planes and keeps_alpha(codec_of(self), self.video.layout)

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Checksums of all frames, against which the second reading is held."""
        return (_Checksums(planes=self._planes),)

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Pixels | Planes]:
        """Read every frame again. Raises LongtakeError where one is not what the prepass saw."""
        spans = run.spans
        at = bisect_right(spans, start, key=lambda span: span.start) - 1
        span, checksums = spans[at], _load(run, spans[at])
        with closing(_read(run, start, stop, planes=self._planes)) as frames:
            for index, frame in enumerate(frames, start):
                if index >= span.stop:
                    at += 1
                    span, checksums = spans[at], _load(run, spans[at])
                if _checksum(frame) != checksums[index - span.start]:
                    raise LongtakeError(
                        f"Frame {index} was decoded differently the second time.",
                        "Try another --decoder.",
                        "decoder.differs",
                        frame=index,
                    )
                yield frame


class CopyPipeline(FramePipeline):
    """Every frame as it was, encoded anew; sound, times and shape kept."""

    task = "copy"


def _load(run: RunContext, span: Span) -> NDArray[np.uint32]:
    return read_array(run.folder / _Checksums.folder / f"{span.name}{_Checksums.suffix}")
