"""ProPainter's frame encoder and decoder: 128 channels at a quarter of the size, one frame at a time."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.deform_conv import WIDTH
from pipelines.nets.kernels.upsample import Region, Upsample
from pipelines.nets.kernels.winograd import Conv2d

BORDER = 5
"""Receptive field of a decoded pixel around its position, in features."""


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 in place, the activation of all of ProPainter's convolutions."""
    return functional.leaky_relu_(x, 0.2)


class FrameEncoder(nn.Module):
    """Encoder of a frame with its hole mask and the mask of the pixels that are still unknown."""

    # Index, input and output channels, groups of each layer; with groups, the output of layer 6 is joined to the input.
    MIXED = ((8, 256, 384, 0), (10, 640, 512, 2), (12, 768, 384, 4), (14, 640, 256, 8), (16, 512, WIDTH, 1))

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "0": nn.Conv2d(5, 64, 3, 2, 1),
            "2": Conv2d(64, 64, 3),
            "4": nn.Conv2d(64, 128, 3, 2, 1),
            "6": Conv2d(128, 256, 3),
        }
        for index, inside, outside, groups in self.MIXED:
            layers[str(index)] = Conv2d(inside, outside, 3, groups=max(1, groups))
        self.layers = nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 5, H, W) -> (n, 128, H/4, W/4); holds about 400 bytes per pixel and frame in float32."""
        for name in ("0", "2", "4", "6"):
            x = leaky(self.layers[name](x))
        first = x
        for index, _, _, groups in self.MIXED:
            x = leaky(self.layers[str(index)](_mixed(first, x, groups) if groups else x))
        return x


def _mixed(first: Tensor, then: Tensor, groups: int) -> Tensor:
    """Interleave the channels of both, so that each group of a convolution gets its share of either."""
    pairs = zip(torch.chunk(first, groups, 1), torch.chunk(then, groups, 1), strict=True)
    return torch.cat([part for pair in pairs for part in pair], 1)


class FrameDecoder(nn.ModuleDict):
    """Decoder of features to pictures, of a whole frame or of a region."""

    def __init__(self) -> None:
        super().__init__(
            {
                "0": Upsample(WIDTH, WIDTH),
                "2": Conv2d(WIDTH, 64, 3),
                "4": Upsample(64, 64),
                "6": Conv2d(64, 3, 3),
            }
        )

    def forward(self, x: Tensor, region: Region) -> Tensor:
        """(n, 128, h, w), a region of the features, -> (n, 3, 4h, 4w) in [-1, 1].

        At a border inside the picture, the outermost 4 * `BORDER` pixels of the result are invalid.
        """
        x = leaky(self["0"](x, region))
        x = leaky(self["2"](x))
        x = leaky(self["4"](x, region.scaled(2)))
        return torch.tanh(self["6"](x))
