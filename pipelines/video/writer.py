"""Write frames to a video file through an ffmpeg process.

The file is complete only after `close`: an encoder whose parent dies finishes a short file that looks complete. So
write to a temporary name, close, then rename.
"""

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import EncoderDied, LongtakeError
from pipelines.settings import FixedCodec
from pipelines.video.colour.as_yuv import as_yuv
from pipelines.video.encoding.colour_filters import colour_filters, needs_converting, stored_tags
from pipelines.video.encoding.encodings import RGB, AnyCodec, encoding, keeps_fields
from pipelines.video.encoding.raw_stream import frame_header, stream_header
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import count_packets
from pipelines.video.info import ColourTags, ContentLight, FieldOrder, MasteringDisplay, VideoInfo
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.types import Pixels

_FINISH_SECONDS = 600.0
"""Time limit for encoding the look-ahead and writing the index after the last frame, on a busy machine."""
_LARGEST_TIMESCALE = 2**31 - 1


class VideoWriter:
    """Writes frames to `path`, whose suffix selects the container (see `ffmpeg.muxer`).

    Frames are (height, width, 3) uint8 RGB, or, with a `layout`, `Planes` in that layout, which reach the encoder as
    they are if it encodes that layout; RGB and grey are converted for encoders of YUV. An encoding with transparency
    takes RGBA, with 4 channels, for RGB. One that needs even sizes gets odd ones padded by repeating
    the last row and column. `field_order` marks the frames as interlaced, where the encoding can. `mastering` and
    `light` are HDR metadata to store, and `chroma_location` says where the chroma of planes lies. Holds one frame when
    it pads, and one in float32 twice when it converts; the encoder's look-ahead (about 300 MB at 1080p) is in its own
    process, which ends when this one does.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        frame_rate: Fraction,
        *,
        colour: ColourTags = ColourTags(),  # noqa: B008
        sample_aspect_ratio: Fraction = Fraction(1),
        codec: AnyCodec = "h264",
        crf: int = 18,
        preset: str = "veryfast",
        field_order: FieldOrder | None = None,
        layout: SampleLayout | None = None,
        mastering: MasteringDisplay | None = None,
        light: ContentLight | None = None,
        chroma_location: str | None = None,
    ) -> None:
        how = encoding(codec, crf, preset, layout or RGB, width=width, height=height, light=light)
        self._path = path
        self._layout = layout
        colour = stored_tags(colour, layout, codec)
        converts = needs_converting(colour, layout, how.layout)
        self._yuv = (how.layout, colour) if converts else None
        sent = how.layout if converts else layout
        self._shape = (height, width, 4 if how.alpha else 3)
        least = how.least_px
        self._pad = (max(height % 2, least - height), max(width % 2, least - width)) if how.even else (0, 0)
        self._frames = 0
        self._boxed = bool(layout and (mastering or light))
        size = (width + self._pad[1], height + self._pad[0])
        filters = [
            *colour_filters(colour, sent, how.layout, chroma_location),
            f"setsar={_ratio(sample_aspect_ratio)}",
        ]
        fields: tuple[str, ...] = ()
        if field_order and keeps_fields(codec, height):
            filters.append(f"setfield={field_order}")
            fields = ("-flags", "+ildct+ilme")
        raw = sent.pixel_format if sent else "rgba" if how.alpha else "rgb24"
        shape = ("-f", "rawvideo", "-pix_fmt", raw, "-s", "{}x{}".format(*size))
        self._child = ffmpeg.Child(
            [
                *(("-f", "matroska") if self._boxed else shape),
                *("-r", f"{frame_rate.numerator}/{frame_rate.denominator}"),
                *(
                    "-i",
                    "-",
                    "-an",
                    "-vf",
                    ",".join(filters),
                    "-fps_mode",
                    "passthrough",
                    *how.arguments,
                    *fields,
                ),
                *("-video_track_timescale", str(min(frame_rate.numerator, _LARGEST_TIMESCALE))),
                # Matroska would write a random identifier into each file.
                *(("-fflags", "+bitexact") if ffmpeg.muxer(path) == "matroska" else ()),
                *("-f", ffmpeg.muxer(path), "-y", ffmpeg.address(path)),
            ],
            feeds=True,
        )
        if sent and self._boxed:
            self._send([memoryview(stream_header(*size, sent, mastering, light))])

    @property
    def encoder_pid(self) -> int:
        """Process id of the encoder."""
        return self._child.pid

    def write(self, frame: NDArray[np.uint8] | Planes) -> None:
        """Encode one frame, waiting while the encoder is busy. RGB frames are opaque where RGBA is expected.

        Raises:
            ValueError: the shape, dtype or layout does not match the writer's.
            EncoderDied: the encoder has exited; it is cleaned up. Where the system refused it something, that by its
                name, such as NotEnoughDisk.
        """
        arrays = self._samples(frame) if isinstance(frame, Planes) else self._pixels(frame)
        parts = [np.ascontiguousarray(array).data.cast("B") for array in arrays]
        if self._boxed:
            parts.insert(0, memoryview(frame_header(self._frames, sum(map(len, parts)))))
        self._send(parts)
        self._frames += 1

    def _pixels(self, frame: NDArray[np.uint8]) -> Sequence[NDArray[Any]]:
        if self._shape[2] == 4 and frame.shape[2:] == (3,):
            frame = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
        if self._layout or frame.shape != self._shape or frame.dtype != np.uint8:
            wanted = self._layout or f"{self._shape} uint8"
            raise ValueError(f"frames must be {wanted}, not {frame.shape} {frame.dtype}")
        if self._yuv:
            return self._sent(Planes(tuple(frame[..., channel] for channel in range(3)), 8, "rgb"))
        if any(self._pad):
            frame = np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        return [frame]

    def _samples(self, planes: Planes) -> list[Plane]:
        """Return the planes of a frame in the order in which they are sent, padded."""
        height, width = self._shape[:2]
        if planes.layout != self._layout or (planes.height, planes.width) != (height, width):
            found = f"{planes.width}x{planes.height} {planes.layout}"
            raise ValueError(f"frames must be {width}x{height} {self._layout or 'RGB'}, not {found}")
        return self._sent(planes)

    def _sent(self, planes: Planes) -> list[Plane]:
        """Return the planes as the encoder takes them: converted and padded, where it needs that."""
        if self._yuv:
            planes = as_yuv(planes, *self._yuv)
        height, width = self._shape[:2]
        if not any(self._pad):
            return list(planes.stored)
        across, down = planes.layout.chroma_size(width + self._pad[1], height + self._pad[0])
        luma = (height + self._pad[0], width + self._pad[1])
        sizes = [luma if plane.shape == planes.y.shape else (down, across) for plane in planes.stored]
        return [_padded(plane, size) for plane, size in zip(planes.stored, sizes, strict=True)]

    def _send(self, parts: Iterable[memoryview]) -> None:
        try:
            for part in parts:
                _send(self._child.pipe, part)
        except OSError as error:
            raise self._died() from error

    def close(self) -> None:
        """Finish the file, check that it holds every frame, and flush it to disk. Raises as `write`."""
        status, errors = self._child.finish(_FINISH_SECONDS)
        if status:
            raise _reason(self._path, status, errors)
        packets = count_packets(self._path)
        if packets != self._frames:
            raise EncoderDied(
                f"Only {packets} of {self._frames} frames were written to {self._path}.",
                "Resume the job.",
                "encoder.died",
            )
        with self._path.open("rb") as written:
            os.fsync(written.fileno())

    def abandon(self) -> None:
        """Kill the encoder and remove its file; may be called at any time and repeatedly."""
        self._child.kill()
        self._child.finish(_FINISH_SECONDS)
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _died(self) -> LongtakeError:
        status, errors = self._child.finish(_FINISH_SECONDS)
        return _reason(self._path, status, errors)


def open_result(
    path: Path, first: Pixels | Planes, video: VideoInfo, codec: FixedCodec, crf: int
) -> VideoWriter:
    """Open a writer for frames like `first`, made from `video`: with its rate, colours, HDR metadata and pixel shape.

    Frames may have another size than the video. Pixels are 8 bits and standard dynamic range; planes may have
    fewer bits than the video.
    """
    planes = first if isinstance(first, Planes) else None
    height, width = (first.height, first.width) if isinstance(first, Planes) else first.shape[:2]
    return VideoWriter(
        path,
        width,
        height,
        video.frame_rate,
        colour=result_colour(video, planes.layout if planes else None, codec),
        sample_aspect_ratio=video.sample_aspect_ratio,
        codec=codec,
        crf=crf,
        field_order=video.field_order if (width, height) == (video.width, video.height) else None,
        layout=planes.layout if planes else None,
        mastering=video.mastering if planes else None,
        light=video.light if planes else None,
        chroma_location=video.chroma_location if planes else None,
    )


def result_colour(video: VideoInfo, layout: SampleLayout | None, codec: FixedCodec) -> ColourTags:
    """Return the tags of a result made from `video`, whose frames are planes in `layout`, or RGB with 8 bits.

    Samples of RGB that stay RGB keep their tags, and stay without where they have none.
    """
    if layout is None:
        return video.output_colour
    made = encoding(codec, 0, source=layout).layout
    return video.colour if made.subsampling == "rgb" else video.stored_colour


def _send(pipe: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[pipe.write(data) :]


def _padded(plane: Plane, size: tuple[int, int]) -> Plane:
    """Repeat the last row and column of `plane` up to `size`."""
    return cast(
        Plane, np.pad(plane, [(0, want - have) for want, have in zip(size, plane.shape, strict=True)], "edge")
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _reason(path: Path, status: int, errors: list[str]) -> LongtakeError:
    output = " | ".join(errors) or "no error message."
    return ffmpeg.refusal(status, errors) or EncoderDied(
        f"ffmpeg exited with status {status} while writing {path}: {output}",
        "Resume the job.",
        "encoder.died",
    )
