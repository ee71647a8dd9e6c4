"""Base of tasks that make a video frame by frame; only the frames come from the engine.

The result has the sound, times, colours and pixel aspect ratio of its first input. Frames may differ in size from it.
"""

from abc import abstractmethod
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.jobs.events import Outputs
from pipelines.settings import VIDEO_SUFFIXES, FilmSettings, FixedCodec
from pipelines.spans import Span
from pipelines.stages import AnyOrder, Engine, RunContext, Sink, Stage, VideoPipeline, Warn
from pipelines.storage.atomic import atomic_write
from pipelines.storage.frame_export import exported_frames, frame_folder
from pipelines.storage.report import write_report
from pipelines.video.colour.eight_bits import eight_bit_planes, eight_bits, laid_over
from pipelines.video.colour.samples import rgb16, sdr_rgb
from pipelines.video.encoding.depth_notes import depth_notes
from pipelines.video.encoding.disk import result_bytes
from pipelines.video.encoding.encodings import (
    check_available,
    chosen_codec,
    held_pixel_bytes,
    keeps_alpha,
    keeps_depth,
)
from pipelines.video.info import VideoInfo, video_facts
from pipelines.video.join import foreseen_warnings, join_segments
from pipelines.video.reader import bounded_decoder, held_bytes, read_frames
from pipelines.video.samples.planes import Planes
from pipelines.video.writer import VideoWriter, open_result
from pipelines.vision.types import Deep, Pixels
from presets.choose import Choice

_PROCESS_BYTES = 190 * MIB
"""Interpreter, libraries and the command line: measured at 160 to 175 MiB."""


class FrameEngine(Engine):
    """Engine that makes frames from frames: `frames` yields one per request, `(H, W, 3)` uint8 RGB or `Planes`."""

    load = Load()
    """Memory that it holds beside decoder and encoder."""

    @property
    def keeps_transparency(self) -> bool:
        """Whether the frames and the result have the transparency of the video."""
        return False

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Pixels | Planes]:
        """Make frames `[start, stop)`, the same whatever `start` is; `read` reads the input from any frame on."""

    def read(self, run: RunContext, start: int, stop: int) -> Generator[Pixels]:
        """Read frames `[start, stop)` of the first input, `(H, W, 3)` uint8 RGB. Holds the decoder's frames."""
        settings = self.settings
        decoder = bounded_decoder(self.video, settings.decoder)
        ahead = run.plan.window_frames
        with closing(
            read_frames(self.video, start, stop, decoder=decoder, salvage=settings.salvage, ahead=ahead)
        ) as frames:
            for frame in frames:
                yield frame.rgb()

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Return the cost of decoder, encoder and the engine's own `load`."""
        video, load = self.video, self.load
        decoder = held_bytes(video, self.settings.decoder) / (video.width * video.height)
        encoder = held_pixel_bytes(codec_of(self))
        frame = 2 * video.layout.bytes_per_pixel if video.deep else 3
        around = Load(_PROCESS_BYTES, per_pixel=decoder + encoder, per_window_pixel=frame)
        return choice, Cost(host=around + load)


@dataclass(frozen=True, eq=False)
class MadeFrame:
    """One frame of the result, `(H, W, 3)` uint8 RGB or `Planes`, and its index in the input."""

    index: int
    pixels: Pixels | Planes


class FrameStage(AnyOrder):
    """Encodes the engine's frames into playable segments and, if requested, exports them as pictures."""

    folder = "segments"

    def __init__(self, name: str, engine: FrameEngine) -> None:
        self.name = name
        self.suffix = VIDEO_SUFFIXES[codec_of(engine)]
        self._engine = engine

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[MadeFrame]:
        """Yield the engine's frames with their indices."""
        with closing(self._engine.frames(run, start, stop)) as frames:
            for index, pixels in enumerate(frames, start):
                yield MadeFrame(index, pixels)

    def halo(self, run: RunContext) -> int:
        """Return the engine's."""
        return self._engine.halo(run)

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open an encoder for one span."""
        return _Encoder(run, codec_of(self._engine), path)

    def beside(self, run: RunContext, span: Span) -> Sequence[Path]:
        """Return the exported pictures, if they were requested."""
        return exported_frames(run, span)

    def preview(self, item: MadeFrame) -> Pixels:
        """Return the frame, as SDR with 8 bits, over the background."""
        video, frame = self._engine.video, item.pixels
        if isinstance(frame, Planes):
            return sdr_rgb(laid_over(frame, video.background, video.colour), video.colour)
        return frame

    def value(self, item: MadeFrame) -> float | None:
        """Return None: there is no live curve."""
        return None


class _Encoder:
    """Writes one span's segment and pictures. The encoder is opened by the first frame, which sets the size."""

    def __init__(self, run: RunContext, codec: FixedCodec, path: Path) -> None:
        asked = run.settings.crf if isinstance(run.settings, FilmSettings) else None
        self._run, self._codec, self._path = run, codec, path
        self._crf = run.choice.number("crf") if asked is None else asked
        self._pictures = frame_folder(run)
        self._writer: VideoWriter | None = None

    def write(self, item: MadeFrame) -> None:
        """Encode the frame and export its picture, if requested. Planes lose what the codec cannot keep."""
        video, frame = self._run.video, item.pixels
        if self._pictures:
            self._pictures.write(item.index, _picture(item, video, self._codec))
        if isinstance(frame, Planes):
            frame = fitted(frame, self._codec, video, item.index)
        if self._writer is None:
            self._writer = open_result(self._path, frame, video, self._codec, self._crf)
        self._writer.write(frame)

    def close(self) -> None:
        """Complete the segment."""
        if self._writer is None:
            raise ValueError("a span has at least one frame")
        self._writer.close()

    def abandon(self) -> None:
        """Stop the encoder."""
        if self._writer:
            self._writer.abandon()


def _picture(item: MadeFrame, video: VideoInfo, codec: FixedCodec) -> Deep | Pixels:
    """Return what a picture of the frame shows, at the depth that `codec` keeps.

    Pictures have no transparency, but the background behind it.
    """
    if not isinstance(item.pixels, Planes):
        return item.pixels
    opaque = laid_over(item.pixels, video.background, video.colour)
    return rgb16(opaque, video.colour) if keeps_depth(codec) else eight_bits(opaque, video.colour, item.index)


class FramePipeline(VideoPipeline[FrameEngine]):
    """Pipeline that turns one video into another, frame by frame. A task derives its own and sets `task`."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The engine's prepasses, then the frames."""
        return (*self.engine.prepasses, FrameStage(self.task, self.engine))

    def check(self, run: RunContext) -> None:
        """Check that the encoder works and the export folder is free, and run the engine's checks.

        Raises BadInput, and what the engine raises.
        """
        check_available(codec_of(self.engine))
        super().check(run)
        if folder := frame_folder(run):
            folder.claim()

    def notices(self, run: RunContext) -> tuple[str, ...]:
        """Return what the result cannot keep of the source."""
        lost = depth_notes(run.video, codec_of(self.engine))
        return (*lost, *foreseen_warnings(self._shown(run), self._result(run)))

    def disk_bytes(self, frames: Span) -> int:
        """Estimate segments and joined file, each about as large as the same frames of the source, and pictures."""
        pictures = getattr(self.engine.settings, "frames_out", None) is not None
        return result_bytes(self.video, codec_of(self.engine), len(frames), pictures=pictures)

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Join the segments into one file with the source's times and sound, and write the report."""
        result = self._result(run)
        with atomic_write(result) as part:
            joined = join_segments(segments, self._shown(run), run.frames, part)
        for sentence in joined.warnings:
            warn("sound", sentence)
        report = run.folder / "report.json"
        facts = {
            "task": self.task,
            "engine": self.engine.name,
            "video": video_facts(run.video),
            "settings": run.settings.identity(),
            "frames": joined.frames,
            "audio_packets": joined.audio_packets,
            "warnings": [*depth_notes(run.video, codec_of(self.engine)), *joined.warnings],
            "summary": {"frames": len(run.frames), **self.engine.report(run, warn)},
        }
        write_report(report, facts)
        return Outputs(result=result, report=report, **self.engine.products(run))

    def _shown(self, run: RunContext) -> VideoInfo:
        """Describe the video as the result has it: transparency that is kept hides nothing."""
        kept = self.engine.keeps_transparency
        return replace(run.video, transparent=False) if kept else run.video

    def _result(self, run: RunContext) -> Path:
        return run.folder / f"result{VIDEO_SUFFIXES[codec_of(self.engine)]}"


def fitted(planes: Planes, codec: FixedCodec, video: VideoInfo, index: int) -> Planes | Pixels:
    """Return frame `index` as `codec` takes it: with 8 bits, or without the transparency that it cannot keep."""
    if not keeps_alpha(codec, planes.layout):
        planes = laid_over(planes, video.background, video.colour)
    if keeps_depth(codec):
        return planes
    stays_yuv = not video.hdr and planes.subsampling not in ("rgb", "gray")
    return (eight_bit_planes if stays_yuv else eight_bits)(planes, video.colour, index)


def codec_of(engine: FrameEngine) -> FixedCodec:
    """Return the codec of the result: that of the settings, or the one that keeps the depth if they have none."""
    return chosen_codec(getattr(engine.settings, "codec", "auto"), engine.video)
