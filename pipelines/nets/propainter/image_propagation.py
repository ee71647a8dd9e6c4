"""Image propagation: holes filled with what neighbours show, along completed flows, without a network.

Everything is computed for the pixels of a hole alone: `places`, indices (k,) into the H * W pixels of a frame. A colour
is carried as a code, its 8 bits plus one, so that 0 can stand for "nothing": copies stay exact, and sampling outside a
frame gives nothing. After ProPainter (Zhou et al., ICCV 2023), section 3.2, and its published inference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_RELATIVE, _ABSOLUTE_PX2 = 0.01, 0.5
"""Flows agree where what is left of them is shorter than this share of them, and this."""
_SOME = 0.1
"""Above this share of unknown neighbours a sample counts as unknown."""


@dataclass(frozen=True, slots=True)
class Passage:
    """The way from the hole of a frame into a neighbouring one: k pixels."""

    flow: Tensor
    """(2, k) float32, x before y, in pixels."""
    agrees: Tensor
    """(k,) bool: whether the flow back leads home."""


@dataclass(frozen=True, slots=True)
class HoleState:
    """What propagation knows of the k pixels of a hole."""

    codes: Tensor
    """(3, k) int16: colour plus one, or 0 for nothing."""
    unknown: Tensor
    """(k,) bool: nobody shows this pixel."""


def passage(there: Tensor, back: Tensor, places: Tensor) -> Passage:
    """`there` at `places`, and whether `back` undoes it there; both flows (2, H, W) float32."""
    flow = there.flatten(1)[:, places]
    returned = _sampled(back, flow, places, "bilinear")
    left = (flow + returned).square().sum(0)
    length = flow.square().sum(0) + returned.square().sum(0)
    return Passage(flow, left < _RELATIVE * length + _ABSOLUTE_PX2)


def codes_of(frame: Tensor, places: Tensor | None = None, update: HoleState | None = None) -> Tensor:
    """The codes (3, H, W) float32 of a frame (H, W, 3) uint8; of its hole at `places`, those of `update`."""
    codes = frame.permute(2, 0, 1).float().add_(1)
    if places is not None and update is not None:
        codes.flatten(1)[:, places] = update.codes.float()
    return codes


def unknown_of(frame: Tensor, places: Tensor | None = None, update: HoleState | None = None) -> Tensor:
    """The pixels (1, H, W) float32 of a frame (H, W, 3) that are still unknown: 1.0."""
    unknown = torch.zeros(1, *frame.shape[:2])
    if places is not None and update is not None:
        unknown.flatten(1)[:, places] = update.unknown.float()
    return unknown


def nothing(places: Tensor) -> HoleState:
    """What is known of a hole before anything was propagated."""
    count = len(places)
    return HoleState(
        places.new_zeros((3, count), dtype=torch.int16), places.new_ones(count, dtype=torch.bool)
    )


def propagate(hole: HoleState, places: Tensor, way: Passage, codes: Tensor, unknown: Tensor) -> HoleState:
    """`hole` after one step: what is unknown of it and shown by the neighbour that `way` leads to.

    `codes` (3, H, W) and `unknown` (1, H, W) are the neighbour's, after its own step.
    """
    colours = _sampled(codes, way.flow, places, "nearest")
    hidden = _sampled(unknown, way.flow, places, "bilinear")[0] > _SOME
    shown = way.agrees & ~hidden
    taken = torch.where(hole.unknown & shown, colours.to(torch.int16), hole.codes)
    return HoleState(taken, hole.unknown & ~shown)


def colours_of(codes: Tensor) -> Tensor:
    """Codes (3, H, W) float32 as colours in [-1, 1]; nothing is 0."""
    return torch.where(codes > 0, codes.sub(1).div(255).mul(2).sub(1), 0.0)


def _sampled(image: Tensor, flow: Tensor, places: Tensor, mode: str) -> Tensor:
    """`image` (c, H, W) where `flow` (2, k) points from `places`: (c, k), zero outside.

    Coordinates are normalised and scaled back as the published warp does, since a half rounds differently otherwise.
    """
    height, width = image.shape[-2:]
    x = (places % width).float() + flow[0]
    y = torch.div(places, width, rounding_mode="floor").float() + flow[1]
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    found = functional.grid_sample(
        image[None], grid[None, None], mode=mode, padding_mode="zeros", align_corners=True
    )
    return found[0, :, 0]
