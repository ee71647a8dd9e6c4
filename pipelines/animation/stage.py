"""The stage that makes the result: saves frames span by span, with the figures that the report needs of each."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.animation.engine import Animated, PortraitEngine
from pipelines.animation.inputs import colour_of, read_frames_of, settings_of
from pipelines.animation.side_by_side import beside, panels
from pipelines.spans import Span
from pipelines.stages import AnyOrder, RunContext, Sink
from pipelines.storage.atomic import write_bytes
from pipelines.storage.frame_export import exported_frames, frame_folder
from pipelines.storage.span_arrays import read_array, save_arrays
from pipelines.video.colour.coding import coding_of
from pipelines.video.colour.eight_bits import laid_over
from pipelines.video.colour.paste import paste_samples
from pipelines.video.colour.samples import rgb16
from pipelines.video.encoding.encodings import encoding
from pipelines.video.pictures.images import iter_images, probe_picture
from pipelines.video.samples.planes import Planes, trimmed
from pipelines.video.writer import VideoWriter, result_colour
from pipelines.vision.types import Pixels

FIGURES, MOMENTS = "state/figures", "state/moments"
PICTURE_SUFFIX = ".png"

_MOMENTS = (0.1, 0.5, 0.9)
"""Positions in the video, as shares of its length, of the pictures in the report."""
_MOMENT_PX, _PREVIEW_PX = 240, 360
"""Heights of a picture in the report and of a preview."""
_PREVIEW_WIDTH_PX = 1280
"""Largest width of a preview."""


class PortraitStage(AnyOrder):
    """Encodes the frames into segments; if the result is a picture, its one segment is a PNG."""

    name = "animate"
    folder = "segments"

    def __init__(self, engine: PortraitEngine, suffix: str) -> None:
        self.suffix = suffix
        self._engine = engine

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Make frames `[start, stop)`, in the samples of the source where the engine keeps those."""
        with closing(self._engine.frames(run, start, stop)) as frames:
            if self._engine.keeps_samples:
                yield from _pasted(run, self._engine, frames, start, stop)
            else:
                yield from frames

    def halo(self, run: RunContext) -> int:
        """Return the engine's."""
        return self._engine.halo(run)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for a segment, the span's figures and, if requested, its pictures."""
        return _FrameSink(run, self._engine, path)

    def beside(self, run: RunContext, span: Span) -> tuple[Path, ...]:
        """Return figures, the report's pictures and, if requested, the exported pictures."""
        moments = (_moment_path(run, index) for index in moments_of(run) if span.start <= index < span.stop)
        return _figures_path(run, span), *moments, *exported_frames(run, span)

    def preview(self, item: Animated) -> Pixels:
        """Return source, driving and result side by side."""
        return beside(panels(item), _PREVIEW_PX, _PREVIEW_WIDTH_PX)

    def value(self, item: Animated) -> float | None:
        """Return the first of the engine's figures."""
        return item.figures[0] if item.figures else None


def _pasted(
    run: RunContext, engine: PortraitEngine, frames: Iterable[Animated], start: int, stop: int
) -> Generator[Animated]:
    """Paste what `frames` changed of the source into its samples; the others stay as they were decoded, or reduced."""
    source = engine.inputs.source
    coding, whole = coding_of(source.video), (source.video.width, source.video.height)
    with closing(read_frames_of(run, source, start, stop, planes=True)) as read:
        for item, frame in zip(frames, read, strict=True):
            planes = laid_over(frame.planes(), source.video.background, source.video.colour)
            if engine.reduced and engine.reduced != whole:
                planes = coding.planes(coding.codes(planes, engine.reduced), item.index)
            planes = trimmed(planes, *engine.size)
            changed = (item.pixels != item.source).any(axis=2)
            yield replace(item, planes=paste_samples(planes, item.pixels, changed, coding, item.index)[0])


class _FrameSink:
    """Writes one span's files. Holds the encoder and the span's figures."""

    def __init__(self, run: RunContext, engine: PortraitEngine, path: Path) -> None:
        inputs = engine.inputs
        self._run, self._inputs, self._path = run, inputs, path
        self._pictures = frame_folder(run)
        self._moments = moments_of(run)
        settings = settings_of(run)
        self._side_by_side, self._codec = settings.side_by_side, engine.codec
        self._crf = run.choice.number("crf") if settings.crf is None else settings.crf
        self._alpha = encoding(self._codec, self._crf).alpha and not inputs.makes_a_picture
        self._background = colour_of(settings.background)
        self._figures: list[tuple[float, ...]] = []
        self._first: int | None = None
        self._writer: VideoWriter | _OnePicture | None = None

    def write(self, item: Animated) -> None:
        """Encode the frame, add its figures and, if requested, export its picture."""
        pixels = beside(panels(item), item.pixels.shape[0]) if self._side_by_side else item.pixels
        planes = item.planes
        if self._writer is None:
            self._writer, self._first = self._open(pixels, planes), item.index
        if isinstance(self._writer, _OnePicture):
            self._writer.write(pixels)
        elif planes is not None:
            self._writer.write(planes)
        else:
            self._writer.write(self._with_opacity(pixels, item.opacity) if self._alpha else pixels)
        self._figures.append(item.figures)
        if self._pictures:
            deep = None if planes is None else rgb16(planes, self._inputs.source.video.colour)
            self._pictures.write(item.index, pixels if deep is None else deep)
        if item.index in self._moments:
            write_bytes(_moment_path(self._run, item.index), as_png(beside(panels(item), _MOMENT_PX)))

    def _with_opacity(self, pixels: Pixels, opacity: Pixels | None) -> Pixels:
        """Add an alpha channel, opaque without an opacity; the background is taken out of transparent colours."""
        if opacity is None:
            return _opaque(pixels)
        behind = np.array(self._background, np.float32)
        share = np.maximum(opacity, 1)[..., None] / np.float32(255)
        colours = np.where(opacity[..., None] == 255, pixels, (pixels - behind) / share + behind + 0.5)
        visible = np.where(opacity[..., None] == 0, behind, np.clip(colours, 0, 255))
        return np.dstack([visible.astype(np.uint8), opacity])

    def close(self) -> None:
        """Complete the segment and save the figures, before the loop renames the segment and so finishes the span."""
        if self._writer is None:
            raise ValueError("a span has at least one frame")
        self._writer.close()
        span = Span(self._first or 0, (self._first or 0) + len(self._figures))
        save_arrays(_figures_path(self._run, span), np.array(self._figures, np.float32))

    def abandon(self) -> None:
        if self._writer:
            self._writer.abandon()

    def _open(self, pixels: Pixels, planes: Planes | None) -> "VideoWriter | _OnePicture":
        """Open a writer for frames of this size, with the source's colours and pixel aspect ratio."""
        if self._inputs.makes_a_picture:
            return _OnePicture(self._path)
        source = self._inputs.source.video
        return VideoWriter(
            self._path,
            pixels.shape[1],
            pixels.shape[0],
            self._run.video.frame_rate,
            colour=result_colour(source, planes.layout if planes else None, self._codec),
            sample_aspect_ratio=source.sample_aspect_ratio,
            codec=self._codec,
            crf=self._crf,
            layout=planes.layout if planes else None,
            mastering=source.mastering if planes else None,
            light=source.light if planes else None,
            chroma_location=source.chroma_location if planes else None,
        )


class _OnePicture:
    """Writes a segment that is one picture."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pixels: Pixels) -> None:
        """Write the picture as PNG."""
        self._path.write_bytes(as_png(pixels))

    def close(self) -> None: ...

    def abandon(self) -> None:
        self._path.unlink(missing_ok=True)


def moments_of(run: RunContext) -> tuple[int, ...]:
    """Return the indices of the few frames that the report shows, in order."""
    frames = run.frames
    return tuple(sorted({frames.start + int(share * len(frames)) for share in _MOMENTS}))


def read_moment(run: RunContext, index: int) -> Pixels:
    """Read the report's picture of such a frame, `(H, W, 3)` uint8 RGB. Raises DamagedVideo if it cannot be read."""
    path = _moment_path(run, index)
    return next(iter_images(probe_picture(path), 0, 1))


def read_figures(run: RunContext) -> Iterator[NDArray[np.float32]]:
    """Read the figures `(frames, figures)` of each span, in order. Holds one span's."""
    for span in run.spans:
        yield read_array(_figures_path(run, span))


def _moment_path(run: RunContext, index: int) -> Path:
    return run.folder / MOMENTS / f"{index:08d}.png"


def _figures_path(run: RunContext, span: Span) -> Path:
    return run.folder / FIGURES / f"{span.name}.npy"


def _opaque(pixels: Pixels) -> Pixels:
    """Add an opaque alpha channel, for a codec that has one."""
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def as_png(pixels: Pixels) -> bytes:
    """Encode a picture `(H, W, 3)` uint8 RGB as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
