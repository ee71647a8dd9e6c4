"""Flows between neighbouring frames: estimated block by block, completed chunk by chunk.

Little of the completed flows is kept: their quarter size for the painter, and at full size the vectors out of holes.
Chunks that no window with a hole uses are skipped.
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
    """Estimates raw flows between neighbouring frames with RAFT.

    Blocks of `block` pairs lie on a fixed grid, so that each pair is computed in the same batch wherever a span starts.
    Holds flows that will be read again and the features of one frame; while computing, the features of a block.
    """

    def __init__(self, context: ChainContext, iterations: int, block: int) -> None:
        self._context, self._iterations, self._block = context, iterations, block
        self._next = 0
        self._again: dict[int, tuple[Tensor, Tensor]] = {}
        self._last: tuple[int, Features] | None = None

    def __len__(self) -> int:
        """Number of flows held to be read again."""
        return len(self._again)

    def read(self, pairs: Span, keep: int) -> "Flows":
        """Return the flows of `pairs` in new tensors; keep those from `keep` on, which will be read again."""
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
        """Estimate the flows of the next pairs up to `stop`, in batches of the effort's size."""
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
    """What is kept on the host of the completed flows between a frame and the next."""

    quarter: "Tensor"
    """`(2, 2, H/4, W/4)`: forward and backward, for the painter."""
    onward: "Passage"
    """Vectors from the frame's hole into the next frame."""
    back: "Passage"
    """Vectors from the next frame's hole into the frame."""


class CompletedFlows:
    """Completes flows chunk by chunk, and keeps a link between neighbouring frames.

    `flow_mask` marks unknown flows in all frames if they are more than the holes. Holds links, and a chunk's raw flows
    while it is completed.
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
        """Number of links held."""
        return len(self._links)

    @property
    def oldest(self) -> int:
        """First frame that the next chunk reads; the number of frames if there is no next chunk."""
        chunk = self._context.schedule.flow_chunk(self._number)
        if chunk is None:
            return self._context.schedule.frames
        return min(chunk.read.start, self._context.schedule.near(chunk.kept).start)

    def link(self, index: int) -> Link:
        """Return the link between frame `index` and the next."""
        return self._links[index]

    def drop_before(self, index: int) -> None:
        """Drop links before `index`."""
        for each in [i for i in self._links if i < index]:
            del self._links[each]

    def advance(self, stop: int) -> None:
        """Complete chunks until all needed links before `stop` exist."""
        while (chunk := self._context.schedule.flow_chunk(self._number)) and chunk.kept.start < stop:
            self._number += 1
            if self._is_needed(chunk):
                self._complete(chunk)

    def _is_needed(self, chunk: Chunk) -> bool:
        """Whether any window that uses the chunk's flows has a hole; frames before the first chunk are not read."""
        near = self._context.schedule.near(chunk.kept)
        return self._context.cache.any_masked(range(max(self._first, near.start), near.stop))

    def _complete(self, chunk: Chunk) -> None:
        context, following = self._context, self._context.schedule.flow_chunk(self._number)
        keep = following.read.start if following else context.schedule.flows
        onward, back = self._estimator.read(chunk.read, keep)
        masks = self._masks(chunk.read)
        context.check_interrupt()

        def complete(effort: Effort) -> None:
            # In place, and repeatable after a failure: the network reads only known flows, which stay unchanged.
            with computing():
                network = context.networks.completion(effort.precision)
                network.complete(onward, back, masks, out=(onward, back))

        context.ladder.run(complete)
        for index in range(chunk.kept.start, chunk.kept.stop):
            at = index - chunk.read.start
            self._links[index] = self._linked(index, onward[at], back[at])

    def _masks(self, pairs: Span) -> "Tensor":
        """Masks of unknown flows in the frames of `pairs`: `(n + 1, 1, H, W)` float32."""
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
