"""Image propagation: holes filled with pixels of neighbouring frames along completed flows, without a network.

Everything is computed for the pixels of a hole alone: `places`, indices (k,) into the H * W pixels of a frame. A colour
is stored as a code, its 8 bits plus one, so that 0 means "no colour": copies stay exact, and samples from outside the
frame have no colour. After ProPainter (Zhou et al., ICCV 2023), section 3.2, and its published inference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.nets.kernels.warp import Mode, consistent, sample

_MAX_UNKNOWN = 0.1
"""A bilinear sample with a larger share of unknown neighbours counts as unknown, as published."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Flow from the k pixels of a frame's hole to a neighbouring frame."""

    flow: Tensor
    """(2, k) float32, x before y, in pixels."""
    agrees: Tensor
    """(k,) bool: whether the flow back from there is consistent with it."""


@dataclass(frozen=True, slots=True)
class HoleState:
    """State of the propagation for the k pixels of a hole."""

    codes: Tensor
    """(3, k) int16: colour plus one, or 0 for no colour."""
    unknown: Tensor
    """(k,) bool: no frame has shown this pixel so far."""


def passage(there: Tensor, back: Tensor, places: Tensor) -> Passage:
    """Return the flow `there` at `places` and whether `back` is consistent with it; both flows (2, H, W) float32."""
    flow = there.flatten(1)[:, places]
    returned = _sampled(back, flow, places, "bilinear")
    return Passage(flow, consistent(flow, returned, dim=0))


def codes_of(frame: Tensor, places: Tensor | None = None, update: HoleState | None = None) -> Tensor:
    """Return the codes (3, H, W) float32 of a frame (H, W, 3) uint8, with those of `update` in its hole at `places`."""
    codes = frame.permute(2, 0, 1).float().add_(1)
    if places is not None and update is not None:
        codes.flatten(1)[:, places] = update.codes.float()
    return codes


def unknown_of(frame: Tensor, places: Tensor | None = None, update: HoleState | None = None) -> Tensor:
    """Return a mask (1, H, W) float32, 1.0 where a pixel of the frame (H, W, 3) is still unknown."""
    unknown = torch.zeros(1, *frame.shape[:2])
    if places is not None and update is not None:
        unknown.flatten(1)[:, places] = update.unknown.float()
    return unknown


def nothing(places: Tensor) -> HoleState:
    """Return the state of a hole before any propagation: no colours, all pixels unknown."""
    count = len(places)
    return HoleState(
        places.new_zeros((3, count), dtype=torch.int16), places.new_ones(count, dtype=torch.bool)
    )


def propagate(hole: HoleState, places: Tensor, way: Passage, codes: Tensor, unknown: Tensor) -> HoleState:
    """Return `hole` after one step: its unknown pixels take the colours that the neighbour along `way` shows.

    `codes` (3, H, W) and `unknown` (1, H, W) are those of the neighbour after its own step.
    """
    colours = _sampled(codes, way.flow, places, "nearest")
    hidden = _sampled(unknown, way.flow, places, "bilinear")[0] > _MAX_UNKNOWN
    shown = way.agrees & ~hidden
    taken = torch.where(hole.unknown & shown, colours.to(torch.int16), hole.codes)
    return HoleState(taken, hole.unknown & ~shown)


def colours_of(codes: Tensor) -> Tensor:
    """Convert codes (3, H, W) float32 to colours in [-1, 1]; no colour becomes 0."""
    return torch.where(codes > 0, codes.sub(1).div(255).mul(2).sub(1), 0.0)


def _sampled(image: Tensor, flow: Tensor, places: Tensor, mode: Mode) -> Tensor:
    """Sample `image` (c, H, W) where `flow` (2, k) points from `places`: (c, k), zero outside."""
    width = image.shape[-1]
    x = (places % width).float() + flow[0]
    y = torch.div(places, width, rounding_mode="floor").float() + flow[1]
    return sample(image[None], x[None, None], y[None, None], mode)[0, :, 0]
