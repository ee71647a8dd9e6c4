"""LivePortrait's generator: what a warped portrait looks like, drawn under its own guidance (SPADE, arXiv:1903.07291).

The warped features are both what is drawn from and the guide that modulates every norm. Kernels carry what is constant:
the factor of the spectral norm, the 1 of "1 + gamma", and the shortcut's kernel in the beta before it.
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
SLOPE = 0.2
EPSILON = 1e-5


class SpectralConv(Conv):
    """A 3 x 3 convolution whose kernels are divided by their largest singular value, as it was last estimated."""

    def __init__(
        self, inputs: int, outputs: int, *, flowing: bool = False, result: str | None = None
    ) -> None:
        super().__init__(inputs, outputs, flowing=flowing, result=result)
        self.weight_orig = self.weight
        del self.weight
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * 9))

    def merge(self) -> None:
        """Divide, once."""
        self.weight = nn.Parameter(divided(self), requires_grad=False)


class Pointwise(nn.Module):
    """The shortcut's 1 x 1 convolution without a bias, divided likewise."""

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
        """Divide, once."""
        self.weight = nn.Parameter(divided(self).flatten(1), requires_grad=False)


def divided(conv: nn.Module) -> Tensor:
    """The published kernels over their singular value; what it was computed from is let go."""
    weight, u, v = (cast(Tensor, part).detach() for part in (conv.weight_orig, conv.weight_u, conv.weight_v))
    del conv.weight_orig, conv.weight_u, conv.weight_v
    return weight.div_(u @ weight.flatten(1) @ v)


class Modulated(nn.Module):
    """A norm of each sample and channel, and what modulates it by the guide: 1 + gamma and beta in one convolution."""

    modulation: Conv

    def __init__(self, channels: int, enlarge: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(Conv(GUIDE, HIDDEN, enlarge=enlarge, slope=0.0))
        self.mlp_gamma = Conv(HIDDEN, channels)
        self.mlp_beta = Conv(HIDDEN, channels)

    def join(self, weight: Tensor, bias: Tensor) -> None:
        """The kernels of 1 + gamma and, after them, the given ones as one convolution."""
        gamma = self.mlp_gamma
        self.modulation = Conv(HIDDEN, len(gamma.bias) + len(bias))
        self.modulation.weight = nn.Parameter(torch.cat([gamma.weight, weight]), requires_grad=False)
        self.modulation.bias = nn.Parameter(torch.cat([gamma.bias + 1, bias]), requires_grad=False)
        del self.mlp_gamma, self.mlp_beta

    def room(self, name: str, shape: tuple[int, ...], *, back: bool = False) -> Tensor | None:
        """Memory (B, C, H, W), channels last, for what is computed on the way: scratch, or none on cards."""
        if self.modulation.scratch is None:
            return None
        batch, channels, *sides = shape
        return self.modulation.scratch.take(name, batch, *sides, channels, back=back).movedim(-1, 1)

    def pieces(
        self, x: Tensor, guide: Tensor, grow: int
    ) -> Iterator[tuple[slice, slice, Tensor, Tensor, Tensor]]:
        """Of which samples, which rows of the grown picture: `x` normed and grown, 1 + gamma, and what comes after."""
        channels = x.shape[1]
        # Two plain sums: torch's own variance takes five times as long where channels are last.
        mean = x.float().mean((2, 3), keepdim=True)
        apart = torch.sub(x, mean, out=self.room("left", x.shape, back=True)).square_()
        scale = torch.rsqrt(apart.mean((2, 3), keepdim=True) + EPSILON)
        scale, shift = scale.to(x.dtype), (-mean * scale).to(x.dtype)
        shared = cast(Conv, self.mlp_shared[0])
        # Enlarged, they are larger than kernels are, and need no scratch for them.
        hidden = shared(guide) if shared.enlarge == 1 else shared.coming(guide)
        for part, rows, piece in self.modulation.pieces(hidden):
            small = x[part, :, rows.start // grow : rows.stop // grow]
            normed = torch.addcmul(shift[part], small, scale[part])
            if grow > 1:
                normed = functional.interpolate(normed, scale_factor=grow)
            yield part, rows, normed, piece[:, :channels], piece[:, channels:]


class Spade(Modulated):
    """A modulated norm and the leaky ReLU after it."""

    def merge(self) -> None:
        """One convolution for gamma and beta, once."""
        self.join(self.mlp_beta.weight, self.mlp_beta.bias)

    def forward(self, x: Tensor, guide: Tensor, grow: int) -> RowStream:
        """(B, C, H, W) -> (B, C, H, W times `grow`), computed when it is looked at."""
        batch, channels, height, width = x.shape
        pieces = (
            (part, rows, functional.leaky_relu_(torch.addcmul(beta, normed, gamma, out=normed), SLOPE))
            for part, rows, normed, gamma, beta in self.pieces(x, guide, grow)
        )
        return RowStream((batch, channels, height * grow, width * grow), pieces)


class Shortcut(Modulated):
    """A modulated norm and the 1 x 1 convolution after it, of which beta's part is merged into beta's kernels."""

    def merge_into(self, after: Tensor) -> None:
        """Put the kernels after the norm, (O, C), into those of beta, once."""
        weight, bias = self.mlp_beta.weight, self.mlp_beta.bias
        self.join(torch.einsum("oc,cixy->oixy", after, weight), after @ bias)

    def forward(self, x: Tensor, guide: Tensor, grow: int, after: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W times `grow`)."""
        batch, _, height, width = x.shape
        size = (batch, len(after), height * grow, width * grow)
        out = self.room("right", size, back=True)
        if out is None:
            out = x.new_empty(batch, *size[2:], len(after)).movedim(-1, 1)
        for part, rows, normed, gamma, beta in self.pieces(x, guide, grow):
            straight = functional.linear(normed.mul_(gamma).movedim(1, -1), after)
            torch.add(straight.movedim(-1, 1), beta, out=out[part, :, rows])
        return out


class SpadeBlock(nn.Module):
    """A residual block of modulated norms; where channels change, the shortcut has its own norm and convolution."""

    def __init__(self, inputs: int, outputs: int, *, grow: int = 1, guide_grow: int = 1, result: str) -> None:
        """The `result` has another name in scratch than what comes in."""
        super().__init__()
        middle = min(inputs, outputs)
        self.grow = grow
        self.norm_0 = Spade(inputs, guide_grow)
        # Grown pictures are the largest: they are convolved as they come.
        self.conv_0 = SpectralConv(inputs, middle, flowing=grow > 1, result="right")
        self.norm_1 = Spade(middle, guide_grow)
        self.conv_1 = SpectralConv(middle, outputs, result=result)
        if inputs != outputs:
            self.norm_s = Shortcut(inputs, guide_grow)
            self.conv_s = Pointwise(inputs, outputs)

    def merge(self) -> None:
        """Put the shortcut's convolution where it can go, once."""
        if hasattr(self, "conv_s"):
            self.norm_s.merge_into(self.conv_s.weight)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W times `grow`)."""
        own = hasattr(self, "conv_s")
        shortcut = self.norm_s(x, guide, self.grow, self.conv_s.weight) if own else x
        normed = self.norm_0(x, guide, self.grow)
        y = self.conv_0(
            normed if self.grow > 1 else normed.whole(self.norm_0.room("right", normed.shape, back=True))
        )
        normed = self.norm_1(y, guide, 1)
        # The back of "right" is where a shortcut of its own is; without one, that place is free.
        room = self.norm_1.room("left" if own else "right", normed.shape, back=not own)
        y = normed.whole(room)
        result: Tensor = self.conv_1(y).add_(shortcut)
        return result


class SpadeGenerator(Network):
    """Warped features (B, 256, 64, 64) -> pictures (B, 3, 512, 512) in 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = Conv(GUIDE, WIDTH, result="odd")
        for i in range(6):
            self.add_module(f"G_middle_{i}", SpadeBlock(WIDTH, WIDTH, result="odd" if i % 2 else "even"))
        self.up_0 = SpadeBlock(WIDTH, WIDTH // 2, grow=2, guide_grow=2, result="even")
        self.up_1 = SpadeBlock(WIDTH // 2, WIDTH // 8, grow=2, guide_grow=4, result="odd")
        self.conv_img = nn.Sequential(Conv(WIDTH // 8, 12), nn.PixelShuffle(2))

    def forward(self, guide: Tensor) -> Tensor:
        """Float32 whatever the network computes in."""
        guide = guide.to(self.fc.bias.dtype).contiguous(memory_format=torch.channels_last)
        x = self.fc(guide)
        for i in range(6):
            x = self.get_submodule(f"G_middle_{i}")(x, guide)
        x = self.up_0(x, guide)
        x = self.up_1(x, guide)
        picture: Tensor = self.conv_img(functional.leaky_relu_(x, SLOPE))
        return picture.float().sigmoid_()
