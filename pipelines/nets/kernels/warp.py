"""Backward warp, and where two flows agree. After ProPainter (Zhou et al., ICCV 2023), section 3.2."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

RELATIVE, ABSOLUTE_PX2 = 0.01, 0.5
"""How far two flows may miss each other, squared: a share of their squared lengths, and so many pixels squared."""


def warp(images: Tensor, flows: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
    """What lies where the flows point: output pixel (x, y) is `images` at (x + u, y + v), zero outside.

    Args:
        images: (n, c, h, w) of any floating type.
        flows: (n, 2, h, w), x before y, in pixels of this grid.
        mode: how to sample between pixels.

    Returns:
        (n, c, h, w) like `images`. Coordinates are float32 whatever the type of the images: half precision
        cannot tell neighbouring pixels apart beyond column 2048, nor tenths of pixels long before.
    """
    height, width = flows.shape[-2:]
    x = torch.arange(width, device=flows.device, dtype=torch.float32) + flows[:, 0]
    y = torch.arange(height, device=flows.device, dtype=torch.float32)[:, None] + flows[:, 1]
    # Normalised and back rather than sampled directly: a coordinate at half a pixel rounds as published.
    grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
    return functional.grid_sample(images.float(), grid, mode, "zeros", align_corners=True).to(images.dtype)


def agree(there: Tensor, back: Tensor) -> Tensor:
    """1.0 where `back`, read where `there` points, undoes `there`; else 0.0.

    Args:
        there: (n, 2, h, w) flow from this frame to a neighbour.
        back: (n, 2, h, w) flow from the neighbour to this frame.

    Returns:
        (n, 1, h, w) in the dtype of `there`.
    """
    returned = warp(back, there)
    missed = _squared(there + returned)
    return (missed < RELATIVE * (_squared(there) + _squared(returned)) + ABSOLUTE_PX2).to(there.dtype)


def _squared(flows: Tensor) -> Tensor:
    return flows.square().sum(1, keepdim=True)
