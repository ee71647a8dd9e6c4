"""Backward warping, and the forward-backward consistency of flows (ProPainter, Zhou et al., ICCV 2023, section 3.2)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

RELATIVE, ABSOLUTE_PX2 = 0.01, 0.5
"""Tolerance of the consistency check, published: a share of the squared lengths of both flows, plus pixels squared."""

Mode = Literal["bilinear", "nearest"]


def warp(images: Tensor, flows: Tensor, mode: Mode = "bilinear") -> Tensor:
    """Sample images where flows point: output pixel (x, y) is `images` at (x + u, y + v), zero outside.

    Args:
        images: (n, c, h, w) of any floating type.
        flows: (n, 2, h, w), x before y, in pixels of this grid.
        mode: interpolation between pixels.

    Returns:
        (n, c, h, w) in the dtype of `images`. Coordinates are always float32: half precision cannot tell
        neighbouring pixels apart beyond column 2048, nor tenths of pixels long before.
    """
    height, width = flows.shape[-2:]
    x = torch.arange(width, device=flows.device, dtype=torch.float32) + flows[:, 0]
    y = torch.arange(height, device=flows.device, dtype=torch.float32)[:, None] + flows[:, 1]
    return sample(images.float(), x, y, mode).to(images.dtype)


def sample(images: Tensor, x: Tensor, y: Tensor, mode: Mode) -> Tensor:
    """Sample images (n, c, h, w) float32 at pixel coordinates (n, rows, columns): (n, c, rows, columns), zero outside.

    Coordinates are normalised and scaled back, which rounds a coordinate at half a pixel as the published warp does.
    """
    height, width = images.shape[-2:]
    grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), -1)
    return functional.grid_sample(images, grid, mode, "zeros", align_corners=True)


def agree(there: Tensor, back: Tensor) -> Tensor:
    """Forward-backward consistency: 1.0 where `back`, sampled where `there` points, undoes `there`; else 0.0.

    Args:
        there: (n, 2, h, w) flow from this frame to a neighbour.
        back: (n, 2, h, w) flow from the neighbour to this frame.

    Returns:
        (n, 1, h, w) in the dtype of `there`.
    """
    return consistent(there, warp(back, there), dim=1)[:, None].to(there.dtype)


def consistent(there: Tensor, returned: Tensor, dim: int) -> Tensor:
    """Return where flow vectors and those that lead back cancel within the tolerance; x and y are along `dim`."""
    error, length, length_back = (flow.square().sum(dim) for flow in (there + returned, there, returned))
    return error < RELATIVE * (length + length_back) + ABSOLUTE_PX2
