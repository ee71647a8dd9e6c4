"""Twice the size, bilinear with aligned corners, also of a part of a picture as if the rest were there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.winograd import Conv2d


@dataclass(frozen=True, slots=True)
class Part:
    """Rows [top, bottom) and columns [left, right) of a picture of height x width."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> "Part":
        """All of it."""
        return cls(0, height, 0, width, height, width)

    @property
    def all(self) -> bool:
        """Whether it is the whole picture."""
        return self == Part.whole(self.height, self.width)

    def scaled(self, factor: int) -> "Part":
        """The same part of a picture so many times as large."""
        sides = (self.top, self.bottom, self.left, self.right, self.height, self.width)
        return Part(*(factor * side for side in sides))

    def grown(self, by: int) -> "Part":
        """With a margin, where there is room."""
        top, bottom = max(0, self.top - by), min(self.height, self.bottom + by)
        left, right = max(0, self.left - by), min(self.width, self.right + by)
        return Part(top, bottom, left, right, self.height, self.width)

    def bands(self, positions: int, least: int) -> Iterator["Part"]:
        """Itself from top to bottom, in bands of about so many positions, and of at least so many rows."""
        rows = max(least, positions // (self.right - self.left))
        for top in range(self.top, self.bottom, rows):
            yield replace(self, top=top, bottom=min(self.bottom, top + rows))

    def of(self, picture: Tensor) -> Tensor:
        """This part of (..., height, width), a view."""
        return picture[..., self.top : self.bottom, self.left : self.right]


def enlarge(x: Tensor, part: Part) -> Tensor:
    """(n, c, h, w), a part of a larger picture, at twice the size: (n, c, 2h, 2w).

    Values near an inner border lack what lies beyond it: three rows or columns of the result are not to be used.
    """
    if part.all:
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    frames, channels, height, width = x.shape
    y, down = _between(part.top, part.bottom, part.height, x)
    x_, across = _between(part.left, part.right, part.width, x)
    picture = torch.arange(frames, device=x.device).view(-1, 1, 1, 1, 1) * (height * width)
    # Four corners each: indices (n, 2h, 2w, 2, 2) of rows and columns, and the products of their shares.
    corners = picture + y[:, None, :, None] * width + x_[:, None, :]
    shares = (down[:, None, :, None] * across[:, None, :]).expand(frames, -1, -1, -1, -1)
    table = x.permute(0, 2, 3, 1).reshape(-1, channels)
    values = functional.embedding_bag(
        corners.reshape(-1, 4), table, mode="sum", per_sample_weights=shares.reshape(-1, 4).to(x.dtype)
    )
    return values.view(frames, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _between(start: int, stop: int, whole: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """For each of the new positions [2 start, 2 stop): two old ones (2n, 2) counted from start, and their shares."""
    at = torch.arange(2 * start, 2 * stop, device=like.device, dtype=torch.float32) * (
        (whole - 1) / (2 * whole - 1)
    )
    before = at.floor()
    share = at - before
    old = torch.stack((before, before + 1), 1).long() - start
    return old.clamp_(0, stop - start - 1), torch.stack((1 - share, share), 1)


class Enlarged(nn.Module):
    """Twice the size, then a 3x3 convolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = Conv2d(inside, outside, 3)

    def forward(self, x: Tensor, part: Part | None = None) -> Tensor:
        """(n, inside, h, w), by default whole pictures, -> (n, outside, 2h, 2w)."""
        result: Tensor = self.conv(enlarge(x, part or Part.whole(x.shape[2], x.shape[3])))
        return result
