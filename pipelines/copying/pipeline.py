"""Decode, encode, join: the whole machinery on a task that changes nothing.

A prepass keeps a checksum of every decoded frame; the main stage reads the frames again, from wherever its
span starts, and refuses one whose checksum differs. So a copy proves that decoding is exact from any frame.
"""

import json
import zlib
from bisect import bisect_right
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.errors import LongtakeError
from pipelines.jobs.events import Outputs
from pipelines.spans import Span
from pipelines.stages import Engine, OneFile, RunContext, Sink, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write, write_bytes
from pipelines.storage.span_arrays import RowSink, read_array, rows_of
from pipelines.video.join import join_segments
from pipelines.video.reader import Frame, held_bytes, read_frames
from pipelines.video.writer import VideoWriter
from pipelines.vision.types import Pixels
from presets.choose import Choice

_PROCESS_BYTES = 190 * MIB
"""Interpreter, libraries and the command line: measured at 160 to 175 MiB."""
_ENCODER_PIXEL_BYTES = 170
"""What libx264 `veryfast` holds a pixel, with its look-ahead, references and conversion: measured at 120 to 165."""


def _read(run: RunContext, start: int, stop: int) -> Generator[Frame]:
    settings = run.settings
    ahead = run.plan.window_frames
    return read_frames(
        run.video, start, stop, decoder=settings.decoder, salvage=settings.salvage, ahead=ahead
    )


class _Checksums(OneFile):
    """Prepass: four bytes a frame."""

    name = "look"
    folder = "state/checksums"
    suffix = ".npy"

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[int]:
        """CRC-32 of each frame's RGB bytes."""
        with closing(_read(run, start, stop)) as frames:
            for frame in frames:
                yield zlib.crc32(np.ascontiguousarray(frame.rgb()).data)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A `.npy` of uint32."""
        return RowSink[int, int](path, rows_of(np.uint32), row=lambda checksum: checksum)

    def preview(self, item: int) -> Pixels | None:
        """Nothing to show."""
        return None

    def value(self, item: int) -> float | None:
        """No curve."""
        return None


class CopyEngine(Engine):
    """Decodes frames again; `frames` yields `(H, W, 3)` uint8 RGB."""

    name = "builtin"

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Checksums of all frames, against which the second reading is held."""
        return (_Checksums(),)

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """The decoder's frames and the encoder's."""
        video = self.video
        per_pixel = (
            held_bytes(video, self.settings.decoder) / (video.width * video.height) + _ENCODER_PIXEL_BYTES
        )
        return choice, Cost(host=Load(fixed=_PROCESS_BYTES, per_pixel=per_pixel, per_window_pixel=3))

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Pixels]:
        """Frames (H, W, 3) uint8 RGB. Raises LongtakeError where one is not what the prepass saw."""
        spans = run.spans
        at = bisect_right(spans, start, key=lambda span: span.start) - 1
        span, checksums = spans[at], _load(run, spans[at])
        with closing(_read(run, start, stop)) as frames:
            for frame in frames:
                if frame.index >= span.stop:
                    at += 1
                    span, checksums = spans[at], _load(run, spans[at])
                pixels = frame.rgb()
                if zlib.crc32(np.ascontiguousarray(pixels).data) != checksums[frame.index - span.start]:
                    raise LongtakeError(
                        f"Frame {frame.index} was decoded differently than before.", "Try another --decoder."
                    )
                yield pixels


class _Frames(OneFile):
    """The frames themselves, in playable segments."""

    name = "copy"
    folder = "segments"
    suffix = ".mp4"

    def __init__(self, engine: CopyEngine) -> None:
        self.compute = engine.frames

    def sink(self, run: RunContext, path: Path) -> VideoWriter:
        """A segment of its own encoder."""
        video = run.video
        return VideoWriter(
            path,
            video.width,
            video.height,
            video.frame_rate,
            colour=video.output_colour,
            sample_aspect_ratio=video.sample_aspect_ratio,
            crf=run.choice.number("crf"),
        )

    def preview(self, item: Pixels) -> Pixels:
        """The frame."""
        return item

    def value(self, item: Pixels) -> float | None:
        """No curve."""
        return None


class CopyPipeline(VideoPipeline[CopyEngine]):
    """Every frame as it was, encoded anew; sound, times and shape kept."""

    task = "copy"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Checksums first, then the frames."""
        return (*self.engine.prepasses, _Frames(self.engine))

    def disk_bytes(self, frames: Span) -> int:
        """Segments and the joined file, each about as long as the source's share of these frames."""
        video = self.video
        size = (
            video.path.stat().st_size if video.path.is_file() else sum(p.stat().st_size for p in video.images)
        )
        return int(3 * size * len(frames) / video.frames)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """One file from the segments, with the source's times and sound."""
        result = run.folder / "result.mp4"
        with atomic_write(result) as part:
            report = join_segments(segments, run.video, run.frames, part)
        for sentence in report.warnings:
            warn("sound", sentence)
        facts = {
            "task": self.task,
            "engine": self.engine.name,
            "frames": report.frames,
            "audio_packets": report.audio_packets,
            "warnings": report.warnings,
        }
        write_bytes(run.folder / "report.json", json.dumps(facts, indent=1).encode())
        return Outputs(result=result, report=run.folder / "report.json")


def _load(run: RunContext, span: Span) -> NDArray[np.uint32]:
    return read_array(run.folder / _Checksums.folder / f"{span.name}{_Checksums.suffix}")
