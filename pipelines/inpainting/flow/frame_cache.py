"""The flow engine's frame cache: a window of full frames, a bank of distant key frames, and thumbnails.

Two readers go over the same frames: one ahead, of which only thumbnails and key frames are kept, and one for the
window.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from typing import Self

import numpy as np

from pipelines.inpainting.flow.frame_pairs import (
    FramePair,
    See,
    Thumbnail,
    compare,
    moving,
    reduction,
    thumbnail_of,
)
from pipelines.inpainting.flow.frame_view import FrameView, view
from pipelines.spans import Span, widen
from pipelines.vision.camera_motion import Homography
from pipelines.vision.types import Deep, Flags, Mask, Pixels

Read = Callable[[int, int], Generator[tuple[Pixels | Deep, Mask]]]
"""`read(start, stop)` yields frames (H, W, 3) with masks (H, W) bool, from any frame on: uint8 RGB, or uint16 codes."""

KEY_EVERY = 30
"""Distance of key frames, on a grid that starts at frame 0, so that each span finds the same ones.

Slow objects and still cameras need frames far away; a wider window than 20 frames brought nothing otherwise.
"""

MOVING_OFFSETS = (-5, -2, -1, 1, 2, 5)
"""Distances of the frames that are compared to detect what moves."""
MARGIN = max(MOVING_OFFSETS)
"""Frames needed beyond the farthest one in use, to detect what moves in it."""


class FrameCache:
    """Sliding cache over frames `whole` of a video: full frames within `reach`, thumbnails and key frames within `far`.

    Frames of codes are seen as RGB by `see`. Results do not depend on where reading started. Holds 4 bytes per pixel,
    of codes 7, of `span + 2 reach` frames and of
    `2 far / KEY_EVERY` key frames, and up to 0.5 MB for each of `2 far` thumbnails.
    """

    def __init__(
        self, read: Read, whole: Span, needed: Span, reach: int, far: int, see: See | None = None
    ) -> None:
        self.whole = whole
        self._reach, self._far, self._see = reach, far, see
        near, wide = widen(needed, reach, reach, whole), widen(needed, far + MARGIN, far + MARGIN, whole)
        self._stack = ExitStack()
        self._window = self._stack.enter_context(closing(read(near.start, near.stop)))
        self._ahead = self._stack.enter_context(closing(read(wide.start, wide.stop)))
        self._near, self._wide = near, wide
        self._next_view, self._next_thumbnail = near.start, wide.start
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
        """Read what filling `span` needs, and drop what it no longer needs."""
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
        while self._next_view < near.stop:
            self._views[self._next_view] = self._make_view(self._next_view, *next(self._window))
            self._next_view += 1
        while self._next_thumbnail < wide.stop:
            pixels, mask = next(self._ahead)
            self._thumbnails[self._next_thumbnail] = thumbnail_of(
                pixels, mask, reduction(mask.shape), self._see
            )
            if self._next_thumbnail % KEY_EVERY == 0:
                self._keys[self._next_thumbnail] = self._make_view(self._next_thumbnail, pixels, mask)
            self._next_thumbnail += 1

    def _make_view(self, index: int, pixels: Pixels | Deep, mask: Mask) -> FrameView:
        return view(index, pixels, mask, reduction(mask.shape))

    def view(self, index: int) -> FrameView:
        """Return a frame of the window."""
        return self._views[index]

    def thumbnail(self, index: int) -> Thumbnail:
        """Return the thumbnail of a frame within `far`."""
        return self._thumbnails[index]

    def keys(self, index: int) -> list[FrameView]:
        """Return the key frames within `far` of frame `index`, the nearest first."""
        near = [i for i in self._keys if 0 < abs(i - index) <= self._far]
        return [self._keys[i] for i in sorted(near, key=lambda i: (abs(i - index), i))]

    def pair(self, index: int) -> FramePair | None:
        """Compare frame `index` with the next; None if either is outside the video.

        Thread-safe: at worst two threads compute the same pair.
        """
        if not self.whole.start <= index < self.whole.stop - 1:
            return None
        if (found := self._pairs.get(index)) is None:
            found = self._pairs[index] = compare(self._thumbnails[index], self._thumbnails[index + 1])
        return found

    def moving(self, index: int) -> Flags:
        """Detect what moves on its own in frame `index`, `(h, w)` {0, 1} at the thumbnail's size."""
        if (found := self._moving.get(index)) is None:
            sides = ((self.pair(index - 1), 1), (self.pair(index), 0))
            flowing = [pair.flowing[side] for pair, side in sides if pair is not None and not pair.cut]
            found = self._moving[index] = moving(self._thumbnails[index], flowing, self._around(index))
        return found

    def _around(self, index: int) -> Generator[tuple[Thumbnail, Homography]]:
        """Yield thumbnails of nearby frames of the same shot, each with the homography from this frame to it."""
        for other in (index + offset for offset in MOVING_OFFSETS):
            if (
                self.whole.start <= other < self.whole.stop
                and (motion := self.motion(index, other)) is not None
            ):
                yield self._thumbnails[other], motion

    def shot(self, index: int, reach: int) -> Span:
        """Return the frames of the same shot, up to `reach` before and after."""
        first, last = index, index
        while index - first < reach and (pair := self.pair(first - 1)) and not pair.cut:
            first -= 1
        while last - index < reach and (pair := self.pair(last)) and not pair.cut:
            last += 1
        return Span(first, last + 1)

    def motion(self, start: int, stop: int) -> Homography | None:
        """Return the homography from the thumbnail of frame `start` to that of `stop`; None across a cut.

        Thread-safe: at worst two threads compute the same motion.
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
        """Factor by which frames are reduced to thumbnails."""
        return reduction(next(iter(self._views.values())).covered.shape)
