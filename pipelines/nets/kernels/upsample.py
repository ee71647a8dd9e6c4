"""Bilinear 2x upsampling with aligned corners, also of a region as if it were cut from the upsampled whole picture."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.winograd import Conv2d


@dataclass(frozen=True, slots=True)
class Region:
    """Rows [top, bottom) and columns [left, right) of a picture of height x width pixels."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> "Region":
        """The region that is the whole picture."""
        return cls(0, height, 0, width, height, width)

    @property
    def is_whole(self) -> bool:
        """Whether the region is the whole picture."""
        return self == Region.whole(self.height, self.width)

    def scaled(self, factor: int) -> "Region":
        """The same region of a picture that is `factor` times as large."""
        sides = (self.top, self.bottom, self.left, self.right, self.height, self.width)
        return Region(*(factor * side for side in sides))

    def padded(self, margin: int) -> "Region":
        """The region with a margin on all sides, clipped to the picture."""
        top, bottom = max(0, self.top - margin), min(self.height, self.bottom + margin)
        left, right = max(0, self.left - margin), min(self.width, self.right + margin)
        return Region(top, bottom, left, right, self.height, self.width)

    def bands(self, pixels: int, min_rows: int) -> Iterator["Region"]:
        """The region in bands from the top, of about `pixels` pixels and at least `min_rows` rows (except the last)."""
        rows = max(min_rows, pixels // (self.right - self.left))
        for top in range(self.top, self.bottom, rows):
            yield replace(self, top=top, bottom=min(self.bottom, top + rows))

    def crop(self, picture: Tensor) -> Tensor:
        """This region of (..., height, width), a view."""
        return picture[..., self.top : self.bottom, self.left : self.right]


def upsample(x: Tensor, region: Region) -> Tensor:
    """Upsample (n, c, h, w), a region of a larger picture, to (n, c, 2h, 2w).

    At a border inside the picture, the outermost three rows or columns of the result are invalid: they would depend on
    pixels beyond the region.
    """
    if region.is_whole:
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    frames, channels, height, width = x.shape
    y, down = _neighbours(region.top, region.bottom, region.height, x)
    x_, across = _neighbours(region.left, region.right, region.width, x)
    picture = torch.arange(frames, device=x.device).view(-1, 1, 1, 1, 1) * (height * width)
    # Four corners per pixel: indices (n, 2h, 2w, 2, 2) into the table, and their bilinear weights.
    corners = picture + y[:, None, :, None] * width + x_[:, None, :]
    weights = (down[:, None, :, None] * across[:, None, :]).expand(frames, -1, -1, -1, -1)
    table = x.permute(0, 2, 3, 1).reshape(-1, channels)
    values = functional.embedding_bag(
        corners.reshape(-1, 4), table, mode="sum", per_sample_weights=weights.reshape(-1, 4).to(x.dtype)
    )
    return values.view(frames, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _neighbours(start: int, stop: int, whole: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Input positions (2n, 2), from `start`, around each output position in [2 start, 2 stop), and their weights."""
    at = torch.arange(2 * start, 2 * stop, device=like.device, dtype=torch.float32) * (
        (whole - 1) / (2 * whole - 1)
    )
    before = at.floor()
    weight = at - before
    positions = torch.stack((before, before + 1), 1).long() - start
    return positions.clamp_(0, stop - start - 1), torch.stack((1 - weight, weight), 1)


class Upsample(nn.Module):
    """2x upsampling followed by a 3x3 convolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = Conv2d(inside, outside, 3)

    def forward(self, x: Tensor, region: Region | None = None) -> Tensor:
        """(n, inside, h, w), by default whole pictures -> (n, outside, 2h, 2w)."""
        result: Tensor = self.conv(upsample(x, region or Region.whole(x.shape[2], x.shape[3])))
        return result
