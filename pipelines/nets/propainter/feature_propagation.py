"""ProPainter's feature propagation: local frames learn from each other along their completed flows (section 3.2)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pipelines.nets.kernels.deform_conv import WIDTH, Alignment
from pipelines.nets.kernels.warp import agree, warp
from pipelines.nets.kernels.winograd import Conv2d

REACH_PX = 3.0
"""How far the offsets of an alignment reach beyond the flow, at a quarter of the size."""
MASKS, HINTS = 2, 2 + 1
"""Channels: hole and what is still unknown; flow and where it can be believed."""


def _refinement() -> nn.Sequential:
    return nn.Sequential(
        Conv2d(2 * WIDTH + MASKS, WIDTH, 3), nn.LeakyReLU(0.2, inplace=True), Conv2d(WIDTH, WIDTH, 3)
    )


class FeaturePropagation(nn.Module):
    """A pass from the last frame to the first, one back over its result, and their fusion."""

    def __init__(self) -> None:
        super().__init__()
        names = ("backward_1", "forward_1")
        condition = 2 * WIDTH + HINTS + MASKS
        self.deform_align = nn.ModuleDict({name: Alignment(WIDTH, condition, REACH_PX) for name in names})
        self.backbone = nn.ModuleDict({name: _refinement() for name in names})
        self.fuse = _refinement()

    def forward(self, features: Tensor, masks: Tensor, forward: Tensor, backward: Tensor) -> list[Tensor]:
        """What each local frame knows after both passes.

        Args:
            features: (l, 128, h, w) of consecutive frames.
            masks: (l, 2, h, w): hole, and what is still unknown.
            forward: (l - 1, 2, h, w) flows at this size, in its pixels.
            backward: the same, backward.

        Returns:
            l times (1, 128, h, w). Holds two more sets of features.
        """
        frames = list(torch.split(features, 1))
        regions = list(torch.split(masks.to(features.dtype), 1))
        order = range(len(frames))
        ahead, behind = _hints(forward, backward), _hints(backward, forward)
        returned = self._carried(
            "backward_1", ((frames[i], regions[i], ahead[i : i + 1]) for i in order[::-1])
        )
        returned.reverse()
        carried = self._carried(
            "forward_1", ((returned[i], regions[i], behind[i - 1 : i] if i else behind[:0]) for i in order)
        )
        triples = zip(frames, zip(returned, carried, regions, strict=True), strict=True)
        return [self.fuse(torch.cat(seen, 1)).add_(frame) for frame, seen in triples]

    def _carried(self, name: str, visits: Iterable[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
        """Walk in the order of `visits`: feature, masks, and hints towards the frame visited before."""
        align, refine = self.deform_align[name], self.backbone[name]
        results: list[Tensor] = []
        for here, mask, hint in visits:
            aligned = here
            if results:
                flow = hint[:, :2]
                moved = warp(results[-1], flow)
                condition = torch.cat((here, moved, hint.to(here.dtype), mask), 1)
                aligned = align(results[-1], condition, flow)
            results.append(aligned + refine(torch.cat((here, aligned, mask), 1)))
        return results


def _hints(there: Tensor, back: Tensor) -> Tensor:
    """(n, 3, h, w): flow, and where it can be believed."""
    return torch.cat((there, agree(there, back)), 1)
