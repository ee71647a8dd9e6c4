"""3 x 3 convolutions in few multiplications and little memory, for processors without tensor units.

A tile of the result is `A [(G w) * (B x)]`: samples are combined by B, kernels by G, multiplied one by one, and
combined again by A (Toom-Cook; for pictures Lavin and Gray 2016, arXiv:1509.09308). Over all channels each product is
one product of matrices, so that a 3 x 3 kernel costs 2.25 multiplications per number instead of 9. After an enlargement
by repetition it costs 9 per *small* pixel, and the enlarged picture is never there.

Sums are taken in another order, so results differ by rounding from direct ones: by about 3e-6 of their spread.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

COLUMNS = 128
"""Tiles that are computed together: fewer make the matrix products slow, more leave the processor's cache."""

BLOCK = 512
"""Channels of the result that are computed together."""

WORTH = 128 * 128
"""Channels in x channels out (x taps of the depth) from which on the transforms cost less than they save."""


@dataclass(frozen=True)
class Scheme:
    """How tiles of the result come from windows of samples, along an axis; float64."""

    samples: Tensor
    """B (products, window)"""
    kernel: Tensor
    """G (products, 3)"""
    results: Tensor
    """A (tile, products)"""

    @classmethod
    def of(cls, *matrices: list[list[float]]) -> Self:
        """The scheme of B, G and A."""
        return cls(*(torch.tensor(matrix, dtype=torch.float64) for matrix in matrices))

    @property
    def step(self) -> int:
        """From one window to the next, in samples; the first begins one sample before the picture."""
        return max(1, self.samples.shape[1] - 2)


def toom_cook(points: tuple[Fraction, ...]) -> Scheme:
    """A tile of `len(points) - 1` numbers by interpolation at `points` and at infinity."""
    tile = len(points) - 1

    def expanded(roots: list[Fraction]) -> list[float]:
        terms = [Fraction(1)]
        for root in roots:
            terms = [a - root * b for a, b in zip([Fraction(0), *terms], [*terms, Fraction(0)], strict=True)]
        return [float(term) for term in terms] + [0.0] * (tile + 2 - len(terms))

    def spread(point: Fraction) -> Fraction:
        value = Fraction(1)
        for other in points:
            value *= point - other if other != point else 1
        return value

    samples = [expanded([q for q in points if q != p]) for p in points] + [expanded(list(points))]
    kernel = [[float(p**k / spread(p)) for k in range(3)] for p in points] + [[0.0, 0.0, 1.0]]
    results = [[float(p**k) for p in points] + [float(k == tile - 1)] for k in range(tile)]
    return Scheme.of(samples, kernel, results)


# Beside its two neighbours, a repeated pixel shows a kernel only its sum.
NEIGHBOURS = [[1.0, -1.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 1.0]]
SUMS = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
LEFT, INNER, RIGHT = [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]

SCHEMES = {
    # These points lose fewer digits than 0, 1, -1, 2, -2.
    1: toom_cook((Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2))),
    2: Scheme.of(NEIGHBOURS, SUMS, [LEFT, RIGHT]),
    4: Scheme.of(NEIGHBOURS, SUMS, [LEFT, INNER, INNER, RIGHT]),
}
"""By how much the picture is enlarged before it is convolved."""


class Scratch:
    """Memory for what is computed on the way, kept from call to call: fresh memory costs more than the sums do.

    A network shares one among its convolutions, so it computes for one thread at a time.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """A float32 array with anything in it; the one that was taken before under `name` is lost."""
        size = math.prod(shape)
        if name not in self._kept or len(self._kept[name]) < size:
            self._kept[name] = torch.empty(size)
        return self._kept[name][:size].view(shape)


class Conv(nn.Module):
    """A 3 x 3 (x 3) convolution, padded by 1 with zeros, of a picture or volume enlarged by repetition.

    Takes (B, C, H, W), or (B, C, D, H, W) where `volume`; gives O channels and H and W times `enlarge` (depth is never
    enlarged), a leaky ReLU of `slope` applied where there is one. Once folded, sides must be multiples of 4 where
    nothing is enlarged, memory is channels last, and the samples of a batch are computed one by one: the batch changes
    no bit.
    """

    weight: Tensor
    bias: Tensor
    taps: Tensor
    """Once folded: (taps of the depth, 9, C, O), the kernels by their taps, or by their products where enlarged."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        volume: bool = False,
        enlarge: int = 1,
        slope: float | None = None,
        small: bool = False,
    ) -> None:
        """A `small` picture has too few tiles to pay for transformed kernels."""
        super().__init__()
        self.volume, self.enlarge, self.slope, self.small = volume, enlarge, slope, small
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *(3,) * (3 if volume else 2)))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.scratch: Scratch | None = None

    def fold(self, scratch: Scratch) -> None:
        """Exchange the kernels for what the scheme wants, where it pays. They stay as large as they were."""
        outputs, inputs = self.weight.shape[:2]
        taps = self.weight.detach().view(outputs, inputs, -1, 9).permute(2, 3, 1, 0)
        if self.enlarge == 1 and (self.small or inputs * outputs * len(taps) < WORTH):
            return
        scheme = SCHEMES[self.enlarge]
        both = torch.kron(scheme.kernel, scheme.kernel)
        if self.enlarge > 1:
            taps = torch.einsum("pk,dkco->dpco", both, taps.double()).float()
        self.register_buffer("taps", taps.contiguous(), persistent=False)
        del self.weight
        self._step, self._tile = scheme.step, len(scheme.results)
        self._b, self._g, self._a = scheme.samples.float(), both.float(), scheme.results.float()
        self.scratch = scratch

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of a batch."""
        if self.scratch is None:
            return self._direct(x)
        *outer, height, width = x.shape[2:]
        out = x.new_empty(len(x), *outer, height * self.enlarge, width * self.enlarge, len(self.bias))
        kernels = self._kernels()
        for sample, result in zip(x.movedim(1, -1), out, strict=True):
            for strip in self._strips(sample):
                self._compute(sample, strip, kernels, result[..., self._rows(strip), :, :])
        return out.movedim(-1, 1)

    def pieces(self, x: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """The convolution piece by piece: of which samples, which rows, and they (b, O, [D,] rows, W').

        Holds one piece, which is lost when the next one is asked for.
        """
        if self.scratch is None:
            yield slice(0, len(x)), slice(0, x.shape[-2] * self.enlarge), self._direct(x)
            return
        *outer, _, width = x.shape[2:]
        kernels = self._kernels()
        for number, sample in enumerate(x.movedim(1, -1)):
            for strip in self._strips(sample):
                rows = self._rows(strip)
                size = (*outer, rows.stop - rows.start, width * self.enlarge)
                out = self.scratch.take("piece", *size, len(self.bias))
                self._compute(sample, strip, kernels, out)
                yield slice(number, number + 1), rows, out.movedim(-1, 0)[None]

    def _direct(self, x: Tensor) -> Tensor:
        if self.enlarge > 1:
            x = functional.interpolate(x, scale_factor=(*(1,) * (x.ndim - 4), self.enlarge, self.enlarge))
        convolve = functional.conv3d if self.volume else functional.conv2d
        x = convolve(x.to(self.weight.dtype), self.weight, self.bias, padding=1)
        return x if self.slope is None else functional.leaky_relu_(x, self.slope)

    def _strips(self, sample: Tensor) -> list[range]:
        """Rows of tiles that are computed together, of a sample ([D,] H, W, C)."""
        height, width = (n // self._step for n in sample.shape[-3:-1])
        rows = max(1, COLUMNS // (width * (len(sample) if self.volume else 1)))
        return [range(top, min(top + rows, height)) for top in range(0, height, rows)]

    def _rows(self, strip: range) -> slice:
        return slice(strip.start * self._tile, strip.stop * self._tile)

    def _kernels(self) -> Tensor:
        """G of the kernels (taps of the depth, products, C, O). Made for each call: they are four times as large."""
        if self.enlarge > 1:
            return self.taps
        out = self._take("kernels", len(self.taps), len(self._g), *self.taps.shape[2:])
        for taps, kernels in zip(self.taps, out, strict=True):
            torch.mm(self._g, taps.flatten(1), out=kernels.flatten(1))
        return out

    def _compute(self, sample: Tensor, strip: range, kernels: Tensor, out: Tensor) -> None:
        """Write the rows of `strip` into `out` ([D,] rows, W', O)."""
        volume, result = (sample, out) if self.volume else (sample[None], out[None])
        samples = self._spread(volume, strip)
        for start in range(0, len(self.bias), BLOCK):
            block = slice(start, start + BLOCK)
            bias, products = (
                self.bias[block],
                self._take("products", *samples.shape[:2], len(self.bias[block])),
            )
            multiply(samples, kernels[..., block], len(volume), products)
            tiles = self._take("tiles", self._tile**2, samples.shape[1], len(bias))
            self._both(self._a, products, tiles)
            tiles = tiles.view(self._tile, self._tile, len(result), len(strip), -1, len(bias))
            tiles = tiles.permute(2, 3, 0, 4, 1, 5)
            torch.add(tiles, bias, out=result[..., block].view(tiles.shape))
        if self.slope is not None:
            functional.leaky_relu_(out, self.slope)

    def _spread(self, volume: Tensor, strip: range) -> Tensor:
        """B of the windows in `strip`, (products, columns, C), columns by depth, row, column."""
        depth, height, width, channels = volume.shape
        products, side = self._b.shape
        top, stop = strip.start * self._step - 1, strip.stop * self._step + 1
        first, last = max(0, top), min(height, stop)
        padded = self._take("padded", depth, stop - top, width + 2, channels).zero_()
        padded[:, first - top : last - top, 1:-1] = volume[:, first:last]
        views = padded.unfold(1, side, self._step).unfold(2, side, self._step).permute(4, 5, 0, 1, 2, 3)
        windows = self._take("windows", *views.shape).copy_(views).view(side * side, -1, channels)
        samples = self._take("samples", products**2, *windows.shape[1:])
        self._both(self._b, windows, samples)
        return samples

    def _both(self, matrix: Tensor, x: Tensor, out: Tensor) -> None:
        """`out` (m * m, N...): `matrix` (m, n) along both axes that the first of `x` (n * n, N...) stands for."""
        rows, columns = matrix.shape
        half = self._take("half", rows, x.numel() // columns)
        torch.mm(matrix, x.reshape(columns, -1), out=half)
        torch.bmm(
            matrix.expand(rows, *matrix.shape), half.view(rows, columns, -1), out=out.view(rows, rows, -1)
        )

    def _take(self, name: str, *shape: int) -> Tensor:
        return cast(Scratch, self.scratch).take(name, *shape)


def multiply(samples: Tensor, kernels: Tensor, depth: int, out: Tensor) -> None:
    """`out` (products, columns, O): `samples` (products, columns, C) times `kernels` (taps, products, C, O).

    Columns go by depth first. The taps are those of an odd kernel along the depth, with nothing around the volume.
    """
    middle, across = len(kernels) // 2, samples.shape[1] // depth
    torch.bmm(samples, kernels[middle], out=out)
    for tap, kernel in enumerate(kernels):
        first, last = max(0, middle - tap), min(depth, depth + middle - tap)
        if tap != middle and first < last:
            taken = slice((first + tap - middle) * across, (last + tap - middle) * across)
            out[:, first * across : last * across].baddbmm_(samples[:, taken], kernel)
