"""Image propagation: filling holes with what neighbouring frames show of them, chunk by chunk."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.inpainting.propainter.context import ChainContext, computing
from pipelines.inpainting.propainter.flows import CompletedFlows
from pipelines.inpainting.propainter.schedule import Chunk

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.nets.propainter.image_propagation import HoleState


class PropagatedHoles:
    """Holes after image propagation. Holds 7 bytes per hole pixel of the frames held."""

    def __init__(self, context: ChainContext, completion: CompletedFlows, first_chunk: int) -> None:
        self._context, self._completion = context, completion
        self._number = first_chunk
        self._updates: dict[int, HoleState] = {}

    def __len__(self) -> int:
        """Number of frames held."""
        return len(self._updates)

    @property
    def oldest(self) -> int:
        """First frame that the next chunk reads; the number of frames if there is no next chunk."""
        chunk = self._context.schedule.image_chunk(self._number)
        return chunk.read.start if chunk else self._context.schedule.frames

    def update(self, index: int) -> "HoleState | None":
        """Return what is known of the hole of frame `index`, whose chunk was computed; None if it has no hole."""
        return self._updates.get(index)

    def drop_before(self, index: int) -> None:
        """Drop frames before `index`."""
        for each in [i for i in self._updates if i < index]:
            del self._updates[each]

    def advance(self, stop: int) -> None:
        """Propagate chunks until all frames before `stop` are done."""
        while (chunk := self._context.schedule.image_chunk(self._number)) and chunk.kept.start < stop:
            self._number += 1
            self._completion.advance(chunk.read.stop - 1)
            if self._context.cache.any_masked(range(chunk.kept.start, chunk.kept.stop)):
                found = self._propagated(chunk)
                kept = range(chunk.kept.start, chunk.kept.stop)
                self._updates |= {index: found[index] for index in kept if index in found}

    def _propagated(self, chunk: Chunk) -> "dict[int, HoleState]":
        """Propagate into each hole of the chunk, first from later frames, then from earlier ones."""
        import torch

        from pipelines.nets.propainter.image_propagation import nothing

        cache, frames = self._context.cache, range(chunk.read.start, chunk.read.stop)
        holes = {i: torch.from_numpy(cache.hole_indices(i)) for i in frames if cache.is_masked(i)}
        known = {i: nothing(indices) for i, indices in holes.items()}
        for order, neighbour in ((reversed(frames), 1), (frames, -1)):
            self._pass(order, neighbour, holes, known)
        return known

    def _pass(
        self, order: Iterable[int], offset: int, holes: "dict[int, Tensor]", known: "dict[int, HoleState]"
    ) -> None:
        """Extend `known` from the neighbour at `offset`, which was visited just before."""
        import torch

        from pipelines.nets.propainter.image_propagation import codes_of, propagate, unknown_of

        cache, first = self._context.cache, True
        for index in order:
            if index in holes and not first:
                other = index + offset
                frame = torch.from_numpy(cache.frame(other))
                passage = (
                    self._completion.link(index).onward if offset > 0 else self._completion.link(other).back
                )
                with computing():
                    codes = codes_of(frame, holes.get(other), known.get(other))
                    unknown = unknown_of(frame, holes.get(other), known.get(other))
                    known[index] = propagate(known[index], holes[index], passage, codes, unknown)
            first = False
