"""The stage that removes the object: saves frames span by span, with a record of what was invented in each."""

from pathlib import Path

import numpy as np

from pipelines.inpainting import unseen
from pipelines.inpainting.engine import Filled, InpaintEngine
from pipelines.masks.reading import settings_of
from pipelines.spans import Span
from pipelines.stages import RunContext, Sink
from pipelines.storage.frame_export import exported_frames, frame_folder
from pipelines.video.encoding.encodings import chosen_codec, encoding
from pipelines.video.writer import VideoWriter
from pipelines.vision.types import Pixels, Size


class FillStage:
    """Encodes the filled frames into segments."""

    name = "fill"
    folder = "segments"

    def __init__(self, engine: InpaintEngine, suffix: str) -> None:
        self.suffix = suffix
        self.compute = engine.frames
        self._size = engine.size

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for a segment, the span's records and, if requested, its pictures."""
        return _FillSink(run, path, self._size(run))

    def beside(self, run: RunContext, span: Span) -> tuple[Path, ...]:
        """Return records and, if requested, the exported pictures."""
        return unseen.record_path(run.folder, span.name), *exported_frames(run, span)

    def preview(self, item: Filled) -> Pixels:
        """Return before and after side by side."""
        return np.hstack([item.before, item.after])

    def value(self, item: Filled) -> float:
        """Return the share of the filled pixels that was invented."""
        return int(np.count_nonzero(item.invented)) / max(1, int(np.count_nonzero(item.mask)))


class _FillSink:
    """Writes one span's files. Holds the encoder, and 16 bytes per frame."""

    def __init__(self, run: RunContext, path: Path, size: Size) -> None:
        video, settings = run.video, settings_of(run)
        crf = run.choice.number("crf") if settings.crf is None else settings.crf
        self._run = run
        codec = chosen_codec(settings.codec, video)
        self._transparent = encoding(codec, crf).alpha
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
            codec=codec,
            crf=crf,
            field_order=video.field_order if size == (video.width, video.height) else None,
        )

    def write(self, item: Filled) -> None:
        """Encode the frame, add its record and, if requested, export its picture."""
        self._writer.write(_with_alpha(item) if self._transparent else item.after)
        self._recorder.add(item.mask, item.invented)
        if self._pictures:
            self._pictures.write(item.index, item.after)
        if self._first is None:
            self._first = item.index
        self._stop = item.index + 1

    def close(self) -> None:
        """Complete the segment and save the records, before the loop renames the segment and so finishes the span."""
        self._writer.close()
        span = Span(self._first or 0, self._stop)
        self._recorder.save(unseen.record_path(self._run.folder, span.name))

    def abandon(self) -> None:
        self._writer.abandon()


def _with_alpha(item: Filled) -> Pixels:
    """Add an alpha channel that is opaque only where something was filled."""
    return np.dstack([item.after, item.mask.view(np.uint8) * np.uint8(255)])
