"""Read raw frames from an ffmpeg process: slower, but it applies any display matrix and salvages damaged files."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import RawIOBase
from itertools import count
from typing import IO, cast

import numpy as np

from pipelines.errors import ReaderDied, ReaderStalled
from pipelines.video.decoders.decoding import complaint, damaged
from pipelines.video.files import ffmpeg
from pipelines.video.frame import Picture, RgbPicture, YuvPicture, luma_weights
from pipelines.video.info import VideoInfo
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Planes, frame_of

STALL_SECONDS = 20.0
"""Time for one frame, which a network drive that wakes up must meet, too."""
_END_SECONDS = 10.0
"""Time to exit after the last frame."""


class _StallGuard:
    """Kills a child process when one read from it takes longer than `STALL_SECONDS`; a slow consumer is no stall."""

    def __init__(self, child: ffmpeg.Child) -> None:
        self.stalled = False
        self._child = child
        self._reading = 0
        self._reads = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-guard", daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        self._reads += 1
        self._reading = self._reads

    def __exit__(self, *_: object) -> None:
        self._reading = 0

    def _watch(self) -> None:
        last = 0
        while not self._closed.wait(STALL_SECONDS):
            reading = self._reading
            if reading and reading == last:
                self.stalled = True
                self._child.kill()
                return
            last = reading

    def close(self) -> None:
        self._closed.set()
        self._thread.join()


def _piped_layout(info: VideoInfo, planes: bool) -> SampleLayout | None:
    """Return the layout in which frames come; None for RGB.

    Deep and HDR video is measured and converted from its samples. Without `planes`, stored colours of SDR show,
    whatever transparency hides.
    """
    if planes or info.hdr:
        return info.layout
    return replace(info.layout, alpha=False) if info.deep else None


def iter_by_ffmpeg(info: VideoInfo, start: int, *, planes: bool = False) -> Iterator[tuple[int, Picture]]:
    """Yield the upright frames from `start` on; earlier ones are decoded and dropped. Holds one frame, besides ffmpeg.

    With `planes`, and of HDR and deep video, they are samples as stored, otherwise RGB.

    Raises:
        ReaderDied: ffmpeg was killed by somebody else.
        ReaderStalled: no frame within `STALL_SECONDS`; ffmpeg is killed.
        DamagedVideo: ffmpeg reports an error, unless `info` is salvaged.
    """
    decode = ffmpeg.decode(info.path, info.stream_index, salvage=info.salvaged)
    layout = _piped_layout(info, planes)
    pixel_format = layout.pixel_format if layout else "rgb24"
    child = ffmpeg.Child([*decode, "-f", "rawvideo", "-pix_fmt", pixel_format, "-"], feeds=False)
    guard = _StallGuard(child)
    try:
        yield from _frames(child, guard, info, start, layout)
        status, errors = child.finish(_END_SECONDS)
        if status < 0:
            raise ReaderDied(
                f"The decoder of {info.path.name} was killed by signal {-status}.",
                "Resume the job.",
                "decoder.died",
            )
        if (status or errors) and not info.salvaged:
            raise damaged(info, complaint(errors[0] if errors else f"ffmpeg ended with {status}"))
    finally:
        guard.close()
        child.kill()
        child.finish(_END_SECONDS)


def _frames(
    child: ffmpeg.Child, guard: _StallGuard, info: VideoInfo, start: int, layout: SampleLayout | None
) -> Iterator[tuple[int, Picture]]:
    weights, upright = luma_weights(info), replace(info, rotation=0)
    whole = info.height, info.width
    shapes = _shapes(layout, *whole) if layout else [(*whole, 3)]
    dtype = np.uint16 if layout and layout.bits > 8 else np.uint8
    for index in count():
        arrays = [np.empty(shape, dtype) for shape in shapes]
        with guard:
            filled = sum(_fill(child.pipe, array.data.cast("B")) for array in arrays)
        if guard.stalled:
            raise ReaderStalled(
                f"ffmpeg returned no frame of {info.path} for {STALL_SECONDS:g} s before frame {index}.",
                "Check that the disk with the file is reachable, then resume the job.",
                "decoder.stalled",
                frame=index,
            )
        if filled < sum(array.nbytes for array in arrays):
            return
        if index < start:
            continue
        if layout:
            planes = Planes.of_stored(tuple(arrays), layout)
            yield index, YuvPicture(frame_of(planes, info.colour.matrix, info.colour.range), upright)
        else:
            yield index, RgbPicture(partial(np.copy, arrays[0]), weights)


def _shapes(layout: SampleLayout, height: int, width: int) -> list[tuple[int, int]]:
    """Return the shapes of the planes of an upright frame, in ffmpeg's order."""
    across, down = layout.chroma_size(width, height)
    chroma = [(down, across)] * 2 if layout.subsampling != "gray" else []
    return [(height, width), *chroma, *([(height, width)] if layout.alpha else [])]


def _fill(pipe: IO[bytes], buffer: memoryview) -> int:
    """Read until `buffer` is full or the pipe ends; return the number of bytes read."""
    filled = 0
    while filled < len(buffer):
        read = cast(RawIOBase, pipe).readinto(buffer[filled:])
        if not read:
            break
        filled += read
    return filled
