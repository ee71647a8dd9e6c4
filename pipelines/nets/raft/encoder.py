"""RAFT's two encoders of a frame (Teed and Deng, ECCV 2020, section 3.1): an eighth of the size, 256 channels."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipelines.nets.kernels.winograd import Conv2d

OUT = 256


class InstanceNorm(nn.Module):
    """Instance norm of a single frame, by torch's batch norm, which is the faster kernel for channels last."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (1, c, h, w) per channel."""
        return functional.batch_norm(x, None, None, training=True)


def instance_norm(_channels: int) -> nn.Module:
    """Return the norm of the feature encoder; it has no parameters."""
    return InstanceNorm()


class ResidualBlock(nn.Module):
    """A residual block of two 3x3 convolutions; the shortcut is a 1x1 convolution where the size halves."""

    def __init__(self, inside: int, outside: int, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1) if stride > 1 else Conv2d(inside, outside, 3)
        self.norm1 = norm(outside)
        self.conv2 = Conv2d(outside, outside, 3)
        self.norm2 = norm(outside)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inside, outside, 1, stride), norm(outside)) if stride > 1 else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(1, inside, h, w) -> (1, outside, h / stride, w / stride)."""
        y = functional.relu_(self.norm1(self.conv1(x)))
        y = functional.relu_(self.norm2(self.conv2(y)))
        return functional.relu_(y.add_(x if self.downsample is None else self.downsample(x)))


class FeatureEncoder(nn.Module):
    """Encoder of a frame to 256 channels at an eighth of its size."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.norm1 = norm(64)
        self.layer1 = nn.Sequential(ResidualBlock(64, 64, 1, norm), ResidualBlock(64, 64, 1, norm))
        self.layer2 = nn.Sequential(ResidualBlock(64, 96, 2, norm), ResidualBlock(96, 96, 1, norm))
        self.layer3 = nn.Sequential(ResidualBlock(96, 128, 2, norm), ResidualBlock(128, 128, 1, norm))
        self.conv2 = nn.Conv2d(128, OUT, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """(n, 3, H, W) -> (n, 256, H/8, W/8), one frame at a time; holds about 200 bytes per pixel."""
        return torch.cat([self._one(frame) for frame in torch.split(frames, 1)])

    def _one(self, frame: Tensor) -> Tensor:
        x = functional.relu_(self.norm1(self.conv1(frame)))
        features: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(x))))
        return features

    def fold_norms(self) -> None:
        """Merge batch norms into the convolutions before them, once weights are loaded."""
        for module in list(self.modules()):
            if isinstance(module, FeatureEncoder | ResidualBlock):
                _fold(module, "conv1", "norm1")
            if isinstance(module, ResidualBlock):
                _fold(module, "conv2", "norm2")
                if module.downsample is not None:
                    _fold(module.downsample, "0", "1")


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    before, after = module.get_submodule(conv), module.get_submodule(norm)
    if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
        setattr(module, conv, fuse_conv_bn_eval(before, after))
        setattr(module, norm, nn.Identity())
