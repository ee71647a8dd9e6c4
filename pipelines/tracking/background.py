"""What moves against the background: each frame beside a median of its neighbours, the camera's motion undone.

The neighbours are some frames before and after, so any frame can be looked at on its own, and in either
direction of time.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np

from pipelines.spans import Span, widen
from pipelines.vision.camera_motion import Gray, Homography, camera_motion, misaligned_difference
from pipelines.vision.crop import Crop
from pipelines.vision.types import Pixels

Frames = Callable[[int, int], Generator[Pixels]]
"""`frames_from(start, stop)`: those frames `(H, W, 3)` uint8 RGB in order, the same whatever `start` is."""

OFFSETS = (6, 12, 18, 24)
"""Neighbours on each side, frames: nearer ones still show the object itself, farther ones another scene."""
HALO = OFFSETS[-1]
CHUNK_FRAMES = 32
"""Frames that are decoded forwards at once, to be walked backwards."""
WORK_SIDE_PX = 640

_SLACK = np.ones((5, 5), np.uint8)
"""A background pixel may lie two pixels off: a homography knows no parallax."""
_NOTHING = 255


@dataclass(frozen=True)
class RegisteredFrame:
    """One frame `(H, W, 3)` uint8 RGB, and the motion that takes its places to the frame before (None: a cut)."""

    index: int
    pixels: Pixels
    motion: Homography | None

    @cached_property
    def back(self) -> Homography | None:
        """The motion that takes places of the frame before to this one."""
        return None if self.motion is None else np.asarray(np.linalg.inv(self.motion), np.float64)


@dataclass(frozen=True)
class FrameNeighbours:
    """A frame among its neighbours, `before` and `after`, each nearest first."""

    current: RegisteredFrame
    before: tuple[RegisteredFrame, ...]
    after: tuple[RegisteredFrame, ...]

    def difference(self, part: Crop) -> Gray:
        """How far each pixel of a part is from all that the background shows near it, uint8 grey levels.

        0 where fewer than two neighbours show the place. Holds the crop of each neighbour.
        """
        crop = self.current.pixels[part.slices]
        layers, count = self._layers(part)
        if len(layers) < 2:
            return np.zeros(crop.shape[:2], np.uint8)
        background = _median(layers, count)
        far: Gray = misaligned_difference(crop, background, _SLACK).max(axis=2)
        far[count < 2] = 0
        return far

    def _layers(self, part: Crop) -> tuple[list[Pixels], Gray]:
        """The crop as each neighbour shows it, 255 where it does not, and by how many each pixel is shown."""
        corner = np.array([[1, 0, part.left], [0, 1, part.top], [0, 0, 1]], np.float64)
        inside = np.ones(self.current.pixels.shape[:2], np.uint8)
        layers: list[Pixels] = []
        count = np.zeros(part.size[::-1], np.uint8)
        for current, motion in self._neighbours():
            there = motion @ corner
            mask_to_rgb = cv2.warpPerspective(
                inside, there, part.size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            )
            # At the border nothing darker than the picture is mixed in.
            layer = cv2.warpPerspective(
                current.pixels,
                there,
                part.size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            layer[mask_to_rgb == 0] = _NOTHING
            count += cast(Gray, mask_to_rgb)
            layers.append(cast(Pixels, layer))
        return layers, count

    def _neighbours(self) -> Generator[tuple[RegisteredFrame, Homography]]:
        """The neighbours at the offsets, each with the motion from this frame's places to its own; none over a cut."""
        motion = self.current.motion
        for step, current in enumerate(self.before, 1):
            if motion is None:
                break
            if step in OFFSETS:
                yield current, motion
            motion = None if current.motion is None else current.motion @ motion
        motion = np.eye(3)
        for step, current in enumerate(self.after, 1):
            if current.back is None:
                break
            motion = current.back @ motion
            if step in OFFSETS:
                yield current, motion


def _median(layers: list[Pixels], count: Gray) -> Pixels:
    """The lower median of each pixel's `count` real values; the other layers say 255 there.

    Exchanging whole layers sorts many times faster than sorting along an axis.
    """
    layers = list(layers)
    for turn in range(len(layers)):
        for i in range(turn % 2, len(layers) - 1, 2):
            low, high = layers[i], layers[i + 1]
            layers[i], layers[i + 1] = np.minimum(low, high), np.maximum(low, high)
    rank = (np.maximum(count, 1) - 1) // 2
    centre = layers[0].copy()
    for k in range(1, (len(layers) - 1) // 2 + 1):
        cv2.copyTo(layers[k], (rank == k).astype(np.uint8), centre)
    return centre


@dataclass(frozen=True)
class FrameSource:
    """The frames `whole` of a video at work size; frames outside are never read."""

    frames_from: Frames
    whole: Span
    size: tuple[int, int]
    """Width and height of the video."""

    @classmethod
    def of(cls, frames_from: Frames, whole: Span) -> "FrameSource":
        """Footage whose size is that of its first frame."""
        with closing(frames_from(whole.start, whole.start + 1)) as frames:
            rows, columns = next(frames).shape[:2]
        return cls(frames_from, whole, (columns, rows))

    @property
    def scale(self) -> float:
        """Work pixels per pixel of the video, at most 1."""
        return min(1.0, WORK_SIDE_PX / max(self.size))

    def neighbourhoods(self, start: int, stop: int, *, backward: bool = False) -> Generator[FrameNeighbours]:
        """The scenes of frames `[start, stop)`, the last first if `backward`; the same either way and from any start.

        Holds `2 * HALO + 1` frames at work size; `CHUNK_FRAMES` more if `backward`.
        """
        if start >= stop:
            return
        read = widen(Span(start, stop), HALO, HALO, self.whole)
        views = self._views_back(read) if backward else self._views(read)
        with closing(views):
            for neighbours in _neighbourhoods(views, backward=backward):
                if start <= neighbours.current.index < stop:
                    yield neighbours

    def _views(self, span: Span) -> Generator[RegisteredFrame]:
        first = widen(span, 1, 0, self.whole).start
        before: Gray | None = None
        with closing(self.frames_from(first, span.stop)) as frames:
            for index, pixels in enumerate(frames, first):
                small = self._small(pixels)
                gray = cast(Gray, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
                if index >= span.start:
                    yield RegisteredFrame(
                        index, small, None if before is None else camera_motion(before, gray)
                    )
                before = gray

    def _views_back(self, span: Span) -> Generator[RegisteredFrame]:
        for stop in range(span.stop, span.start, -CHUNK_FRAMES):
            yield from reversed(list(self._views(Span(max(span.start, stop - CHUNK_FRAMES), stop))))

    def _small(self, pixels: Pixels) -> Pixels:
        if self.scale == 1:
            return pixels
        width, height = (max(1, round(side * self.scale)) for side in self.size)
        return cast(Pixels, cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def _neighbourhoods(views: Generator[RegisteredFrame], *, backward: bool) -> Generator[FrameNeighbours]:
    """A scene for each view, in the order given."""
    passed: deque[RegisteredFrame] = deque(maxlen=HALO)
    coming: deque[RegisteredFrame] = deque()
    for current in views:
        coming.append(current)
        if len(coming) > HALO:
            yield _pass(passed, coming, backward=backward)
    while coming:
        yield _pass(passed, coming, backward=backward)


def _pass(
    passed: deque[RegisteredFrame], coming: deque[RegisteredFrame], *, backward: bool
) -> FrameNeighbours:
    """The scene of the first that is coming; it has passed then. Newest passed first."""
    current = coming.popleft()
    behind, ahead = tuple(passed), tuple(coming)
    passed.appendleft(current)
    return FrameNeighbours(current, ahead, behind) if backward else FrameNeighbours(current, behind, ahead)
