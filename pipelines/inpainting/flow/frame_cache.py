"""What the flow engine holds of a video around the frames at hand: views of a window, a bank of far key frames, looks.

Two readers go over the same frames: one ahead, of which only looks and key frames are kept, and one for the window.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from typing import Self

import numpy as np

from pipelines.inpainting.flow.frame_pairs import (
    FramePair,
    Homography,
    Thumbnail,
    compare,
    moving,
    reduction,
    thumbnail_of,
)
from pipelines.inpainting.flow.frame_view import FrameView, view
from pipelines.inpainting.flow.holes import Flags
from pipelines.spans import Span, widen
from pipelines.vision.types import Mask, Pixels

Read = Callable[[int, int], Generator[tuple[Pixels, Mask]]]
"""Frames (H, W, 3) uint8 RGB and masks (H, W) bool of a range, from any frame on."""

KEY_EVERY = 30
"""Far key frames lie on a grid that starts at frame 0, so that each span finds the same ones."""

MOVING_OFFSETS = (-5, -2, -1, 1, 2, 5)
"""Frames that are compared to tell what moves."""
MARGIN = max(MOVING_OFFSETS)
"""Frames beyond the farthest that is used, which tell what moves in it."""


class FrameCache:
    """Frames `whole` of a video, as far as `reach` and `far` frames around those that were advanced to.

    What it says of a frame does not depend on where reading started. Holds 4 bytes a pixel for each of
    `advanced + 2 reach` frames and of `2 far / KEY_EVERY` key frames, and up to 0.5 MB for each of `2 far` looks.
    """

    def __init__(self, read: Read, whole: Span, needed: Span, reach: int, far: int) -> None:
        self.whole = whole
        self._reach, self._far = reach, far
        near, wide = widen(needed, reach, reach, whole), widen(needed, far + MARGIN, far + MARGIN, whole)
        self._stack = ExitStack()
        self._window = self._stack.enter_context(closing(read(near.start, near.stop)))
        self._ahead = self._stack.enter_context(closing(read(wide.start, wide.stop)))
        self._near, self._wide = near, wide
        self._viewed, self._thumbnailed = near.start, wide.start
        self._views: dict[int, FrameView] = {}
        self._keys: dict[int, FrameView] = {}
        self._thumbnails: dict[int, Thumbnail] = {}
        self._pairs: dict[int, FramePair] = {}
        self._moving: dict[int, Flags] = {}
        self._motions: dict[tuple[int, int], Homography | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def advance(self, span: Span) -> None:
        """Read as far as filling `span` needs, and let go of what is too long ago."""
        near = widen(span, self._reach, self._reach, self._near)
        wide = widen(span, self._far + MARGIN, self._far + MARGIN, self._wide)
        for held, oldest in (
            (self._views, near.start),
            (self._keys, wide.start),
            (self._thumbnails, wide.start),
            (self._pairs, wide.start),
            (self._moving, wide.start),
        ):
            for index in [i for i in held if i < oldest]:
                del held[index]
        for pair in [pair for pair in self._motions if pair[0] < near.start]:
            del self._motions[pair]
        while self._viewed < near.stop:
            self._views[self._viewed] = self._seen(self._viewed, *next(self._window))
            self._viewed += 1
        while self._thumbnailed < wide.stop:
            pixels, mask = next(self._ahead)
            self._thumbnails[self._thumbnailed] = thumbnail_of(pixels, mask, reduction(mask.shape))
            if self._thumbnailed % KEY_EVERY == 0:
                self._keys[self._thumbnailed] = self._seen(self._thumbnailed, pixels, mask)
            self._thumbnailed += 1

    def _seen(self, index: int, pixels: Pixels, mask: Mask) -> FrameView:
        return view(index, pixels, mask, reduction(mask.shape))

    def view(self, index: int) -> FrameView:
        """A frame of the window."""
        return self._views[index]

    def thumbnail(self, index: int) -> Thumbnail:
        """A look at a frame, as far as `far`."""
        return self._thumbnails[index]

    def keys(self, index: int) -> list[FrameView]:
        """The key frames within `far` of frame `index`, the nearest first."""
        near = [i for i in self._keys if 0 < abs(i - index) <= self._far]
        return [self._keys[i] for i in sorted(near, key=lambda i: (abs(i - index), i))]

    def pair(self, index: int) -> FramePair | None:
        """What frame `index` and the next tell; None where either lies outside the video.

        May be asked by several threads: at worst two find the same.
        """
        if not self.whole.start <= index < self.whole.stop - 1:
            return None
        if (found := self._pairs.get(index)) is None:
            found = self._pairs[index] = compare(self._thumbnails[index], self._thumbnails[index + 1])
        return found

    def moving(self, index: int) -> Flags:
        """What of frame `index` moves on its own, at the looks' size."""
        if (found := self._moving.get(index)) is None:
            sides = ((self.pair(index - 1), 1), (self.pair(index), 0))
            flowing = [pair.flowing[side] for pair, side in sides if pair is not None and not pair.cut]
            found = self._moving[index] = moving(self._thumbnails[index], flowing, self._around(index))
        return found

    def _around(self, index: int) -> Generator[tuple[Thumbnail, Homography]]:
        """Looks at frames of the same shot, each with the motion that takes places of this frame's look to its own."""
        for other in (index + offset for offset in MOVING_OFFSETS):
            if (
                self.whole.start <= other < self.whole.stop
                and (motion := self.motion(index, other)) is not None
            ):
                yield self._thumbnails[other], motion

    def shot(self, index: int, reach: int) -> Span:
        """The frames of the same shot, up to `reach` before and after."""
        first, last = index, index
        while index - first < reach and (pair := self.pair(first - 1)) and not pair.cut:
            first -= 1
        while last - index < reach and (pair := self.pair(last)) and not pair.cut:
            last += 1
        return Span(first, last + 1)

    def motion(self, start: int, stop: int) -> Homography | None:
        """The homography from places of the look at frame `start` to those at `stop`; None over a cut.

        May be asked by several threads: at worst two find the same.
        """
        if start == stop:
            return np.eye(3)
        if (start, stop) not in self._motions:
            step = 1 if start < stop else -1
            before, last = self.motion(start, stop - step), self.pair(min(stop, stop - step))
            if before is None or last is None or last.cut:
                self._motions[start, stop] = None
            else:
                self._motions[start, stop] = (last.camera if step > 0 else last.back) @ before
        return self._motions[start, stop]

    @property
    def reduction(self) -> int:
        """Pixels of a frame that one of its look is wide and high."""
        return reduction(next(iter(self._views.values())).covered.shape)
