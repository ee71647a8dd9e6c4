"""The ProPainter chain, streamed: from frames with holes to filled frames, at constant memory, from any frame on.

Each step pulls from the one before it: painting from image propagation, that from flow completion, that from flow
estimation, and all of them from the frame cache. Each computes its chunks in order and reports the oldest frame that it
will read again.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from memory.ladder import Ladder
from pipelines.inpainting.engine import Read
from pipelines.inpainting.propainter.context import ChainContext, ProPainterNetworks
from pipelines.inpainting.propainter.flows import CompletedFlows, FlowEstimator
from pipelines.inpainting.propainter.frame_cache import SlidingFrameCache
from pipelines.inpainting.propainter.painting import Colours, WindowPainter
from pipelines.inpainting.propainter.propagation import PropagatedHoles
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.spans import Span
from pipelines.vision.types import Mask, Pixels


@dataclass(frozen=True)
class Recipe:
    """Parameters of a chain: the published ones, and sizes that change no result.

    `iterations` are RAFT's; `block` is the number of frame pairs per block of flow estimation; `capacity` is the
    number of encoded frames kept for later windows.
    """

    schedule: Schedule
    iterations: int = 20
    block: int = 1
    capacity: int = 32


@dataclass(frozen=True, eq=False)
class Painted:
    """A frame `(H, W, 3)` uint8 RGB before and after, its hole `mask`, and the part `invented`, `(H, W)` bool each."""

    before: Pixels
    after: Pixels
    mask: Mask
    invented: Mask


class Chain:
    """One run over the frames `span`. Holds what the steps hold, and the partly blended holes of a window."""

    def __init__(
        self,
        read: Read,
        networks: ProPainterNetworks,
        ladder: Ladder,
        recipe: Recipe,
        span: Span,
        flow_mask: Mask | None = None,
        check_interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._span, self._schedule = span, recipe.schedule
        begin = recipe.schedule.begin(span)
        first = begin.frame // recipe.block * recipe.block
        self.cache = SlidingFrameCache(read(first, recipe.schedule.frames), first)
        context = ChainContext(self.cache, networks, ladder, recipe.schedule, check_interrupt)
        self.estimator = FlowEstimator(context, recipe.iterations, recipe.block)
        self.completion = CompletedFlows(context, self.estimator, begin.flow_chunk, flow_mask)
        self.propagation = PropagatedHoles(context, self.completion, begin.image_chunk)
        self.painter = WindowPainter(context, self.completion, self.propagation, recipe.capacity)
        self._block = recipe.block
        self.blended: dict[int, Colours] = {}

    def frames(self, on_window: Callable[[int], None] = lambda middle: None) -> Generator[Painted]:
        """Yield the frames of the span, in order; close the generator to release memory.

        `on_window` is called after each window.
        """
        due, windows = self._span.start, self._schedule.windows(self._span)
        with closing(self.cache):
            for middle in windows:
                for index, colours in self.painter.paint(middle).items():
                    self._blend(index, colours)
                on_window(middle)
                # Later windows do not touch frames before this one's middle.
                stop = self._span.stop if middle == windows[-1] else min(middle, self._span.stop)
                for index in range(due, stop):
                    yield self._painted(index)
                due = max(due, stop)
                self._drop(middle + self._schedule.step, due)

    def _blend(self, index: int, colours: Colours) -> None:
        """Average what overlapping windows paint, later ones counting more; truncated at each step, as published."""
        if (before := self.blended.get(index)) is not None:
            colours = ((before.astype(np.uint16) + colours) >> 1).astype(np.uint8)
        self.blended[index] = colours

    def _painted(self, index: int) -> Painted:
        frame, mask = self.cache.frame(index), self.cache.mask(index)
        after, invented = frame.copy(), np.zeros_like(mask)
        if (colours := self.blended.pop(index, None)) is not None:
            after[mask] = colours
        if (update := self.propagation.update(index)) is not None:
            invented[mask] = update.unknown.numpy()
        return Painted(frame, after, mask, invented)

    def _drop(self, middle: int, due: int) -> None:
        """Drop what is needed neither by windows from `middle` on, nor by frames from `due` on, nor by a step."""
        seen = self._schedule.oldest(middle)
        estimated = self.completion.oldest // self._block * self._block
        self.cache.drop_before(min(seen, due, self.propagation.oldest, estimated))
        self.propagation.drop_before(min(seen, due))
        self.completion.drop_before(min(max(0, middle - self._schedule.step), self.propagation.oldest))
        for index in [i for i in self.blended if i < due]:
            del self.blended[index]
