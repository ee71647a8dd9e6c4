"""Modulated deformable convolution (Zhu et al., CVPR 2019), and the alignment layer of ProPainter built on it."""

import importlib
import importlib.util
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memory.compute import compute_device
from memory.units import MIB
from pipelines.nets.kernels.winograd import Conv2d

GROUPS, TAPS = 16, 9
WIDTH = 128
"""Channels of every aligned feature."""
SCRATCH_BYTES = 16 * MIB
"""Limit of the sampled values of a band: near the size of a CPU cache, and independent of the picture."""
DEVICE_SCRATCH_BYTES = 384 * MIB
"""The same elsewhere: in half precision a frame of up to 1280x720 is one band, a call of 14 operations."""


def deform(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve 3x3 with taps displaced by offsets and scaled by modulation; zero outside the picture.

    Args:
        x: (n, c, h, w); offset group g covers the channels g c/16 .. (g + 1) c/16 - 1.
        offsets: (n, h, w, 16, 9, 2) float32 in pixels, y before x; taps row by row.
        modulation: (n, h, w, 16, 9).
        weight: (out, c, 3, 3).
        bias: (out,).

    Returns:
        (n, out, h, w), channels last on the CPU. Beyond the result it holds, on the CPU, `SCRATCH_BYTES` and a copy of
        x; elsewhere `DEVICE_SCRATCH_BYTES` and x in float32; on CUDA, where torchvision's kernel is used if it is
        installed, 9 times x.
    """
    kernel = torchvision_kernel() if compute_device(x.device).has_vision_kernels else None
    if kernel is not None:
        shifts, mask = (t.flatten(3).permute(0, 3, 1, 2).to(x.dtype) for t in (offsets, modulation))
        out: Tensor = kernel(x, shifts.contiguous(), weight, bias, padding=1, mask=mask.contiguous())
        return out
    way = _by_bands if compute_device(x.device).is_host else _by_grid
    return way(x, offsets, modulation, weight, bias)


def _by_grid(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute `deform` with few operations, for devices where starting one costs more than its memory."""
    frames, channels, height, width = x.shape
    groups = x.float().reshape(frames * GROUPS, channels // GROUPS, height, width)
    columns, rows = _places(width, height, x.device)
    offsets, modulation = offsets.permute(0, 3, 1, 2, 4, 5), modulation.permute(0, 3, 1, 2, 4)
    taps = weight.reshape(len(weight), channels, 1, TAPS)
    per_row = frames * channels * width * TAPS * (4 + max(x.element_size(), 4 * GROUPS // channels))
    at_once, results = max(1, DEVICE_SCRATCH_BYTES // per_row), []
    for top in range(0, height, at_once):
        band = slice(top, min(height, top + at_once))
        size = frames, GROUPS, band.stop - top, width, TAPS
        places = x.new_empty(*size, 2, dtype=torch.float32)
        torch.add(columns, offsets[:, :, band, ..., 1], alpha=2 / width, out=places[..., 0])
        torch.add(rows[band, None], offsets[:, :, band, ..., 0], alpha=2 / height, out=places[..., 1])
        values = functional.grid_sample(groups, places.flatten(0, 1).flatten(2, 3), align_corners=False)
        del places
        values = values.reshape(frames, GROUPS, -1, *size[2:]).mul_(modulation[:, :, None, band])
        values = values.view(frames, channels, size[2], -1).to(x.dtype)
        results.append(functional.conv2d(values, taps, bias, stride=(1, TAPS)))
    return results[0] if len(results) == 1 else torch.cat(results, 2)


def _places(width: int, height: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the coordinates of the taps without offsets, (w, 9) and (h, 9).

    They are those of `grid_sample`: the centre of pixel i lies at (2 i + 1) / size - 1.
    """
    tap = torch.arange(TAPS, device=device)
    x, y = (torch.linspace(-1 - 1 / n, 1 - 3 / n, n, device=device)[:, None] for n in (width, height))
    return torch.add(x, tap % 3, alpha=2 / width), torch.add(y, tap // 3, alpha=2 / height)


def _by_bands(x: Tensor, offsets: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute `deform` in bands that stay near the size of a CPU's cache."""
    frames, channels, height, width = x.shape
    # Positions outside are clamped onto a border of zeros.
    padded = functional.pad(x, (1, 2, 1, 2)).permute(0, 2, 3, 1)
    tables = padded.reshape(frames, -1, channels // GROUPS)
    by_tap = weight.view(len(weight), GROUPS, -1, TAPS).permute(1, 3, 2, 0).reshape(-1, len(weight))
    result = x.new_empty(frames, height, width, len(weight))
    per_row = width * GROUPS * TAPS * (8 * 4 + channels // GROUPS * x.element_size())
    rows = max(1, SCRATCH_BYTES // per_row)
    for frame in range(frames):
        for start in range(0, height, rows):
            band = slice(start, min(height, start + rows))
            values = _sampled(
                tables[frame], start, (height, width), offsets[frame, band], modulation[frame, band]
            )
            torch.addmm(bias, values, by_tap, out=result[frame, band].flatten(0, 1))
    return result.permute(0, 3, 1, 2)


def _sampled(table: Tensor, top: int, size: tuple[int, int], offsets: Tensor, modulation: Tensor) -> Tensor:
    """Sample and modulate a band of rows: (rows * w, 16 * 9 * c/16)."""
    height, width = size
    rows, device = len(offsets), table.device
    tap = torch.arange(TAPS, device=device)
    y = torch.arange(top, top + rows, device=device).view(-1, 1, 1, 1) + (tap // 3 - 1) + offsets[..., 0]
    x = torch.arange(width, device=device).view(-1, 1, 1) + (tap % 3 - 1) + offsets[..., 1]
    y, x = y.clamp_(-1, height), x.clamp_(-1, width)
    upper, left = y.floor(), x.floor()
    line = (width + 3) * GROUPS
    corner = (upper.int() + 1) * line + (left.int() + 1) * GROUPS
    corner += torch.arange(GROUPS, device=device, dtype=torch.int32).view(-1, 1)
    corners = torch.tensor((0, GROUPS, line, line + GROUPS), device=device, dtype=torch.int32)
    # Bilinear weights of the four corners, modulation included.
    lower_share = (y - upper) * modulation
    upper_share = modulation - lower_share
    right = x - left
    lower_right, upper_right = lower_share * right, upper_share * right
    shares = (upper_share - upper_right, upper_right, lower_share - lower_right, lower_right)
    values = functional.embedding_bag(
        (corner[..., None] + corners).reshape(-1, 4),
        table,
        mode="sum",
        per_sample_weights=torch.stack(shares, -1).reshape(-1, 4).to(table.dtype),
    )
    return values.view(rows * width, -1)


@cache
def torchvision_kernel() -> Any | None:
    """Return torchvision's deform_conv2d, or None if torchvision is not installed."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    return importlib.import_module("torchvision.ops").deform_conv2d


class Alignment(nn.Module):
    """A deformable convolution whose offsets and modulation are predicted from a condition."""

    def __init__(self, inside: int, condition: int, max_offset_px: float) -> None:
        """Align `inside` channels by at most `max_offset_px` beyond a flow, predicted from `condition` channels."""
        super().__init__()
        self.max_offset_px = max_offset_px
        self.weight = nn.Parameter(torch.empty(WIDTH, inside, 3, 3))
        self.bias = nn.Parameter(torch.empty(WIDTH))
        self.conv_offset = nn.Sequential(
            Conv2d(condition, WIDTH, 3),
            nn.LeakyReLU(0.1, inplace=True),
            Conv2d(WIDTH, WIDTH, 3),
            nn.LeakyReLU(0.1, inplace=True),
            Conv2d(WIDTH, WIDTH, 3),
            nn.LeakyReLU(0.1, inplace=True),
            Conv2d(WIDTH, 3 * GROUPS * TAPS, 3),
        )

    def forward(self, x: Tensor, condition: Tensor, flow: Tensor | None = None) -> Tensor:
        """Align (n, inside, h, w) as (n, 128, h, w).

        Args:
            x: the features to be sampled.
            condition: (n, condition, h, w).
            flow: (n, 2, h, w), x before y, in pixels: added to all offsets.
        """
        predicted = self.conv_offset(condition).permute(0, 2, 3, 1).float()
        offsets, modulation = torch.split(predicted, [2 * GROUPS * TAPS, GROUPS * TAPS], -1)
        offsets = torch.tanh(offsets).mul_(self.max_offset_px).view(*offsets.shape[:3], GROUPS, TAPS, 2)
        if flow is not None:
            offsets += flow.float().flip(1).permute(0, 2, 3, 1)[:, :, :, None, None]
        modulation = torch.sigmoid(modulation).view(*modulation.shape[:3], GROUPS, TAPS)
        return deform(x, offsets, modulation, self.weight, self.bias)
