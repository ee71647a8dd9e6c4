"""Read raw frames from an ffmpeg process: slower, but it applies any display matrix and salvages damaged files."""

import threading
from collections.abc import Iterator
from functools import partial
from io import RawIOBase
from itertools import count
from typing import IO, cast

import numpy as np

from pipelines.errors import ReaderDied, ReaderStalled
from pipelines.video.decoders.decoding import damaged
from pipelines.video.files import ffmpeg
from pipelines.video.frame import Picture, RgbPicture, luma_weights
from pipelines.video.info import VideoInfo

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


def iter_by_ffmpeg(info: VideoInfo, start: int) -> Iterator[tuple[int, Picture]]:
    """Yield the upright frames from `start` on; earlier ones are decoded and dropped. Holds one frame, besides ffmpeg.

    Raises:
        ReaderDied: ffmpeg was killed by somebody else.
        ReaderStalled: no frame within `STALL_SECONDS`; ffmpeg is killed.
        DamagedVideo: ffmpeg reports an error, unless `info` is salvaged.
    """
    decode = ffmpeg.decode(info.path, info.stream_index, salvage=info.salvaged)
    child = ffmpeg.Child([*decode, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], feeds=False)
    guard = _StallGuard(child)
    try:
        yield from _frames(child, guard, info, start)
        status, errors = child.finish(_END_SECONDS)
        if status < 0:
            raise ReaderDied(
                f"The decoder of {info.path.name} was killed by signal {-status}.", "Resume the job."
            )
        if (status or errors) and not info.salvaged:
            raise damaged(info, errors[0] if errors else f"ffmpeg ended with {status}")
    finally:
        guard.close()
        child.kill()
        child.finish(_END_SECONDS)


def _frames(
    child: ffmpeg.Child, guard: _StallGuard, info: VideoInfo, start: int
) -> Iterator[tuple[int, Picture]]:
    weights = luma_weights(info)
    for index in count():
        pixels = np.empty((info.height, info.width, 3), np.uint8)
        with guard:
            filled = _fill(child.pipe, pixels.data.cast("B"))
        if guard.stalled:
            raise ReaderStalled(
                f"ffmpeg returned no frame of {info.path} for {STALL_SECONDS:g} s before frame {index}.",
                "Check that the disk with the file is reachable, then resume the job.",
            )
        if filled < pixels.nbytes:
            return
        if index >= start:
            yield index, RgbPicture(partial(np.copy, pixels), weights)


def _fill(pipe: IO[bytes], buffer: memoryview) -> int:
    """Read until `buffer` is full or the pipe ends; return the number of bytes read."""
    filled = 0
    while filled < len(buffer):
        read = cast(RawIOBase, pipe).readinto(buffer[filled:])
        if not read:
            break
        filled += read
    return filled
