"""Tokens of overlapping 7x7 patches with stride 3, computed by convolutions, so that no patch is stored.

Unfolding followed by a linear layer is a convolution with stride 3; a linear layer followed by folding is a transposed
one. The operations in between (a division, and GELU, which keeps zero at zero) commute with unfolding.
"""

from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.deform_conv import WIDTH
from pipelines.nets.kernels.upsample import Region
from pipelines.nets.kernels.winograd import Conv2d

PATCH, STRIDE, PADDING = 7, 3, 3
"""Of the patches in features, as published."""
TOKEN, INNER = 512, 40
"""Channels of a token, and of the feature map inside a feed-forward layer, as published."""


def _split(features: Tensor, layer: nn.Module) -> Tensor:
    """Apply a linear layer to the patches of (n, c, h, w): (n, out, rows, columns)."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    taps = weight.view(len(weight), -1, PATCH, PATCH)
    return functional.conv2d(features, taps, bias, STRIDE, PADDING)


def _composed(tokens: Tensor, layer: nn.Module) -> Tensor:
    """Apply a linear layer to tokens (n, in, rows, columns) and sum the overlapping patches, padding included."""
    weight = layer.get_parameter("weight").t().reshape(tokens.shape[1], -1, PATCH, PATCH)
    bias = layer.get_parameter("bias").view(1, -1, PATCH, PATCH)
    everywhere = tokens.new_ones(1, 1, *tokens.shape[2:])
    sums = functional.conv_transpose2d(tokens, weight, stride=STRIDE)
    return sums.add_(functional.conv_transpose2d(everywhere, bias, stride=STRIDE))


class SoftSplit(nn.Module):
    """Soft split of features into tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(WIDTH * PATCH**2, TOKEN)

    def forward(self, features: Tensor) -> Tensor:
        """(n, 128, h, w) -> (n, rows, columns, 512)."""
        return _split(features, self.embedding).permute(0, 2, 3, 1)


class SoftComposition(nn.Module):
    """Soft composition of tokens to features."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(TOKEN, WIDTH * PATCH**2)
        self.bias_conv = Conv2d(WIDTH, WIDTH, 3)

    def forward(self, tokens: Tensor, region: Region) -> Tensor:
        """The features in `region`, from tokens (n, rows, columns, 512): (n, 128, h, w).

        At a border inside the picture, the outermost row or column of the result is invalid.
        """
        rows, columns = tokens.shape[1:3]
        first_row, last_row = _tokens_of(region.top, region.bottom, rows)
        first_column, last_column = _tokens_of(region.left, region.right, columns)
        near = tokens[:, first_row:last_row, first_column:last_column].permute(0, 3, 1, 2)
        top, left = region.top + PADDING - STRIDE * first_row, region.left + PADDING - STRIDE * first_column
        sums = _composed(near, self.embedding)[:, :, top:, left:]
        features: Tensor = self.bias_conv(
            sums[:, :, : region.bottom - region.top, : region.right - region.left]
        )
        return features


def _tokens_of(start: int, stop: int, tokens: int) -> tuple[int, int]:
    """Return the range of tokens along an axis whose patches touch features [start, stop)."""
    return max(0, -(-(start - PADDING) // STRIDE)), min(tokens, (stop - 1 + PADDING) // STRIDE + 1)


class FeedForward(nn.Module):
    """Fusion feed-forward layer: between its linear layers, overlapping patches are averaged in a feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Sequential(nn.Linear(TOKEN, INNER * PATCH**2))
        self.fc2 = nn.ModuleDict({"1": nn.Linear(INNER * PATCH**2, TOKEN)})

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(n, rows, columns, 512) -> the same shape; `size` (h, w) is that of the features."""
        height, width = size
        inside = slice(PADDING, PADDING + height), slice(PADDING, PADDING + width)
        sums = _composed(tokens.permute(0, 3, 1, 2), self.fc1[0])[:, :, *inside]
        ones = tokens.new_ones(1, 1, *tokens.shape[1:3])
        patches = functional.conv_transpose2d(ones, ones.new_ones(1, 1, PATCH, PATCH), stride=STRIDE)
        mean = functional.gelu(sums / patches[:, :, *inside])
        return _split(mean, self.fc2["1"]).permute(0, 2, 3, 1)
