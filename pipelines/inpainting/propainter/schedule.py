"""Which frames are computed from which: chunks of flow completion and of image propagation, and windows.

Integers only. Frames are counted from the first one of the job, on which all grids are anchored, so that a span finds
the same chunks and windows as the whole run. Flow `i` lies between frames `i` and `i + 1`, in both directions.
After the published inference of ProPainter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from pipelines.spans import Span

_FLOW_PAD = 5
_IMAGE_PAD = 10
_MOST_IMAGE_CHUNK = 100


@dataclass(frozen=True)
class Chunk:
    """What is computed at once: results of `kept`, from inputs of `read`."""

    kept: Span
    read: Span


@dataclass(frozen=True)
class Window:
    """Frames that are painted together: consecutive ones, from each other and from single references."""

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
    """The order of work on `frames` frames, by the published names and defaults."""

    frames: int
    subvideo_length: int = 80
    neighbor_length: int = 10
    ref_stride: int = 10

    def __post_init__(self) -> None:
        if min(self.frames, self.subvideo_length, self.neighbor_length // 2, self.ref_stride) < 1:
            raise ValueError(f"nothing can be scheduled with {self}")

    @property
    def flows(self) -> int:
        """How many pairs of neighbouring frames there are."""
        return self.frames - 1

    @property
    def step(self) -> int:
        """From one window to the next, in frames; a window reaches as far to either side."""
        return self.neighbor_length // 2

    @property
    def is_long(self) -> bool:
        """Whether references lie around their window; in a short video they are the same for all windows."""
        return self.frames > self.subvideo_length

    @property
    def reach(self) -> int:
        """How far from its window a long video's references may lie."""
        return self.ref_stride * (self.subvideo_length // self.ref_stride // 2)

    @property
    def image_chunk_length(self) -> int:
        """Frames that image propagation keeps of a chunk."""
        return min(_MOST_IMAGE_CHUNK, self.subvideo_length)

    def flow_chunk(self, number: int) -> Chunk | None:
        """Flows that are completed together; None beyond the last. Frames are one more than flows."""
        return _chunk(number, self.subvideo_length, _FLOW_PAD, self.flows)

    def image_chunk(self, number: int) -> Chunk | None:
        """Frames whose images are propagated together; None beyond the last."""
        return _chunk(number, self.image_chunk_length, _IMAGE_PAD, self.frames)

    def windows(self, span: Span) -> range:
        """The windows that paint any frame of `span`, by their middle frames."""
        first = max(0, -(-(span.start - self.step) // self.step))
        last = min(span.stop - 1 + self.step, self.frames - 1) // self.step
        return range(first * self.step, last * self.step + 1, self.step)

    def window(self, middle: int) -> Window:
        """The window around frame `middle`, a multiple of `step`."""
        local = Span(max(0, middle - self.step), min(self.frames, middle + self.step + 1))
        around: Iterable[int] = range(0, self.frames, self.ref_stride)
        if self.is_long:
            # The end is excluded, and the grid is the window's own: it begins `reach` before the window.
            start, stop = max(0, middle - self.reach), min(self.frames, middle + self.reach)
            around = range(start, stop, self.ref_stride)
        return Window(local, tuple(i for i in around if not local.start <= i < local.stop))

    def near(self, flows: Span) -> Span:
        """The frames of all windows that use any of `flows`: where none has a hole, the flows are not needed."""
        first = -(-(flows.start - self.step + 1) // self.step) * self.step
        last = (flows.stop - 1 + self.step) // self.step * self.step
        return Span(max(0, first - self.step), min(self.frames, last + self.step + 1))

    def oldest(self, middle: int) -> int:
        """No window from `middle` on looks at a frame before this one."""
        return max(0, middle - max(self.step, self.reach)) if self.is_long else 0

    def uses_after(self, middle: int) -> Iterator[int]:
        """The frames of the windows after `middle`, in the order of their first use, as far as any is known yet."""
        latest = middle + max(self.step, self.reach) if self.is_long else self.frames
        upcoming = range(middle + self.step, min(self.frames, latest + max(self.step, self.reach)), self.step)
        seen = chain.from_iterable(self.window(f).frames for f in upcoming)
        return iter(dict.fromkeys(seen))

    @cached_property
    def most_reused(self) -> int:
        """How many encoded frames wait for later windows, at the most."""
        encoded: set[int] = set()
        most = 0
        for middle in self._kinds_of_windows():
            encoded = encoded.union(self.window(middle).frames) & set(self.uses_after(middle))
            most = max(most, len(encoded))
        return most

    def begin(self, span: Span) -> "StartPoint":
        """From where on things are computed for `span`."""
        oldest = self.oldest(self.windows(span).start)
        image = oldest // self.image_chunk_length
        wanted = max(0, image * self.image_chunk_length - _IMAGE_PAD)
        flow = wanted // self.subvideo_length
        return StartPoint(image, flow, max(0, flow * self.subvideo_length - _FLOW_PAD))

    @cached_property
    def longest_window(self) -> int:
        """Frames of the largest window, with its references."""
        return max(len(self.window(f).frames) for f in self._kinds_of_windows())

    def _kinds_of_windows(self) -> Iterable[int]:
        """Windows near the start, and one in the middle, which stands for the others."""
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
