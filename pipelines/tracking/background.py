"""Background subtraction under a moving camera: each frame against the median of its registered neighbours.

The neighbours are a fixed set of frames before and after, so a frame's result depends neither on where reading started
nor on the direction of time.
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
"""`frames_from(start, stop)` yields frames `(H, W, 3)` uint8 RGB in order, the same for any `start`."""

OFFSETS = (6, 12, 18, 24)
"""Distances of the neighbours on each side, in frames: nearer ones still show the object, farther ones another view."""
HALO = OFFSETS[-1]
CHUNK_FRAMES = 32
"""Frames that are decoded forwards and held at once, to be yielded backwards."""
WORK_SIDE_PX = 640
"""Longest side at which the object is tracked; larger frames are reduced, so that cost does not grow with
resolution."""

_SLACK = np.ones((5, 5), np.uint8)
"""A background pixel may lie two pixels off: a homography knows no parallax."""
_FEWEST_NEIGHBOURS = 2
"""Neighbours that must show a pixel: a single one may show the object itself there."""
_NOTHING = 255
"""Fills what a neighbour does not show, so that it sorts behind all real values."""


@dataclass(frozen=True)
class RegisteredFrame:
    """A frame `(H, W, 3)` uint8 RGB at work size, and the homography to the frame before it (None at a cut)."""

    index: int
    pixels: Pixels
    motion: Homography | None

    @cached_property
    def back(self) -> Homography | None:
        """The homography from the frame before to this one."""
        return None if self.motion is None else np.asarray(np.linalg.inv(self.motion), np.float64)


@dataclass(frozen=True)
class FrameNeighbours:
    """A frame and its neighbours `before` and `after`, each nearest first."""

    current: RegisteredFrame
    before: tuple[RegisteredFrame, ...]
    after: tuple[RegisteredFrame, ...]

    def difference(self, crop: Crop) -> Gray:
        """Measure how far each pixel of `crop` is from the background's values around it, uint8 grey levels.

        0 where fewer than two neighbours show the pixel. Holds the crop of each neighbour.
        """
        pixels = self.current.pixels[crop.slices]
        layers, count = self._layers(crop)
        if len(layers) < _FEWEST_NEIGHBOURS:
            return np.zeros(pixels.shape[:2], np.uint8)
        background = _median(layers, count)
        far: Gray = misaligned_difference(pixels, background, _SLACK).max(axis=2)
        far[count < _FEWEST_NEIGHBOURS] = 0
        return far

    def _layers(self, crop: Crop) -> tuple[list[Pixels], Gray]:
        """The crop as each neighbour shows it, 255 where it does not, and how many neighbours show each pixel."""
        corner = np.array([[1, 0, crop.left], [0, 1, crop.top], [0, 0, 1]], np.float64)
        inside = np.ones(self.current.pixels.shape[:2], np.uint8)
        layers: list[Pixels] = []
        count = np.zeros(crop.size[::-1], np.uint8)
        for neighbour, motion in self._neighbours():
            there = motion @ corner
            mask_to_rgb = cv2.warpPerspective(
                inside, there, crop.size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            )
            # Replicated, so that no black is mixed in at the border.
            layer = cv2.warpPerspective(
                neighbour.pixels,
                there,
                crop.size,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
            layer[mask_to_rgb == 0] = _NOTHING
            count += cast(Gray, mask_to_rgb)
            layers.append(cast(Pixels, layer))
        return layers, count

    def _neighbours(self) -> Generator[tuple[RegisteredFrame, Homography]]:
        """Yield the neighbours at `OFFSETS`, each with the homography from this frame to it; none across a cut."""
        motion = self.current.motion
        for step, neighbour in enumerate(self.before, 1):
            if motion is None:
                break
            if step in OFFSETS:
                yield neighbour, motion
            motion = None if neighbour.motion is None else neighbour.motion @ motion
        motion = np.eye(3)
        for step, neighbour in enumerate(self.after, 1):
            if neighbour.back is None:
                break
            motion = neighbour.back @ motion
            if step in OFFSETS:
                yield neighbour, motion


def _median(layers: list[Pixels], count: Gray) -> Pixels:
    """Lower median of each pixel's `count` real values; the other layers hold 255 there.

    A sorting network over whole layers is many times faster than sorting along an axis.
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
    """Frames `span` of a video, registered and reduced to work size; frames outside are never read."""

    frames_from: Frames
    span: Span
    size: tuple[int, int]
    """Width and height of the video, pixels."""

    @classmethod
    def of(cls, frames_from: Frames, span: Span) -> "FrameSource":
        """Open a source; reads the first frame for its size."""
        with closing(frames_from(span.start, span.start + 1)) as frames:
            rows, columns = next(frames).shape[:2]
        return cls(frames_from, span, (columns, rows))

    @property
    def scale(self) -> float:
        """Pixels at work size per pixel of the video, at most 1."""
        return min(1.0, WORK_SIDE_PX / max(self.size))

    def neighbourhoods(self, start: int, stop: int, *, backward: bool = False) -> Generator[FrameNeighbours]:
        """Yield frames `[start, stop)` with their neighbours, the last first if `backward`; the same from any start.

        Holds `2 * HALO + 1` frames at work size; `CHUNK_FRAMES` more if `backward`.
        """
        if start >= stop:
            return
        read = widen(Span(start, stop), HALO, HALO, self.span)
        frames = self._registered_backward(read) if backward else self._registered(read)
        with closing(frames):
            for neighbours in _neighbourhoods(frames, backward=backward):
                if start <= neighbours.current.index < stop:
                    yield neighbours

    def _registered(self, span: Span) -> Generator[RegisteredFrame]:
        """Yield the frames of `span`; reads one more before them."""
        first = widen(span, 1, 0, self.span).start
        before: Gray | None = None
        with closing(self.frames_from(first, span.stop)) as frames:
            for index, pixels in enumerate(frames, first):
                small = self._reduced(pixels)
                gray = cast(Gray, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
                if index >= span.start:
                    yield RegisteredFrame(
                        index, small, None if before is None else camera_motion(before, gray)
                    )
                before = gray

    def _registered_backward(self, span: Span) -> Generator[RegisteredFrame]:
        """Yield the frames of `span`, the last first, from chunks that are read forwards."""
        for stop in range(span.stop, span.start, -CHUNK_FRAMES):
            yield from reversed(list(self._registered(Span(max(span.start, stop - CHUNK_FRAMES), stop))))

    def _reduced(self, pixels: Pixels) -> Pixels:
        if self.scale == 1:
            return pixels
        width, height = (max(1, round(side * self.scale)) for side in self.size)
        return cast(Pixels, cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def _neighbourhoods(frames: Generator[RegisteredFrame], *, backward: bool) -> Generator[FrameNeighbours]:
    """Yield each frame with up to `HALO` frames on either side, in the order of `frames`."""
    passed: deque[RegisteredFrame] = deque(maxlen=HALO)
    coming: deque[RegisteredFrame] = deque()
    for frame in frames:
        coming.append(frame)
        if len(coming) > HALO:
            yield _advance(passed, coming, backward=backward)
    while coming:
        yield _advance(passed, coming, backward=backward)


def _advance(
    passed: deque[RegisteredFrame], coming: deque[RegisteredFrame], *, backward: bool
) -> FrameNeighbours:
    """Move the first of `coming` to the front of `passed`, and return it with its neighbours."""
    frame = coming.popleft()
    behind, ahead = tuple(passed), tuple(coming)
    passed.appendleft(frame)
    return FrameNeighbours(frame, ahead, behind) if backward else FrameNeighbours(frame, behind, ahead)
