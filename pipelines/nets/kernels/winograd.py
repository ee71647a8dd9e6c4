"""Convolutions with fewer multiplications, for the CPU (Winograd 1980; Lavin and Gray, CVPR 2016).

Four outputs of three taps take 12 products directly and 6 with transformed inputs and kernels: in two dimensions a
quarter as many. The transforms cost part of the gain; from about 64 channels on a convolution takes half to three
quarters of the time of the direct kernel. Its error is three to six times that of the direct kernel: 1e-6 to 2e-6 of
the outputs.
"""

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from memory.compute import is_on_host
from pipelines.nets.kernels.transforms import Transform, toom_cook

TILE = 4
"""Outputs of a tile along an axis."""
POINTS = tuple(map(Fraction, (0, 1, -1, 2, -2, 0.5, -0.5)))
"""Interpolation points, those with the smallest rounding errors first; infinity is added to them."""
TILES_AT_ONCE = 128
"""Tiles per matrix product: fewer make it slow, more leave the processor's cache."""
MIN_CHANNELS = 64
"""Channels from which on the transforms cost less than they save, measured on the CPU."""


@cache
def axis(taps: int) -> Transform:
    """The transforms of one axis for so many taps: float64 for the kernel, float32 for what runs in every call."""
    points = POINTS[: TILE + taps - 2] if taps > 1 else ()
    exact = toom_cook(points, taps, scale_kernel=False)
    return replace(exact, samples=exact.samples.float(), results=exact.results.float())


class Winograd:
    """A same-size convolution of stride 1 with transformed kernels, for CPU tensors in float32.

    Holds 4 times the weights for 3x3 taps, 1.6 times for 1x5.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """`weight` (out, in, ky, kx) with odd sides; `bias` (out,)."""
        self.out, channels, *self._taps = weight.shape
        self._bias = torch.zeros(self.out) if bias is None else bias.detach()
        self._y, self._x = axis(self._taps[0]), axis(self._taps[1])
        taps = weight.detach().double().permute(3, 2, 1, 0).flatten(2)
        along_y = torch.matmul(self._y.kernel, taps)
        both = torch.matmul(self._x.kernel, along_y.flatten(1))
        self._weight = both.view(-1, channels, self.out).float()

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h, w), channels last."""
        frames, _, height, width = x.shape
        down, across = -(-height // self._y.tile), -(-width // self._x.tile)
        wide, high = across * self._x.tile + self._taps[1] - 1, down * self._y.tile + self._taps[0] - 1
        left, top = self._taps[1] // 2, self._taps[0] // 2
        around = (left, wide - left - width, top, high - top - height)
        padded = functional.pad(x, around).permute(0, 2, 3, 1).contiguous()
        out = x.new_empty(frames, down, self._y.tile, across, self._x.tile, self.out)
        rows = max(1, TILES_AT_ONCE // across)
        for frame in range(frames):
            for row in range(0, down, rows):
                self._band(padded[frame, row * self._y.tile :], out[frame, row : row + rows])
        whole = out.view(frames, down * self._y.tile, across * self._x.tile, self.out)
        return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)

    def _band(self, padded: Tensor, out: Tensor) -> None:
        """Convolve the top of `padded` (h, w, in) into rows of tiles `out` (down, 4, across, 4, out channels)."""
        down, across, (y, x) = out.shape[0], out.shape[2], (self._y, self._x)
        _, wide, channels = padded.shape
        line = wide * channels
        # Windows overlap: each transform gathers them along its axis by strides.
        lines = padded.as_strided((len(y.samples), down, line), (line, line * y.tile, 1))
        lines = y.samples @ lines.reshape(len(y.samples), -1)
        spans = lines.as_strided(
            (len(x.samples), len(y.samples) * down, across, channels), (channels, line, channels * x.tile, 1)
        )
        inputs = (x.samples @ spans.reshape(len(x.samples), -1)).view(-1, down * across, channels)
        products = x.results @ torch.bmm(inputs, self._weight).view(len(x.samples), -1)
        outputs = torch.matmul(y.results, products.view(x.tile, len(y.samples), -1))
        parts = outputs.view(x.tile, y.tile, down, across, self.out).permute(2, 1, 3, 0, 4)
        torch.add(parts, self._bias, out=out)


class Convolution:
    """A same-size convolution of stride 1 by the faster of both methods for its weights and device."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """`weight` (out, in, ky, kx) with odd sides; `bias` (out,)."""
        self._winograd = Winograd(weight, bias) if is_faster(weight) else None
        self._weight, self._bias = weight, bias
        self._padding = weight.shape[2] // 2, weight.shape[3] // 2

    def __call__(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h, w)."""
        if self._winograd is not None:
            return self._winograd(x)
        return functional.conv2d(x, self._weight, self._bias, padding=self._padding)


def is_faster(weight: Tensor) -> bool:
    """Return whether `Winograd` is faster than the direct kernel for these weights (out, in, ky, kx)."""
    fits = is_on_host(weight.device) and weight.dtype == torch.float32
    return (
        fits and min(weight.shape[:2]) >= MIN_CHANNELS and tuple(weight.shape[2:]) in ((3, 3), (1, 5), (5, 1))
    )


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` of stride 1 with an odd kernel and same-size padding; transformed kernels are made at first use."""

    def __init__(self, inside: int, outside: int, kernel: int | tuple[int, int], *, groups: int = 1) -> None:
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(inside, outside, sides, padding=(sides[0] // 2, sides[1] // 2), groups=groups)
        self._prepared: Convolution | None = None

    def _load_from_state_dict(self, *state: Any) -> None:
        self._prepared = None
        super()._load_from_state_dict(*state)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h, w)."""
        if not is_on_host(x.device) or self.groups > 1 or not is_faster(self.weight):
            return super().forward(x)
        if self._prepared is None:
            self._prepared = Convolution(self.weight, self.bias)
        return self._prepared(x)
