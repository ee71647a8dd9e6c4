"""LivePortrait's warping module: dense motion of the source portrait and its occlusion, from 21 keypoints.

Coordinates are -1 to 1, x to the right, y down, z into the picture. Whatever depends on the source alone is computed
once (`WarpingModule.source`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.fourier import WideConv
from pipelines.nets.kernels.toom_cook import Conv
from pipelines.nets.liveportrait.folding import ConvNorm, Network, merge_norm

POINTS = 21
VOLUME = (16, 64, 64)
COMPRESSED = 4
HOURGLASS_IN = (POINTS + 1) * (1 + COMPRESSED)
"""Channels that the hourglass takes: a heat map and a moved feature per keypoint and for the background."""
WIDTH = HOURGLASS_IN + 32
"""Channels that the hourglass returns: its result beside its input."""
VARIANCE = 0.01
"""Of the Gaussian heat maps, as published."""
LEAK = 0.01


@dataclass(frozen=True)
class Source:
    """Everything that warping needs to know about the source; one portrait, or one per driving frame."""

    feature: Tensor
    """(B, 32, 16, 64, 64)"""
    points: Tensor
    """(B, 21, 3), float32"""
    compressed: Tensor
    """(B, 4, 16, 64, 64), float32"""
    still: Tensor
    """The compressed feature sampled at the identity grid, which mixes neighbours as the network does."""
    heat: Tensor
    """(B, 21, 16, 64, 64), float32: a Gaussian around each point."""

    def __getitem__(self, frames: slice) -> Self:
        """The portraits of a range of frames; a single portrait serves all frames."""
        if len(self.points) == 1:
            return self
        return type(self)(*(getattr(self, field.name)[frames] for field in fields(self)))


class HourglassEncoder(nn.Module):
    """Encoder of five levels: height and width are halved, the depth stays."""

    def __init__(self) -> None:
        super().__init__()
        widths = pairwise((HOURGLASS_IN, 64, 128, 256, 512, 1024))
        convs = (
            Conv(
                a, b, volume=True, slope=0.0, per_tap=b >= 512, kernel_scratch="even", result_scratch="right"
            )
            for a, b in widths
        )
        self.down_blocks = nn.ModuleList(ConvNorm(conv) for conv in convs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the five coarser levels, the finest first."""
        levels: list[Tensor] = []
        for block in self.down_blocks:
            x = halved(block(x))
            levels.append(x)
        return levels


class HourglassDecoder(ConvNorm):
    """Decoder with skip connections from the encoder's levels, followed by one more convolution."""

    def __init__(self) -> None:
        super().__init__(
            Conv(WIDTH, WIDTH, volume=True, slope=0.0, kernel_scratch="even", result_scratch="right")
        )
        widths, skips = pairwise((1024, 512, 256, 128, 64, WIDTH - HOURGLASS_IN)), (0, 512, 256, 128, 64)
        convs = (
            Conv(a + skip, b, volume=True, upscale=2, slope=0.0, result_scratch="right")
            for (a, b), skip in zip(widths, skips, strict=True)
        )
        self.up_blocks = nn.ModuleList(ConvNorm(conv) for conv in convs)

    def decode(self, levels: list[Tensor], buffer: Tensor) -> None:
        """Decode `levels`, which it empties, into the first channels of `buffer`; the input is in the last ones."""
        x = levels.pop()
        *blocks, last = self.up_blocks
        for block in blocks:
            x = torch.cat([block(x), levels.pop()], dim=1)
        buffer[:, : WIDTH - HOURGLASS_IN] = last(x)


class Hourglass(nn.Module):
    """Hourglass network over (B, 142, 16, 64, 64): takes the last 110 channels, writes the first 32, convolves all."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = HourglassEncoder()
        self.decoder = HourglassDecoder()

    def forward(self, buffer: Tensor) -> Tensor:
        """(B, 142, 16, 64, 64) -> the same shape; changes `buffer`."""
        self.decoder.decode(self.encoder(buffer[:, WIDTH - HOURGLASS_IN :]), buffer)
        result: Tensor = self.decoder(buffer)
        return result


class DenseMotion(nn.Module):
    """Predictor of a sampling position for every voxel of the volume, and of the visibility of every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.compress = nn.Conv3d(32, COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(COMPRESSED)
        self.hourglass = Hourglass()
        self.mask = WideConv(WIDTH, POINTS + 1)
        self.occlusion = nn.Conv2d(WIDTH * VOLUME[0], 1, 7, padding=3)

    def merge(self) -> None:
        """Merge the norm, once."""
        merge_norm(self.compress, self.norm)
        del self.norm

    def forward(self, source: Source, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return sampling positions (B, 16, 64, 64, 3) and visibility (B, 1, 64, 64) in 0 to 1, both float32."""
        hidden = self.hourglass(self.arrange(source, points))
        shares = self.mask(hidden).float().movedim(1, -1).softmax(dim=-1)
        shifts = source.points - points
        # Shares sum to 1, and the background's (the first) does not move.
        pulled = shares[..., 1:].flatten(1, 3) @ shifts
        where = identity(points.device) + pulled.view(len(points), *VOLUME, 3)
        return where, torch.sigmoid(self.visible(hidden))

    def arrange(self, source: Source, points: Tensor) -> Tensor:
        """Build the hourglass's input: a heat map and the moved feature per keypoint and for the background.

        Returns a buffer (B, 142, 16, 64, 64), channels last: the input is in its last 110 channels, and the hourglass
        writes the first 32.
        """
        rows = self.buffer("right", (len(points), POINTS + 1, 1 + COMPRESSED, *VOLUME), points)
        rows[:, 0, 0] = 0
        rows[:, 0, 1:] = source.still
        rows[:, 1:, 0] = heat(points).sub_(source.heat)
        compressed = source.compressed.expand(len(points), *source.compressed.shape[1:])
        shifts = source.points - points
        if self.mask.scratch is None:
            for row, moved in zip(rows, all_shifted(compressed, shifts), strict=True):
                row[1:, 1:] = moved
        else:
            for sample, each, row in zip(compressed, shifts, rows, strict=True):
                for shift, target in zip(each, row[1:, 1:], strict=True):
                    target.copy_(shifted(sample, shift))
        buffer = self.buffer("left", (len(rows), *VOLUME, WIDTH), self.compress.weight).movedim(-1, 1)
        buffer[:, WIDTH - HOURGLASS_IN :] = rows.flatten(1, 2)
        return buffer

    def buffer(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return uninitialised memory: on the CPU the scratch that convolutions use too."""
        scratch = self.mask.scratch
        return scratch.take(name, *shape) if scratch else like.new_empty(shape)

    def visible(self, hidden: Tensor) -> Tensor:
        """Return occlusion logits (B, 1, 64, 64), float32: taps are multiplied per layer, then shifted and summed."""
        kernel, bias = self.occlusion.weight, cast(Tensor, self.occlusion.bias)
        taps = kernel.view(hidden.shape[1], VOLUME[0], -1).flip(2).transpose(0, 1)
        maps = taps.new_zeros(len(hidden), VOLUME[1] * VOLUME[2], taps.shape[-1], dtype=torch.float32)
        for layer, tap in zip(hidden.movedim(1, -1).flatten(2, 3).unbind(1), taps, strict=True):
            maps += layer @ tap
        return functional.fold(maps.mT, VOLUME[1:], kernel.shape[2:], padding=3) + bias.float()


class WarpingModule(Network):
    """The warping module: moves the source portrait's features to the driving keypoints."""

    def __init__(self) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion()
        self.third = ConvNorm(Conv(512, 256, slope=LEAK))
        self.fourth = nn.Conv2d(256, 256, 1)

    def source(self, feature: Tensor, points: Tensor) -> Source:
        """Precompute portraits from features (B, 32, 16, 64, 64) and keypoints (B, 21, 3), float32."""
        dense = self.dense_motion_network
        compressed = functional.relu_(dense.compress(feature.to(dense.compress.weight.dtype))).float()
        nowhere = points.new_zeros(3)
        still = torch.stack([shifted(sample, nowhere) for sample in compressed])
        return Source(feature, points, compressed, still, heat(points))

    def forward(self, source: Source, points: Tensor) -> Tensor:
        """One or B portraits and keypoints (B, 21, 3), float32 -> (B, 256, 64, 64)."""
        where, visible = self.dense_motion_network(source, points)
        feature = source.feature.float()
        warped = functional.grid_sample(
            feature.expand(len(points), *feature.shape[1:]), where, align_corners=False
        )
        flat = warped.flatten(1, 2).to(self.fourth.weight.dtype)
        x: Tensor = self.fourth(self.third(flat.contiguous(memory_format=torch.channels_last)))
        return x.mul_(visible)


def halved(x: Tensor) -> Tensor:
    """Average 2 x 2 pixels of `x` (..., H, W). Torch's own pooling makes a copy of channels-last input."""
    total = x[..., ::2, ::2] + x[..., ::2, 1::2]
    return total.add_(x[..., 1::2, ::2]).add_(x[..., 1::2, 1::2]).mul_(0.25)


def axis(length: int, device: torch.device) -> Tensor:
    """Return the coordinates of an axis, from -1 to 1."""
    return torch.arange(length, device=device) / (length - 1) * 2 - 1


def identity(device: torch.device) -> Tensor:
    """Return the coordinates of every voxel of the volume, (16, 64, 64, 3)."""
    z, y, x = torch.meshgrid(*(axis(length, device) for length in VOLUME), indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def heat(points: Tensor) -> Tensor:
    """Return a Gaussian around each point (B, 21, 3), a product of one per axis: (B, 21, 16, 64, 64)."""
    x, y, z = (
        torch.exp((axis(length, points.device) - at[..., None]) ** 2 / (-2 * VARIANCE))
        for length, at in zip(reversed(VOLUME), points.unbind(-1), strict=True)
    )
    return z[..., :, None, None] * (y[..., :, None] * x[..., None, :])[..., None, :, :]


def shifted(volume: Tensor, shift: Tensor) -> Tensor:
    """Sample `volume` (C, 16, 64, 64) at every voxel moved by `shift` (3,), interpolated axis by axis, 0 outside.

    Voxels are those of `identity` (ends at -1 and 1), but sampled with corners at the outer edges, as the network does:
    even a shift of zero mixes neighbours.
    """
    x, y, z = (
        interpolation(length, by)
        for length, by in zip(reversed(volume.shape[1:]), shift.unbind(), strict=True)
    )
    return (z @ (y @ (volume @ x.mT)).flatten(2)).view_as(volume)


def all_shifted(volumes: Tensor, shifts: Tensor) -> Iterator[Tensor]:
    """Yield for each of the volumes (B, C, 16, 64, 64) what `shifted` gives for its `shifts` (B, n, 3).

    Yields (n, C, 16, 64, 64) each. Takes few operations, for GPUs, and holds three results.
    """
    ways = zip(reversed(volumes.shape[2:]), shifts.unbind(-1), strict=True)
    for volume, x, y, z in zip(volumes, *(interpolation(length, by) for length, by in ways), strict=True):
        across = torch.bmm(volume.flatten(0, 2).expand(len(x), -1, -1), x.mT)
        down = y[:, None] @ across.view(len(x), -1, *volume.shape[2:])
        deep = z[:, None] @ down.view(len(x), *volume.shape[:2], -1)
        yield deep.view(len(x), *volume.shape)


def interpolation(length: int, shift: Tensor) -> Tensor:
    """Return linear interpolation weights (..., length, length) of an axis: a row per coordinate, moved by `shift`."""
    at = ((axis(length, shift.device) + shift[..., None] + 1) * length - 1) / 2
    return (1 - (at[..., None] - torch.arange(length, device=shift.device)).abs()).clamp_(min=0)
