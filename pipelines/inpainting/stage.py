"""The stage that removes the object: saves frames span by span, with a record of what was invented in each."""

from pathlib import Path

import numpy as np

from pipelines.inpainting import unseen
from pipelines.inpainting.deep.filled import DeepFilled
from pipelines.inpainting.engine import Filled, InpaintEngine
from pipelines.masks.reading import settings_of
from pipelines.spans import Span
from pipelines.stages import AnyOrder, RunContext, Sink
from pipelines.storage.frame_export import exported_frames, frame_folder
from pipelines.video.encoding.encodings import chosen_codec, encoding, keeps_depth
from pipelines.video.samples.planes import Planes
from pipelines.video.writer import VideoWriter, open_result
from pipelines.vision.types import Deep, Mask, Pixels, Size


class FillStage(AnyOrder):
    """Encodes the filled frames into segments."""

    name = "fill"
    folder = "segments"

    def __init__(self, engine: InpaintEngine, suffix: str) -> None:
        self.suffix = suffix
        self.compute, self.halo = engine.frames, engine.halo  # type: ignore[method-assign]
        self._size = engine.size

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for a segment, the span's records and, if requested, its pictures."""
        return _FillSink(run, path, self._size(run))

    def beside(self, run: RunContext, span: Span) -> tuple[Path, ...]:
        """Return records and, if requested, the exported pictures."""
        return unseen.record_path(run.folder, span.name), *exported_frames(run, span)

    def preview(self, item: Filled | DeepFilled) -> Pixels:
        """Return before and after side by side."""
        return np.hstack([item.before, item.after])

    def value(self, item: Filled | DeepFilled) -> float:
        """Return the share of the filled pixels that was invented."""
        return int(np.count_nonzero(item.invented)) / max(1, int(np.count_nonzero(item.mask)))


class _FillSink:
    """Writes one span's files. Holds the encoder, and 16 bytes per frame."""

    def __init__(self, run: RunContext, path: Path, size: Size) -> None:
        video, settings = run.video, settings_of(run)
        crf = run.choice.number("crf") if settings.crf is None else settings.crf
        self._run = run
        codec = chosen_codec(settings.codec, video)
        self._codec, self._crf, self._path = codec, crf, path
        self._pictures = frame_folder(run)
        self._recorder = unseen.Recorder(*size)
        self._first: int | None = None
        self._stop = 0
        self._writer: VideoWriter | None = None

    def write(self, item: Filled | DeepFilled) -> None:
        """Encode the frame, add its record and, if requested, export its picture."""
        frame = self._encoded(item)
        if self._writer is None:
            self._writer = open_result(self._path, frame, self._run.video, self._codec, self._crf)
        self._writer.write(frame)
        deep = item if isinstance(item, DeepFilled) else None
        self._recorder.add(item.mask, item.invented, deep.chroma if deep else None)
        if self._pictures:
            self._pictures.write(item.index, self._picture(item))
        if self._first is None:
            self._first = item.index
        self._stop = item.index + 1

    def _encoded(self, item: Filled | DeepFilled) -> Pixels | Planes:
        transparent = encoding(self._codec, self._crf).alpha
        if isinstance(item, DeepFilled) and keeps_depth(self._codec):
            return item.cut_out if transparent else item.planes
        pixels = item.pixels if isinstance(item, DeepFilled) else item.after
        return _with_alpha(pixels, item.mask) if transparent else pixels

    def _picture(self, item: Filled | DeepFilled) -> Pixels | Deep:
        """Return the whole frame as the result shows it: with its depth, and in SDR where the result is."""
        if not isinstance(item, DeepFilled):
            return item.after
        return item.deep_pixels if keeps_depth(self._codec) else item.pixels

    def close(self) -> None:
        """Complete the segment and save the records, before the loop renames the segment and so finishes the span."""
        if self._writer is None:
            raise ValueError("a span has at least one frame")
        self._writer.close()
        span = Span(self._first or 0, self._stop)
        self._recorder.save(unseen.record_path(self._run.folder, span.name))

    def abandon(self) -> None:
        if self._writer:
            self._writer.abandon()


def _with_alpha(pixels: Pixels, mask: Mask) -> Pixels:
    """Add an alpha channel that is opaque only where something was filled."""
    return np.dstack([pixels, mask.view(np.uint8) * np.uint8(255)])
