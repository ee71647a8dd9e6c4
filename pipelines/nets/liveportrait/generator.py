"""LivePortrait's generator: renders warped features as a picture, guided by themselves (SPADE, arXiv:1903.07291).

The warped features are both the input and the guide that modulates every norm. Constants are merged into kernels: the
spectral norm, the 1 of "1 + gamma", and the shortcut's 1 x 1 convolution, which goes into the beta before it.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.row_stream import RowStream
from pipelines.nets.kernels.toom_cook import Conv
from pipelines.nets.liveportrait.folding import Network

WIDTH, GUIDE, HIDDEN = 512, 256, 128
"""Channels of the first blocks, of the guide, and of the layer between guide and modulation, as published."""
SLOPE = 0.2
EPSILON = 1e-5


class SpectralConv(Conv):
    """A 3 x 3 convolution with spectral norm: kernels over the stored estimate of their largest singular value."""

    def __init__(
        self, inputs: int, outputs: int, *, streamed: bool = False, result_scratch: str | None = None
    ) -> None:
        super().__init__(inputs, outputs, streamed=streamed, result_scratch=result_scratch)
        self.weight_orig = self.weight
        del self.weight
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * 9))

    def merge(self) -> None:
        """Apply the spectral norm, once."""
        self.weight = nn.Parameter(divided(self), requires_grad=False)


class Pointwise(nn.Module):
    """The shortcut's 1 x 1 convolution without a bias, with spectral norm."""

    weight_orig: Tensor
    weight_u: Tensor
    weight_v: Tensor
    weight: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs))

    def merge(self) -> None:
        """Apply the spectral norm, once."""
        self.weight = nn.Parameter(divided(self).flatten(1), requires_grad=False)


def divided(conv: nn.Module) -> Tensor:
    """Return the published kernels divided by their largest singular value; frees what it was computed from."""
    weight, u, v = (cast(Tensor, part).detach() for part in (conv.weight_orig, conv.weight_u, conv.weight_v))
    del conv.weight_orig, conv.weight_u, conv.weight_v
    return weight.div_(u @ weight.flatten(1) @ v)


class Modulated(nn.Module):
    """Instance norm modulated by the guide: 1 + gamma and beta come from one convolution."""

    modulation: Conv

    def __init__(self, channels: int, upscale: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(Conv(GUIDE, HIDDEN, upscale=upscale, slope=0.0))
        self.mlp_gamma = Conv(HIDDEN, channels)
        self.mlp_beta = Conv(HIDDEN, channels)

    def join(self, weight: Tensor, bias: Tensor) -> None:
        """Join the kernels of 1 + gamma and those given, which come after them, to one convolution."""
        gamma = self.mlp_gamma
        self.modulation = Conv(HIDDEN, len(gamma.bias) + len(bias))
        self.modulation.weight = nn.Parameter(torch.cat([gamma.weight, weight]), requires_grad=False)
        self.modulation.bias = nn.Parameter(torch.cat([gamma.bias + 1, bias]), requires_grad=False)
        del self.mlp_gamma, self.mlp_beta

    def buffer(self, name: str, shape: tuple[int, ...], *, back: bool = False) -> Tensor | None:
        """Return scratch memory (B, C, H, W), channels last, or None on a GPU, where torch allocates it."""
        if self.modulation.scratch is None:
            return None
        batch, channels, *sides = shape
        return self.modulation.scratch.take(name, batch, *sides, channels, back=back).movedim(-1, 1)

    def pieces(
        self, x: Tensor, guide: Tensor, upscale: int
    ) -> Iterator[tuple[slice, slice, Tensor, Tensor, Tensor]]:
        """Yield samples, rows after upsampling, `x` normed and upsampled, 1 + gamma, and what was joined to it."""
        channels = x.shape[1]
        # Two plain sums: torch's own variance takes five times as long with channels last.
        mean = x.float().mean((2, 3), keepdim=True)
        deviation = torch.sub(x, mean, out=self.buffer("left", x.shape, back=True)).square_()
        scale = torch.rsqrt(deviation.mean((2, 3), keepdim=True) + EPSILON)
        scale, shift = scale.to(x.dtype), (-mean * scale).to(x.dtype)
        shared = cast(Conv, self.mlp_shared[0])
        # After upsampling the hidden layer is large: it is streamed instead of held.
        hidden = shared(guide) if shared.upscale == 1 else shared.stream(guide)
        for part, rows, piece in self.modulation.pieces(hidden):
            small = x[part, :, rows.start // upscale : rows.stop // upscale]
            normed = torch.addcmul(shift[part], small, scale[part])
            if upscale > 1:
                normed = functional.interpolate(normed, scale_factor=upscale)
            yield part, rows, normed, piece[:, :channels], piece[:, channels:]


class Spade(Modulated):
    """A modulated norm and the leaky ReLU after it."""

    def merge(self) -> None:
        """Join gamma and beta to one convolution, once."""
        self.join(self.mlp_beta.weight, self.mlp_beta.bias)

    def forward(self, x: Tensor, guide: Tensor, upscale: int) -> RowStream:
        """(B, C, H, W) -> (B, C, H, W times `upscale`), computed while it is read."""
        batch, channels, height, width = x.shape
        pieces = (
            (part, rows, functional.leaky_relu_(torch.addcmul(beta, normed, gamma, out=normed), SLOPE))
            for part, rows, normed, gamma, beta in self.pieces(x, guide, upscale)
        )
        return RowStream((batch, channels, height * upscale, width * upscale), pieces)


class Shortcut(Modulated):
    """A modulated norm followed by a 1 x 1 convolution, whose effect on beta is merged into beta's kernels."""

    def merge_into(self, after: Tensor) -> None:
        """Merge the 1 x 1 kernels (O, C) after the norm into those of beta, once."""
        weight, bias = self.mlp_beta.weight, self.mlp_beta.bias
        self.join(torch.einsum("oc,cixy->oixy", after, weight), after @ bias)

    def forward(self, x: Tensor, guide: Tensor, upscale: int, after: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W times `upscale`)."""
        batch, _, height, width = x.shape
        size = (batch, len(after), height * upscale, width * upscale)
        out = self.buffer("right", size, back=True)
        if out is None:
            out = x.new_empty(batch, *size[2:], len(after)).movedim(-1, 1)
        for part, rows, normed, gamma, beta in self.pieces(x, guide, upscale):
            straight = functional.linear(normed.mul_(gamma).movedim(1, -1), after)
            torch.add(straight.movedim(-1, 1), beta, out=out[part, :, rows])
        return out


class SpadeBlock(nn.Module):
    """A residual block of modulated norms; if the channels change, the shortcut has its own norm and convolution."""

    def __init__(
        self, inputs: int, outputs: int, *, upscale: int = 1, guide_upscale: int = 1, result_scratch: str
    ) -> None:
        """`result_scratch` must differ from the name under which the input lies in scratch."""
        super().__init__()
        middle = min(inputs, outputs)
        self.upscale = upscale
        self.norm_0 = Spade(inputs, guide_upscale)
        # Upsampled pictures are the largest: they are convolved while they are computed.
        self.conv_0 = SpectralConv(inputs, middle, streamed=upscale > 1, result_scratch="right")
        self.norm_1 = Spade(middle, guide_upscale)
        self.conv_1 = SpectralConv(middle, outputs, result_scratch=result_scratch)
        if inputs != outputs:
            self.norm_s = Shortcut(inputs, guide_upscale)
            self.conv_s = Pointwise(inputs, outputs)

    def merge(self) -> None:
        """Merge the shortcut's convolution into its norm, once."""
        if hasattr(self, "conv_s"):
            self.norm_s.merge_into(self.conv_s.weight)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W times `upscale`)."""
        own = hasattr(self, "conv_s")
        shortcut = self.norm_s(x, guide, self.upscale, self.conv_s.weight) if own else x
        normed = self.norm_0(x, guide, self.upscale)
        y = self.conv_0(
            normed
            if self.upscale > 1
            else normed.materialise(self.norm_0.buffer("right", normed.shape, back=True))
        )
        normed = self.norm_1(y, guide, 1)
        # A shortcut with its own convolution lies at the back of "right"; otherwise that memory is free.
        buffer = self.norm_1.buffer("left" if own else "right", normed.shape, back=not own)
        y = normed.materialise(buffer)
        result: Tensor = self.conv_1(y).add_(shortcut)
        return result


class SpadeGenerator(Network):
    """Warped features (B, 256, 64, 64) -> pictures (B, 3, 512, 512) in 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = Conv(GUIDE, WIDTH, result_scratch="odd")
        for i in range(6):
            self.add_module(
                f"G_middle_{i}", SpadeBlock(WIDTH, WIDTH, result_scratch="odd" if i % 2 else "even")
            )
        self.up_0 = SpadeBlock(WIDTH, WIDTH // 2, upscale=2, guide_upscale=2, result_scratch="even")
        self.up_1 = SpadeBlock(WIDTH // 2, WIDTH // 8, upscale=2, guide_upscale=4, result_scratch="odd")
        self.conv_img = nn.Sequential(Conv(WIDTH // 8, 12), nn.PixelShuffle(2))

    def forward(self, guide: Tensor) -> Tensor:
        """Return pictures in float32 whatever the precision of the network."""
        guide = guide.to(self.fc.bias.dtype).contiguous(memory_format=torch.channels_last)
        x = self.fc(guide)
        for i in range(6):
            x = self.get_submodule(f"G_middle_{i}")(x, guide)
        x = self.up_0(x, guide)
        x = self.up_1(x, guide)
        picture: Tensor = self.conv_img(functional.leaky_relu_(x, SLOPE))
        return picture.float().sigmoid_()
