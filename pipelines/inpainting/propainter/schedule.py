"""The schedule of a chain: chunks of flow completion and image propagation, and windows of painting.

Integers only. Frames are counted from the job's first one, on which all grids are anchored, so that a span uses the
same chunks and windows as the whole run. Flow `i` lies between frames `i` and `i + 1`, in both directions. After
the published inference of ProPainter (Zhou et al. 2023).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import lcm

from pipelines.spans import Span

_FLOW_PAD, _IMAGE_PAD = 5, 10
"""Halo of a chunk of flow completion and of image propagation, in frames, as published."""
_MOST_IMAGE_CHUNK = 100
"""Longest chunk of image propagation, in frames, as published."""


@dataclass(frozen=True)
class Chunk:
    """Frames or flows computed at once: results of `kept`, from inputs of `read`, which includes the halo."""

    kept: Span
    read: Span


@dataclass(frozen=True)
class Window:
    """Frames painted together: consecutive `local` ones, from each other and from single `references`."""

    local: Span
    references: tuple[int, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """The local frames, then the references."""
        return (*range(self.local.start, self.local.stop), *self.references)

    @property
    def flows(self) -> Span:
        """The flows between the local frames."""
        return Span(self.local.start, self.local.stop - 1)


@dataclass(frozen=True)
class Schedule:
    """The schedule of `frames` frames, with the published parameter names and defaults.

    Raises ValueError for lengths below 1.
    """

    frames: int
    subvideo_length: int = 80
    neighbor_length: int = 10
    ref_stride: int = 10

    def __post_init__(self) -> None:
        if min(self.frames, self.subvideo_length, self.neighbor_length // 2, self.ref_stride) < 1:
            raise ValueError(f"nothing can be scheduled with {self}")

    @property
    def flows(self) -> int:
        """Number of pairs of neighbouring frames."""
        return self.frames - 1

    @property
    def step(self) -> int:
        """Stride of windows, in frames; a window reaches as far to either side of its middle."""
        return self.neighbor_length // 2

    @property
    def is_long(self) -> bool:
        """Whether references are chosen around each window; in a short video all windows share them."""
        return self.frames > self.subvideo_length

    @property
    def reach(self) -> int:
        """Largest distance of a long video's references from the middle of their window, in frames."""
        return self.ref_stride * (self.subvideo_length // self.ref_stride // 2)

    @property
    def image_chunk_length(self) -> int:
        """Frames that image propagation keeps per chunk."""
        return min(_MOST_IMAGE_CHUNK, self.subvideo_length)

    def flow_chunk(self, number: int) -> Chunk | None:
        """Return the flows of chunk `number`, completed together; None beyond the last."""
        return _chunk(number, self.subvideo_length, _FLOW_PAD, self.flows)

    def image_chunk(self, number: int) -> Chunk | None:
        """Return the frames of chunk `number`, propagated together; None beyond the last."""
        return _chunk(number, self.image_chunk_length, _IMAGE_PAD, self.frames)

    def windows(self, span: Span) -> range:
        """Return the windows that paint any frame of `span`, by their middle frames."""
        first = max(0, -(-(span.start - self.step) // self.step))
        last = min(span.stop - 1 + self.step, self.frames - 1) // self.step
        return range(first * self.step, last * self.step + 1, self.step)

    def window(self, middle: int) -> Window:
        """Return the window around frame `middle`, a multiple of `step`."""
        local = Span(max(0, middle - self.step), min(self.frames, middle + self.step + 1))
        around: Iterable[int] = range(0, self.frames, self.ref_stride)
        if self.is_long:
            # The end is excluded, and the grid is the window's own: it begins `reach` before the window.
            start, stop = max(0, middle - self.reach), min(self.frames, middle + self.reach)
            around = range(start, stop, self.ref_stride)
        return Window(local, tuple(i for i in around if not local.start <= i < local.stop))

    def near(self, flows: Span) -> Span:
        """Return the frames of all windows that use any of `flows`; if none has a hole, the flows are not needed."""
        first = -(-(flows.start - self.step + 1) // self.step) * self.step
        last = (flows.stop - 1 + self.step) // self.step * self.step
        return Span(max(0, first - self.step), min(self.frames, last + self.step + 1))

    def oldest(self, middle: int) -> int:
        """Return the first frame that any window from `middle` on uses."""
        return max(0, middle - max(self.step, self.reach)) if self.is_long else 0

    def uses_after(self, middle: int) -> Iterator[int]:
        """Yield the frames of windows after `middle` in order of first use, as far as any may be encoded already."""
        latest = middle + max(self.step, self.reach) if self.is_long else self.frames
        upcoming = range(middle + self.step, min(self.frames, latest + max(self.step, self.reach)), self.step)
        seen = chain.from_iterable(self.window(f).frames for f in upcoming)
        return iter(dict.fromkeys(seen))

    @cached_property
    def most_reused(self) -> int:
        """Largest number of encoded frames that wait for later windows."""
        encoded: set[int] = set()
        most = 0
        for middle in self._kinds_of_windows():
            encoded = encoded.union(self.window(middle).frames) & set(self.uses_after(middle))
            most = max(most, len(encoded))
        return most

    def begin(self, span: Span) -> "StartPoint":
        """Return from which chunks on `span` must be computed."""
        oldest = self.oldest(self.windows(span).start)
        image = oldest // self.image_chunk_length
        wanted = max(0, image * self.image_chunk_length - _IMAGE_PAD)
        flow = wanted // self.subvideo_length
        return StartPoint(image, flow, max(0, flow * self.subvideo_length - _FLOW_PAD))

    @cached_property
    def longest_window(self) -> int:
        """Number of frames of the largest window, references included."""
        return max(len(self.window(f).frames) for f in self._kinds_of_windows())

    @cached_property
    def halo(self) -> int:
        """Largest number of frames that are read beside a span: about as many after it as before it."""
        cycle = lcm(self.step, self.subvideo_length, self.image_chunk_length)
        starts = range(min(self.frames, cycle + 2 * (self.reach + self.step + cycle)))
        before = max(start - self.begin(Span(start, start + 1)).frame for start in starts)
        return min(self.frames, 2 * before + 1)  # a flow reads the frame after it

    def _kinds_of_windows(self) -> Iterable[int]:
        """Middles of the windows near the start, and of one beyond, which stands for all later ones."""
        near = 2 * (self.reach + self.step) + self.subvideo_length
        return range(0, min(self.frames, near), self.step)


@dataclass(frozen=True)
class StartPoint:
    """The first chunks that a span needs, by number, and the first frame that they read."""

    image_chunk: int
    flow_chunk: int
    frame: int


def _chunk(number: int, length: int, pad: int, whole: int) -> Chunk | None:
    start, stop = number * length, min(whole, (number + 1) * length)
    if start >= whole:
        return None
    return Chunk(Span(start, stop), Span(max(0, start - pad), min(whole, stop + pad)))
