"""ProPainter's feature propagation along completed flows between local frames (ICCV 2023, section 3.2)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pipelines.nets.kernels.deform_conv import WIDTH, Alignment
from pipelines.nets.kernels.warp import agree, warp
from pipelines.nets.kernels.winograd import Conv2d

MAX_OFFSET_PX = 3.0
"""Limit of an alignment's offsets beyond the flow, in pixels at a quarter of the size, as published."""
MASKS, FLOW_CHANNELS = 2, 2 + 1
"""Channels: the hole and the still unknown pixels; the flow and its consistency."""


def _refinement() -> nn.Sequential:
    return nn.Sequential(
        Conv2d(2 * WIDTH + MASKS, WIDTH, 3), nn.LeakyReLU(0.2, inplace=True), Conv2d(WIDTH, WIDTH, 3)
    )


class FeaturePropagation(nn.Module):
    """A backward pass from the last frame to the first, a forward pass over its result, and their fusion."""

    def __init__(self) -> None:
        super().__init__()
        names = ("backward_1", "forward_1")
        condition = 2 * WIDTH + FLOW_CHANNELS + MASKS
        self.deform_align = nn.ModuleDict(
            {name: Alignment(WIDTH, condition, MAX_OFFSET_PX) for name in names}
        )
        self.backbone = nn.ModuleDict({name: _refinement() for name in names})
        self.fuse = _refinement()

    def forward(self, features: Tensor, masks: Tensor, forward: Tensor, backward: Tensor) -> list[Tensor]:
        """Propagate the features of local frames to each other.

        Args:
            features: (l, 128, h, w) of consecutive frames.
            masks: (l, 2, h, w): the hole, and the pixels that are still unknown.
            forward: (l - 1, 2, h, w) flows in pixels of this size.
            backward: the same, backward.

        Returns:
            l times (1, 128, h, w). Holds two more sets of features.
        """
        frames = list(torch.split(features, 1))
        regions = list(torch.split(masks.to(features.dtype), 1))
        order = range(len(frames))
        ahead, behind = _with_consistency(forward, backward), _with_consistency(backward, forward)
        returned = self._carried(
            "backward_1", ((frames[i], regions[i], ahead[i : i + 1]) for i in order[::-1])
        )
        returned.reverse()
        carried = self._carried(
            "forward_1", ((returned[i], regions[i], behind[i - 1 : i] if i else behind[:0]) for i in order)
        )
        triples = zip(frames, zip(returned, carried, regions, strict=True), strict=True)
        return [self.fuse(torch.cat(triple, 1)).add_(frame) for frame, triple in triples]

    def _carried(self, name: str, visits: Iterable[tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
        """Propagate in the order of `visits`: feature, masks, and the flow (3 channels) to the frame visited before."""
        align, refine = self.deform_align[name], self.backbone[name]
        results: list[Tensor] = []
        for here, mask, flow_channels in visits:
            aligned = here
            if results:
                flow = flow_channels[:, :2]
                moved = warp(results[-1], flow)
                condition = torch.cat((here, moved, flow_channels.to(here.dtype), mask), 1)
                aligned = align(results[-1], condition, flow)
            results.append(aligned + refine(torch.cat((here, aligned, mask), 1)))
        return results


def _with_consistency(there: Tensor, back: Tensor) -> Tensor:
    """Return the flow and its forward-backward consistency, (n, 3, h, w)."""
    return torch.cat((there, agree(there, back)), 1)
