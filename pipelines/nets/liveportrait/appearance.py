"""LivePortrait's appearance feature extractor: a portrait picture to a volume of features."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.toom_cook import Conv
from pipelines.nets.liveportrait.folding import ConvNorm, Network, affine, merge_norm

CHANNELS, DEPTH = 32, 16


class PreActivationBlock(nn.Module):
    """A residual block of twice norm, ReLU and convolution. The second norm is merged into the first convolution."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm3d(CHANNELS)
        self.conv1 = Conv(CHANNELS, CHANNELS, volume=True, slope=0.0, result_scratch="right")
        self.norm2 = nn.BatchNorm3d(CHANNELS)
        self.conv2 = Conv(CHANNELS, CHANNELS, volume=True)

    def merge(self) -> None:
        """Merge both norms, once."""
        merge_norm(self.conv1, self.norm2)
        scale, shift = (part.view(-1, 1, 1, 1) for part in affine(self.norm1))
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        del self.norm1, self.norm2

    def forward(self, x: Tensor) -> Tensor:
        """(B, 32, 16, 64, 64) -> the same."""
        y = torch.addcmul(self.shift, x, self.scale).relu_()
        result: Tensor = self.conv2(self.conv1(y)).add_(x)
        return result


class AppearanceExtractor(Network):
    """Portraits (B, 3, 256, 256) in 0 to 1 -> features (B, 32, 16, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvNorm(Conv(3, 64, slope=0.0))
        self.down_blocks = nn.ModuleList(
            ConvNorm(Conv(a, b, slope=0.0, result_scratch="right")) for a, b in ((64, 128), (128, 256))
        )
        self.second = nn.Conv2d(256, CHANNELS * DEPTH, 1)
        self.resblocks_3d = nn.Module()
        for i in range(6):
            self.resblocks_3d.add_module(f"3dr{i}", PreActivationBlock())

    def forward(self, image: Tensor) -> Tensor:
        """Return features in float32 whatever the precision of the network."""
        x = self.first(image.to(self.second.weight.dtype).contiguous(memory_format=torch.channels_last))
        for block in self.down_blocks:
            x = functional.avg_pool2d(block(x), 2)
        x = self.second(x).contiguous().unflatten(1, (CHANNELS, DEPTH))
        for block in self.resblocks_3d.children():
            x = block(x)
        features: Tensor = x.float()
        return features
