"""Write frames to a video file through an ffmpeg process.

The file is complete only after `close`: an encoder whose parent dies finishes a short file that looks complete. So
write to a temporary name, close, then rename.
"""

import os
from fractions import Fraction
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import EncoderDied, NotEnoughDisk
from pipelines.video.encoding.encodings import AnyCodec, encoding, keeps_fields
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import count_packets
from pipelines.video.info import ColourTags, FieldOrder

_FINISH_SECONDS = 600.0
"""Time limit for encoding the look-ahead and writing the index after the last frame, on a busy machine."""
_DISK_FULL = "No space left"
_LARGEST_TIMESCALE = 2**31 - 1


class VideoWriter:
    """Writes frames (height, width, 3) uint8 RGB to `path`, whose suffix selects the container (see `ffmpeg.muxer`).

    An encoding with transparency takes RGBA frames, with 4 channels. One that needs even sizes gets odd ones padded by
    repeating the last row and column. `field_order` marks the frames as interlaced, where the encoding can. Holds one
    frame when it pads; the encoder's look-ahead (about 300 MB at 1080p) is in its own process, which ends when this
    one does.
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
    ) -> None:
        how = encoding(codec, crf, preset)
        self._path = path
        self._shape = (height, width, 4 if how.alpha else 3)
        self._pad = (height % 2, width % 2) if how.even else (0, 0)
        self._frames = 0
        size = f"{width + self._pad[1]}x{height + self._pad[0]}"
        rate = f"{frame_rate.numerator}/{frame_rate.denominator}"
        filters = [*_colour_filters(colour), f"setsar={_ratio(sample_aspect_ratio)}"]
        fields: tuple[str, ...] = ()
        if field_order and keeps_fields(codec, height):
            filters.append(f"setfield={field_order}")
            fields = ("-flags", "+ildct+ilme")
        self._child = ffmpeg.Child(
            [
                *("-f", "rawvideo", "-pix_fmt", "rgba" if how.alpha else "rgb24", "-s", size, "-r", rate),
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

    @property
    def encoder_pid(self) -> int:
        """Process id of the encoder."""
        return self._child.pid

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Encode one frame, waiting while the encoder is busy. RGB frames are opaque where RGBA is expected.

        Raises:
            ValueError: the shape or dtype does not match the writer's.
            EncoderDied, NotEnoughDisk: the encoder has exited; it is cleaned up.
        """
        if self._shape[2] == 4 and frame.shape[2:] == (3,):
            frame = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"frames must be {self._shape} uint8, not {frame.shape} {frame.dtype}")
        if any(self._pad):
            frame = np.pad(frame, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        try:
            _send(self._child.pipe, np.ascontiguousarray(frame).data.cast("B"))
        except OSError as error:
            raise self._died() from error
        self._frames += 1

    def close(self) -> None:
        """Finish the file, check that it holds every frame, and flush it to disk. Raises EncoderDied, NotEnoughDisk."""
        status, errors = self._child.finish(_FINISH_SECONDS)
        if status:
            raise _reason(self._path, status, errors)
        packets = count_packets(self._path)
        if packets != self._frames:
            raise EncoderDied(
                f"Only {packets} of {self._frames} frames were written to {self._path}.", "Resume the job."
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

    def _died(self) -> EncoderDied | NotEnoughDisk:
        status, errors = self._child.finish(_FINISH_SECONDS)
        return _reason(self._path, status, errors)


def _send(pipe: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[pipe.write(data) :]


def _colour_filters(colour: ColourTags) -> list[str]:
    """Filters that convert with the matrix and range that are tagged; fields without a tag are left alone."""
    scale = {"out_color_matrix": colour.matrix, "out_range": colour.range}
    tags = {
        "colorspace": colour.matrix,
        "range": colour.range,
        "color_primaries": colour.primaries,
        "color_trc": colour.transfer,
    }
    return [
        f"{name}=" + ":".join(f"{key}={value}" for key, value in options.items() if value)
        for name, options in (("scale", scale), ("setparams", tags))
        if any(options.values())
    ]


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _reason(path: Path, status: int, errors: list[str]) -> EncoderDied | NotEnoughDisk:
    if any(_DISK_FULL in line for line in errors):
        return NotEnoughDisk(
            f"The disk is full: {path} cannot be written.", "Free some space, then resume the job."
        )
    output = " | ".join(errors) or "no error message."
    return EncoderDied(
        f"ffmpeg exited with status {status} while writing {path}: {output}", "Resume the job."
    )
