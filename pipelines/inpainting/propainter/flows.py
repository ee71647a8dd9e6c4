"""Flows between neighbouring frames: estimated block by block, completed chunk by chunk.

Of completed flows little is kept: a quarter of their size for the painter, and of their full size what leads out of
holes. Chunks near which no frame has a hole are left out.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from memory.ladder import Effort
from pipelines.inpainting.propainter.context import ChainContext, computing
from pipelines.inpainting.propainter.schedule import Chunk
from pipelines.spans import Span
from pipelines.vision.types import Mask

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.nets.propainter.image_propagation import Passage
    from pipelines.nets.raft.model import Features

    Flows = tuple[Tensor, Tensor]
    """Forward and backward, each (n, 2, H, W) float32 in pixels, on the host."""


class FlowEstimator:
    """Raw flows of pairs of neighbouring frames.

    Blocks of `block` pairs lie on a grid, so that each pair is computed in the same company wherever a span starts.
    Holds the flows that are to be read again, and the features of one frame; while it computes, those of a block.
    """

    def __init__(self, context: ChainContext, iterations: int, block: int) -> None:
        self._context, self._iterations, self._block = context, iterations, block
        self._next = 0
        self._again: dict[int, tuple[Tensor, Tensor]] = {}
        self._last: tuple[int, Features] | None = None

    def __len__(self) -> int:
        """How many flows are held, to be read again."""
        return len(self._again)

    def read(self, pairs: Span, keep: int) -> "Flows":
        """The flows of `pairs`, in new tensors; those from `keep` on will be read again, none before them."""
        import torch

        height, width = self._context.cache.frame(pairs.start).shape[:2]
        both = torch.empty(2, len(pairs), 2, height, width)

        def take(index: int, flows: "tuple[Tensor, Tensor]") -> None:
            if pairs.start <= index < pairs.stop:
                for to, flow in zip(both, flows, strict=True):
                    to[index - pairs.start] = flow

        for index, flows in self._again.items():
            take(index, flows)
        self._next = max(self._next, pairs.start // self._block * self._block)
        while self._next < pairs.stop:
            self._context.check_interrupt()
            stop = min(self._context.schedule.flows, self._next + self._block)
            found = self._context.ladder.run(partial(self._estimated, stop))
            for index, onward, back in zip(range(self._next, stop), *found, strict=True):
                take(index, (onward, back))
                if index >= keep:
                    self._again[index] = onward.clone(), back.clone()
            self._next = stop
        self._again = {index: flows for index, flows in self._again.items() if index >= keep}
        return both[0], both[1]

    def _estimated(self, stop: int, effort: Effort) -> "Flows":
        """The flows of the next pairs up to `stop`, as many at once as the effort says."""
        import torch

        features = [self._features(i) for i in range(self._next, stop + 1)]
        found = []
        for begin in range(0, len(features) - 1, effort.batch):
            some = features[begin : begin + effort.batch + 1]
            with computing():
                flows = self._context.networks.raft.flows(
                    _joined(some[:-1]),
                    _joined(some[1:]),
                    self._iterations,
                    on_demand=effort.tile_px is not None,
                )
            found.append([flow.cpu() for flow in flows])
        self._last = stop, features[-1]
        onward, back = zip(*found, strict=True)
        return torch.cat(onward), torch.cat(back)

    def _features(self, index: int) -> "Features":
        import torch

        from pipelines.nets.propainter.image_propagation import codes_of, colours_of

        if self._last and self._last[0] == index:
            return self._last[1]
        networks = self._context.networks
        image = colours_of(codes_of(torch.from_numpy(self._context.cache.frame(index))))
        with computing():
            return networks.raft.features(image[None].to(networks.device))


def _joined(features: "list[Features]") -> "Features":
    import torch

    if len(features) == 1:
        return features[0]
    parts = zip(*((each.fmap, each.net, each.inp) for each in features), strict=True)
    return type(features[0])(*(torch.cat(part) for part in parts))


@dataclass(frozen=True)
class Link:
    """What is kept of the completed flows between a frame and the next, on the host."""

    quarter: "Tensor"
    """(2, 2, H/4, W/4): forward and backward, for the painter."""
    onward: "Passage"
    """From the frame's hole into the next frame."""
    back: "Passage"
    """From the next frame's hole into the frame."""


class CompletedFlows:
    """Links between neighbouring frames, from completed flows.

    `flow_mask` marks where flows are not known, in all frames, where that is not just what is filled. Holds links, and
    the raw flows of a chunk while it is completed.
    """

    def __init__(
        self, context: ChainContext, estimator: FlowEstimator, first_chunk: int, flow_mask: Mask | None = None
    ) -> None:
        self._context, self._estimator, self._flow_mask = context, estimator, flow_mask
        self._number = first_chunk
        chunk = context.schedule.flow_chunk(first_chunk)
        self._first = chunk.read.start if chunk else 0
        self._links: dict[int, Link] = {}

    def __len__(self) -> int:
        """How many links are held."""
        return len(self._links)

    @property
    def oldest(self) -> int:
        """The first frame that the next chunk looks at; the number of frames where there is none."""
        chunk = self._context.schedule.flow_chunk(self._number)
        if chunk is None:
            return self._context.schedule.frames
        return min(chunk.read.start, self._context.schedule.near(chunk.kept).start)

    def link(self, index: int) -> Link:
        """The link between frame `index` and the next."""
        return self._links[index]

    def drop_before(self, index: int) -> None:
        """Let go of links before `index`."""
        for each in [i for i in self._links if i < index]:
            del self._links[each]

    def advance(self, stop: int) -> None:
        """Complete chunks until there are all links before `stop` that are needed."""
        while (chunk := self._context.schedule.flow_chunk(self._number)) and chunk.kept.start < stop:
            self._number += 1
            if self._is_needed(chunk):
                self._complete(chunk)

    def _is_needed(self, chunk: Chunk) -> bool:
        """Whether any window that uses the flows has a hole; what lies before the first chunk is not asked for."""
        near = self._context.schedule.near(chunk.kept)
        return self._context.cache.any_masked(range(max(self._first, near.start), near.stop))

    def _complete(self, chunk: Chunk) -> None:
        context, following = self._context, self._context.schedule.flow_chunk(self._number)
        keep = following.read.start if following else context.schedule.flows
        onward, back = self._estimator.read(chunk.read, keep)
        masks = self._masks(chunk.read)
        context.check_interrupt()

        def complete(effort: Effort) -> None:
            # In place, and none the worse when it is done again: the network looks at known flows alone, which stay.
            with computing():
                network = context.networks.completion(effort.precision)
                network.complete(onward, back, masks, out=(onward, back))

        context.ladder.run(complete)
        for index in range(chunk.kept.start, chunk.kept.stop):
            place = index - chunk.read.start
            self._links[index] = self._linked(index, onward[place], back[place])

    def _masks(self, pairs: Span) -> "Tensor":
        """Where the flows of `pairs` are not known: (n + 1, 1, H, W) float32."""
        import torch

        frames = range(pairs.start, pairs.stop + 1)
        if self._flow_mask is not None:
            return torch.from_numpy(self._flow_mask)[None, None].float().expand(len(frames), -1, -1, -1)
        height, width = self._context.cache.frame(pairs.start).shape[:2]
        masks = torch.empty(len(frames), 1, height, width)
        for mask, index in zip(masks, frames, strict=True):
            mask[0] = torch.from_numpy(self._context.cache.mask(index))
        return masks

    def _linked(self, index: int, onward: "Tensor", back: "Tensor") -> Link:
        import torch

        from pipelines.nets.propainter.generator import quarter_flows
        from pipelines.nets.propainter.image_propagation import passage

        here, there = (torch.from_numpy(self._context.cache.hole_indices(i)) for i in (index, index + 1))
        with computing():
            quarter = quarter_flows(torch.stack([onward, back]))
            return Link(quarter, passage(onward, back, here), passage(back, onward, there))
