"""A video and its source in one: the source above, the video below, each frame of one beside its frame of the other.

Whoever plays both as one stream has them in step whatever the player does.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from memory.plan import Load
from pipelines.errors import BadInput
from pipelines.frame_task import FrameEngine, FramePipeline, codec_of
from pipelines.settings import CompareSettings
from pipelines.spans import Span
from pipelines.stages import RunContext, Warn
from pipelines.video.encoding.encodings import held_pixel_bytes
from pipelines.video.info import VideoInfo
from pipelines.video.probe import probe
from pipelines.video.reader import held_bytes, read_frames
from pipelines.vision.types import Pixels, Size

MOST_HALF_PX = 9_437_184 // 2
"""Largest half in pixels. Both together are what H.264 calls level 5.2, the highest that browsers decode in hardware;
2560 x 1440 and less stay as they are, 3840 x 2160 becomes 2888 x 1624."""
_BLOCK_PX = 16
"""Halves are padded to whole macroblocks, so that none shows a trace of the other."""


@dataclass(frozen=True)
class Halves:
    """The sizes (width, height) in the stacked picture: of each half as it is `shown`, and of its `room`."""

    shown: Size
    room: Size

    @classmethod
    def of(cls, size: Size) -> "Halves":
        """Make halves for pictures of `size`, scaled down if they are too large."""
        width, height = size
        scale = min(1.0, sqrt(MOST_HALF_PX / (width * height)))
        shown = (max(1, int(width * scale)), max(1, int(height * scale)))
        return cls(shown, (_blocks(shown[0]), _blocks(shown[1])))

    def stacked(self, above: Pixels, below: Pixels) -> Pixels:
        """Stack two pictures of one size, each in the upper left corner of its room."""
        (width, height), (across, down) = self.shown, self.room
        pad = ((0, down - height), (0, across - width), (0, 0))
        return np.vstack([np.pad(_scaled(half, self.shown), pad, "edge") for half in (above, below)])


def placed(source: Pixels, size: Size) -> Pixels:
    """Fit a frame of the source to a result of another `size`: in the middle of a larger one, else scaled."""
    height, width = source.shape[:2]
    if (width, height) == size:
        return source
    if width > size[0] or height > size[1]:
        return _scaled(source, size)
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    whole[top : top + height, left : left + width] = source
    return whole


def _scaled(picture: Pixels, size: Size) -> Pixels:
    if picture.shape[1::-1] == size:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _blocks(length: int) -> int:
    return -(-length // _BLOCK_PX) * _BLOCK_PX


class CompareEngine(FrameEngine):
    """Reads the frames of a video and those of its source that they were made of."""

    name = "builtin"

    def __init__(self, video: VideoInfo, settings: CompareSettings, source: VideoInfo) -> None:
        super().__init__(video, settings)
        self._source = source
        self._size = (video.width, video.height)
        self._halves = Halves.of(self._size)
        seconds = settings.source_start
        self._first = 0 if seconds is None else source.timeline.first_at(Fraction(str(seconds)))

    @property
    def load(self) -> Load:  # type: ignore[override]
        """The source's decoder, both frames at once, and an encoder that takes two pictures for one."""
        pixels = self.video.width * self.video.height
        across, down = self._halves.room
        stacked = 2 * across * down
        encoder = max(0, held_pixel_bytes(codec_of(self)) * (stacked - pixels))
        fixed = held_bytes(self._source, self.settings.decoder) + encoder + 3 * (2 * stacked + 2 * pixels)
        return Load(fixed=fixed)

    def check(self, run: RunContext) -> None:
        """Check that the source has all the frames. Raises BadInput."""
        last = self._first + run.frames.stop
        if last > self._source.frames:
            raise BadInput(
                f"The source has {self._source.frames} frames, and {last} are compared.",
                "Give the video that the first one was made of, and the time at which it begins.",
                "compare.short",
                frames=self._source.frames,
                needed=last,
            )

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Pixels]:
        """Read both videos and yield stacked frames. Holds what two decoders hold."""
        settings = self.settings
        sources = read_frames(
            self._source,
            self._first + start,
            self._first + stop,
            decoder=settings.decoder,
            salvage=settings.salvage,
            ahead=run.plan.window_frames,
        )
        with closing(sources), closing(self.read(run, start, stop)) as made:
            for source, pixels in zip(sources, made, strict=True):
                yield self._halves.stacked(placed(source.rgb(), self._size), pixels)

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Say where the halves are: each is `shown` in the upper left corner of its `room`."""
        return {
            "shown": list(self._halves.shown),
            "room": list(self._halves.room),
            "source_frame": self._first,
        }


class ComparePipeline(FramePipeline):
    """A video and its source, stacked; sound and times are the video's."""

    task = "compare"

    @classmethod
    def of(cls, inputs: tuple[Path, ...], settings: CompareSettings) -> Self:
        """Probe both videos. Raises the errors of `probe`."""
        video, source = (probe(path, salvage=settings.salvage) for path in inputs)
        return cls(inputs, CompareEngine(video, settings, source))

    def disk_bytes(self, frames: Span) -> int:
        """Estimate twice what the video alone takes."""
        return 2 * super().disk_bytes(frames)
