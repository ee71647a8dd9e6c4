"""Painting windows of frames with the generator."""

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memory.ladder import Effort
from pipelines.inpainting.propainter.context import ChainContext, computing
from pipelines.inpainting.propainter.flows import CompletedFlows
from pipelines.inpainting.propainter.propagation import PropagatedHoles
from pipelines.inpainting.propainter.schedule import Window

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.nets.propainter.image_propagation import HoleState


Colours = NDArray[np.uint8]
"""`(k, 3)` uint8: colours of a hole's pixels."""


class WindowPainter:
    """Paints the holes of windows. Holds up to `capacity` encoded frames that later windows use again."""

    def __init__(
        self, context: ChainContext, completion: CompletedFlows, propagation: PropagatedHoles, capacity: int
    ) -> None:
        self._context, self._completion, self._propagation = context, completion, propagation
        self._capacity = capacity
        self._encoded: dict[int, Tensor] = {}
        self.encodings = 0
        """Number of frames encoded so far."""

    def __len__(self) -> int:
        """Number of encoded frames held."""
        return len(self._encoded)

    def paint(self, middle: int) -> dict[int, Colours]:
        """Paint the local frames of the window around `middle`; returns the colours of holes by frame."""
        schedule, cache = self._context.schedule, self._context.cache
        window = schedule.window(middle)
        self._propagation.advance(max(window.frames) + 1)
        self._completion.advance(window.flows.stop)
        local = range(window.local.start, window.local.stop)
        painted: dict[int, Colours] = {}
        if cache.any_masked(local):
            self._context.check_interrupt()
            painted = self._context.ladder.run(lambda effort: self._painted(window, effort))
        again = (index for index in schedule.uses_after(middle) if index in self._encoded)
        self._encoded = {index: self._encoded[index] for index in islice(again, self._capacity)}
        return painted

    def _painted(self, window: Window, effort: Effort) -> dict[int, Colours]:
        import torch

        cache, device = self._context.cache, self._context.networks.device
        local = range(window.local.start, window.local.stop)
        with computing():
            generator = self._context.networks.generator(effort.precision)
            kind = getattr(torch, effort.precision)
            encoded = torch.cat([self._encode(i, effort) for i in window.frames])
            holes, unknown = map(torch.stack, zip(*map(self._masks, local), strict=True))
            onward, back = self._quarters(window)
            frames = generator.paint(
                encoded, holes, unknown, onward.to(device, kind), back.to(device, kind), everywhere=False
            )
            return {
                index: _colours(frame, torch.from_numpy(cache.hole_indices(index)))
                for index, frame in zip(local, frames, strict=True)
                if cache.is_masked(index)
            }

    def _encode(self, index: int, effort: Effort) -> "Tensor":
        """Encode frame `index` to `(1, 128, H/4, W/4)` on its own, so that it is the same in any window."""
        import torch

        from pipelines.nets.propainter.image_propagation import codes_of, colours_of

        kind, networks = getattr(torch, effort.precision), self._context.networks
        if (found := self._encoded.get(index)) is not None:
            return found.to(kind)
        image = colours_of(codes_of(*self._known(index)))
        holes, unknown = self._masks(index)
        inputs = (each[None].to(networks.device, kind) for each in (image, holes, unknown))
        self._encoded[index] = networks.generator(effort.precision).encode(*inputs)
        self.encodings += 1
        return self._encoded[index]

    def _masks(self, index: int) -> "tuple[Tensor, Tensor]":
        """Return the hole of a frame and its still unknown part, each `(1, H, W)` float32."""
        import torch

        from pipelines.nets.propainter.image_propagation import unknown_of

        hole = torch.from_numpy(self._context.cache.mask(index))[None].float()
        return hole, unknown_of(*self._known(index))

    def _known(self, index: int) -> "tuple[Tensor, Tensor | None, HoleState | None]":
        """Return a frame `(H, W, 3)` uint8, the indices of its hole, and what propagation knows of it."""
        import torch

        cache, update = self._context.cache, self._propagation.update(index)
        indices = None if update is None else torch.from_numpy(cache.hole_indices(index))
        return torch.from_numpy(cache.frame(index)), indices, update

    def _quarters(self, window: Window) -> "tuple[Tensor, Tensor]":
        """Return quarter-size flows between the local frames, forward and backward, each `(l - 1, 2, h, w)`."""
        import torch

        height, width = self._context.cache.frame(window.local.start).shape[:2]
        links = [self._completion.link(i).quarter for i in range(window.flows.start, window.flows.stop)]
        both = torch.stack(links, dim=1) if links else torch.empty(2, 0, 2, height // 4, width // 4)
        return both[0], both[1]


def _colours(frame: "Tensor", indices: "Tensor") -> Colours:
    """Convert painted pixels `(3, H, W)` in [-1, 1] at `indices` to uint8; truncated, not rounded, as published."""
    painted = frame.flatten(1)[:, indices.to(frame.device)].float()
    levels = painted.add(1).div(2).mul(255).cpu().byte()
    return levels.T.contiguous().numpy()
