"""What neighbouring frames show of each hole: image propagation, chunk by chunk."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.inpainting.propainter.context import ChainContext, computing
from pipelines.inpainting.propainter.flows import CompletedFlows
from pipelines.inpainting.propainter.schedule import Chunk

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.nets.propainter.image_propagation import HoleState


class PropagatedHoles:
    """What is known of the holes after propagation. Holds 7 bytes for each pixel of a hole, of the frames held."""

    def __init__(self, context: ChainContext, completion: CompletedFlows, first_chunk: int) -> None:
        self._context, self._completion = context, completion
        self._number = first_chunk
        self._updates: dict[int, HoleState] = {}

    def __len__(self) -> int:
        """Of how many frames there is something known."""
        return len(self._updates)

    @property
    def oldest(self) -> int:
        """The first frame that the next chunk looks at; the number of frames where there is none."""
        chunk = self._context.schedule.image_chunk(self._number)
        return chunk.read.start if chunk else self._context.schedule.frames

    def update(self, index: int) -> "HoleState | None":
        """What is known of the hole of frame `index`, whose chunk was computed; None where it has none."""
        return self._updates.get(index)

    def drop_before(self, index: int) -> None:
        """Let go of what is known of frames before `index`."""
        for each in [i for i in self._updates if i < index]:
            del self._updates[each]

    def advance(self, stop: int) -> None:
        """Compute chunks until what is known of all frames before `stop` is there."""
        while (chunk := self._context.schedule.image_chunk(self._number)) and chunk.kept.start < stop:
            self._number += 1
            self._completion.advance(chunk.read.stop - 1)
            if self._context.cache.any_masked(range(chunk.kept.start, chunk.kept.stop)):
                found = self._propagated(chunk)
                kept = range(chunk.kept.start, chunk.kept.stop)
                self._updates |= {index: found[index] for index in kept if index in found}

    def _propagated(self, chunk: Chunk) -> "dict[int, HoleState]":
        """Of each frame of the chunk that has a hole: first from later frames, then from earlier ones."""
        import torch

        from pipelines.nets.propainter.image_propagation import nothing

        cache, frames = self._context.cache, range(chunk.read.start, chunk.read.stop)
        holes = {i: torch.from_numpy(cache.hole_indices(i)) for i in frames if cache.is_masked(i)}
        known = {i: nothing(places) for i, places in holes.items()}
        for order, neighbour in ((reversed(frames), 1), (frames, -1)):
            self._pass(order, neighbour, holes, known)
        return known

    def _pass(
        self, order: Iterable[int], offset: int, holes: "dict[int, Tensor]", known: "dict[int, HoleState]"
    ) -> None:
        """Fill `known` further from the neighbour at `offset`, which was visited just before."""
        import torch

        from pipelines.nets.propainter.image_propagation import codes_of, propagate, unknown_of

        cache, first = self._context.cache, True
        for index in order:
            if index in holes and not first:
                other = index + offset
                frame = torch.from_numpy(cache.frame(other))
                way = self._completion.link(index).onward if offset > 0 else self._completion.link(other).back
                with computing():
                    codes = codes_of(frame, holes.get(other), known.get(other))
                    unknown = unknown_of(frame, holes.get(other), known.get(other))
                    known[index] = propagate(known[index], holes[index], way, codes, unknown)
            first = False
