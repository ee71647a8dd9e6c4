"""LivePortrait's motion extractor: keypoints, pose, expression, scale and translation of a portrait (ConvNeXt V2 tiny).

Tensors have channels last throughout (B, H, W, C). Global response normalisation (arXiv:2301.00808) scales each sample
and channel; the factor is applied to the kernels of the linear layer after it instead of to all pixels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.liveportrait.folding import Network

DEPTHS = (3, 3, 9, 3)
WIDTHS = (96, 192, 384, 768)
EPSILON = 1e-6
BINS = 66
HEADS = {"kp": 63, "scale": 1, "pitch": BINS, "yaw": BINS, "roll": BINS, "t": 3, "exp": 63}
"""Outputs of each head; angles are classified into `BINS` bins."""


class ResponseNorm(nn.Module):
    """Scale and shift per channel, as parameters only; `ConvNextBlock` applies them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.empty(1, 1, 1, channels))


class ConvNextBlock(nn.Module):
    """A residual block: a 7 x 7 depthwise convolution, then two linear layers with the response norm between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.grn = ResponseNorm(4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)

    def merge(self) -> None:
        """Merge the response norm's shift into the bias of the second linear layer, once."""
        self.pwconv2.bias.add_(self.pwconv2.weight @ self.grn.beta.flatten())
        del self.grn.beta

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> the same."""
        y = self.dwconv(x.movedim(-1, 1)).movedim(1, -1)
        y = functional.gelu(self.pwconv1(self.norm(y))).flatten(1, 2)
        size = torch.linalg.vector_norm(y.float(), dim=1)
        response = size / (size.mean(dim=1, keepdim=True) + EPSILON)
        factor = (1 + self.grn.gamma.flatten() * response).to(y.dtype)
        kernels = self.pwconv2.weight * factor[:, None]
        y = torch.baddbmm(self.pwconv2.bias, y, kernels.mT)
        return y.view_as(x).add_(x)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W) that is channels last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class MotionNetwork(nn.Module):
    """Portraits (B, 3, 256, 256) in 0 to 1 -> the outputs of each head (B, n), float32."""

    def __init__(self) -> None:
        super().__init__()
        entry = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), ChannelNorm(WIDTHS[0], EPSILON))
        halvings = (
            nn.Sequential(ChannelNorm(a, EPSILON), nn.Conv2d(a, b, 2, stride=2)) for a, b in pairwise(WIDTHS)
        )
        self.downsample_layers = nn.ModuleList([entry, *halvings])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNextBlock(width) for _ in range(depth)))
            for width, depth in zip(WIDTHS, DEPTHS, strict=True)
        )
        self.norm = nn.LayerNorm(WIDTHS[-1], EPSILON)
        for name, numbers in HEADS.items():
            self.add_module(f"fc_{name}", nn.Linear(WIDTHS[-1], numbers))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return the heads' outputs by name."""
        pooled = self.pooled(image)
        return {name: self.get_submodule(f"fc_{name}")(pooled).float() for name in HEADS}

    def pooled(self, image: Tensor) -> Tensor:
        """Return the features that the heads take, (B, 768)."""
        x = image.to(self.norm.weight.dtype).contiguous(memory_format=torch.channels_last)
        for halve, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(halve(x).movedim(1, -1)).movedim(-1, 1)
        pooled: Tensor = self.norm(x.mean((2, 3)))
        return pooled


class MotionExtractor(Network):
    """The network under the name that its published weights have."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = MotionNetwork()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Portraits (B, 3, 256, 256) in 0 to 1 -> the heads' outputs by name."""
        heads: dict[str, Tensor] = self.detector(image)
        return heads
