"""LivePortrait's warping module: where each place of the source portrait goes, and what is hidden, by 21 keypoints.

Coordinates are -1 to 1, x to the right, y down, z into the picture. What depends on the source alone is computed once.
"""

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
GIVEN = (POINTS + 1) * (1 + COMPRESSED)
"""Channels of what the hourglass sees."""
WIDTH = GIVEN + 32
"""Channels of what it gives."""
VARIANCE = 0.01
LEAK = 0.01


@dataclass(frozen=True)
class Source:
    """What the warp of a source portrait needs of it; one portrait, or one for each driving frame."""

    feature: Tensor
    """(B, 32, 16, 64, 64)"""
    points: Tensor
    """(B, 21, 3), float32"""
    compressed: Tensor
    """(B, 4, 16, 64, 64), float32"""
    still: Tensor
    """The compressed feature, not moved, as the network samples it."""
    heat: Tensor
    """(B, 21, 16, 64, 64), float32: a Gaussian around each point."""

    def __getitem__(self, frames: slice) -> Self:
        """The portraits of these frames; one portrait is that of all frames."""
        if len(self.points) == 1:
            return self
        return type(self)(*(getattr(self, field.name)[frames] for field in fields(self)))


class HourglassEncoder(nn.Module):
    """From fine to coarse: pictures are halved, the depth stays."""

    def __init__(self) -> None:
        super().__init__()
        widths = pairwise((GIVEN, 64, 128, 256, 512, 1024))
        convs = (
            Conv(a, b, volume=True, slope=0.0, small=b >= 512, kernels="even", result="right")
            for a, b in widths
        )
        self.down_blocks = nn.ModuleList(ConvNorm(conv) for conv in convs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """All coarser resolutions, the finest first."""
        levels: list[Tensor] = []
        for block in self.down_blocks:
            x = halved(block(x))
            levels.append(x)
        return levels


class HourglassDecoder(ConvNorm):
    """From coarse to fine, each resolution beside what the encoder had there; then one more convolution."""

    def __init__(self) -> None:
        super().__init__(Conv(WIDTH, WIDTH, volume=True, slope=0.0, kernels="even", result="right"))
        widths, skips = pairwise((1024, 512, 256, 128, 64, WIDTH - GIVEN)), (0, 512, 256, 128, 64)
        convs = (
            Conv(a + skip, b, volume=True, enlarge=2, slope=0.0, result="right")
            for (a, b), skip in zip(widths, skips, strict=True)
        )
        self.up_blocks = nn.ModuleList(ConvNorm(conv) for conv in convs)

    def join(self, levels: list[Tensor], room: Tensor) -> None:
        """Put all coarser resolutions before the finest, the last channels of `room`; takes them from the list."""
        x = levels.pop()
        *blocks, last = self.up_blocks
        for block in blocks:
            x = torch.cat([block(x), levels.pop()], dim=1)
        room[:, : WIDTH - GIVEN] = last(x)


class Hourglass(nn.Module):
    """(B, 142, 16, 64, 64), of which it sees the last 110 channels and writes the first 32 -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = HourglassEncoder()
        self.decoder = HourglassDecoder()

    def forward(self, room: Tensor) -> Tensor:
        """There and back."""
        self.decoder.join(self.encoder(room[:, WIDTH - GIVEN :]), room)
        result: Tensor = self.decoder(room)
        return result


class DenseMotion(nn.Module):
    """A displacement of every place of the volume, and how visible every place of the picture is."""

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
        """Where to sample (B, 16, 64, 64, 3), and visibility (B, 1, 64, 64) in 0 to 1; both float32."""
        given = self.hourglass(self.arrange(source, points))
        shares = self.mask(given).float().movedim(1, -1).softmax(dim=-1)
        shifts = source.points - points
        # The identity is moved by no point, and shares add up to 1.
        pulled = shares[..., 1:].flatten(1, 3) @ shifts
        where = identity(points.device) + pulled.view(len(points), *VOLUME, 3)
        return where, torch.sigmoid(self.visible(given))

    def arrange(self, source: Source, points: Tensor) -> Tensor:
        """What the hourglass sees: for each point its heat, and the feature moved with it.

        They are the last 110 channels of (B, 142, 16, 64, 64), channels last: there is room for what comes before them.
        """
        rows = self.room("right", (len(points), POINTS + 1, 1 + COMPRESSED, *VOLUME), points)
        rows[:, 0, 0] = 0
        rows[:, 0, 1:] = source.still
        rows[:, 1:, 0] = heat(points).sub_(source.heat)
        compressed = source.compressed.expand(len(points), *source.compressed.shape[1:])
        for sample, shifts, row in zip(compressed, source.points - points, rows, strict=True):
            for shift, target in zip(shifts, row[1:, 1:], strict=True):
                target.copy_(shifted(sample, shift))
        room = self.room("left", (len(rows), *VOLUME, WIDTH), self.compress.weight).movedim(-1, 1)
        room[:, WIDTH - GIVEN :] = rows.flatten(1, 2)
        return room

    def room(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory for what is computed on the way: on processors scratch, where convolutions have theirs."""
        scratch = self.mask.scratch
        return scratch.take(name, *shape) if scratch else like.new_empty(shape)

    def visible(self, given: Tensor) -> Tensor:
        """The occlusion's convolution (B, 1, 64, 64), float32: its taps as channels, put where they belong."""
        kernel, bias = self.occlusion.weight, cast(Tensor, self.occlusion.bias)
        taps = kernel.view(given.shape[1], VOLUME[0], -1).flip(2).transpose(0, 1)
        maps = taps.new_zeros(len(given), VOLUME[1] * VOLUME[2], taps.shape[-1], dtype=torch.float32)
        for layer, tap in zip(given.movedim(1, -1).flatten(2, 3).unbind(1), taps, strict=True):
            maps += layer @ tap
        return functional.fold(maps.mT, VOLUME[1:], kernel.shape[2:], padding=3) + bias.float()


class WarpingModule(Network):
    """The source portrait's features as they are seen with the driving keypoints."""

    def __init__(self) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion()
        self.third = ConvNorm(Conv(512, 256, slope=LEAK))
        self.fourth = nn.Conv2d(256, 256, 1)

    def source(self, feature: Tensor, points: Tensor) -> Source:
        """What is constant of portraits: features (B, 32, 16, 64, 64) and keypoints (B, 21, 3), float32."""
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
    """`x` (..., H, W), each 2 x 2 pixels as their mean. Torch's own pooling takes a copy where channels are last."""
    total = x[..., ::2, ::2] + x[..., ::2, 1::2]
    return total.add_(x[..., 1::2, ::2]).add_(x[..., 1::2, 1::2]).mul_(0.25)


def axis(length: int, device: torch.device) -> Tensor:
    """The coordinates of an axis; its ends are -1 and 1."""
    return torch.arange(length, device=device) / (length - 1) * 2 - 1


def identity(device: torch.device) -> Tensor:
    """Every place of the volume, (16, 64, 64, 3)."""
    z, y, x = torch.meshgrid(*(axis(length, device) for length in VOLUME), indexing="ij")
    return torch.stack([x, y, z], dim=-1)


def heat(points: Tensor) -> Tensor:
    """A Gaussian around each point (B, 21, 3), as the product of one along each axis: (B, 21, 16, 64, 64)."""
    x, y, z = (
        torch.exp((axis(length, points.device) - at[..., None]) ** 2 / (-2 * VARIANCE))
        for length, at in zip(reversed(VOLUME), points.unbind(-1), strict=True)
    )
    return z[..., :, None, None] * (y[..., :, None] * x[..., None, :])[..., None, :, :]


def shifted(volume: Tensor, shift: Tensor) -> Tensor:
    """`volume` (C, 16, 64, 64), sampled at every place moved by `shift` (3,): interpolated axis by axis, 0 outside.

    Places are those of `identity`, sampled with corners at the outer edges as the network does, so that even no shift
    mixes neighbours.
    """
    x, y, z = (
        interpolation(length, by)
        for length, by in zip(reversed(volume.shape[1:]), shift.unbind(), strict=True)
    )
    return (z @ (y @ (volume @ x.mT)).flatten(2)).view_as(volume)


def interpolation(length: int, shift: Tensor) -> Tensor:
    """The weights (length, length) of the samples of an axis at each of its coordinates, moved by `shift`."""
    at = ((axis(length, shift.device) + shift + 1) * length - 1) / 2
    return (1 - (at[:, None] - torch.arange(length, device=shift.device)).abs()).clamp_(min=0)
