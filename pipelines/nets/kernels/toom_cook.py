"""3 x 3 convolutions with few multiplications and little memory, for CPUs without tensor units.

Inputs and kernels are transformed, multiplied, and transformed back (see `transforms`). Over all channels each product
is one matrix product, so that a 3 x 3 kernel costs 2.25 multiplications per output instead of 9. After nearest
upsampling it costs 9 per *small* pixel, and the upsampled picture is never materialised.

Sums are taken in another order, so results differ from the direct ones by rounding: by about 3e-6 of their standard
deviation.

`winograd.Conv2d` is the plainer layer, of any size and without scratch memory; this one takes volumes, upsampling,
batches whose samples are computed alike to the bit, and inputs that arrive row by row.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.row_stream import Piece, RowStream
from pipelines.nets.kernels.scratch import Scratch, mapped_zeros
from pipelines.nets.kernels.transforms import Transform, toom_cook

TILES_AT_ONCE = 128
"""Tiles per matrix product: fewer make it slow, more leave the processor's cache."""

OUTPUT_BLOCK = 512
"""Output channels that are computed together: bounds the memory of products and tiles."""

INPUT_BLOCK = 128
"""Input channels that are transformed together: windows overlap, so a copy of them is larger than the input."""

FOLD_BLOCK = 32
"""Input channels whose kernels are transformed together when weights are folded, in float64."""

MIN_CHANNEL_PRODUCT = 128 * 128
"""Input x output channels (x depth taps) from which on the transforms cost less than they save, measured on the CPU."""


# After nearest upsampling all taps that fall on one source pixel act as their sum.
NEIGHBOURS = [[1.0, -1.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 1.0]]
SUMS = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
LEFT, INNER, RIGHT = [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]

SCHEMES = {
    # These points round less than 0, 1, -1, 2, -2.
    1: toom_cook(
        (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2)), taps=3, scale_kernel=True
    ),
    2: Transform.of(NEIGHBOURS, SUMS, [LEFT, RIGHT]),
    4: Transform.of(NEIGHBOURS, SUMS, [LEFT, INNER, INNER, RIGHT]),
}
"""Transforms by the factor of the nearest upsampling before the convolution."""

ONE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
PLAIN = Transform.of(ONE, ONE, [[1.0, 1.0, 1.0]])
"""Tap by tap. Saves no multiplications, but torch's own convolution makes a copy of the kernels in every call."""


class Conv(nn.Module):
    """A 3 x 3 (x 3) convolution, padded by 1 with zeros, of a picture or volume after nearest upsampling.

    Takes (B, C, H, W), or (B, C, D, H, W) for a `volume`; returns O channels with H and W times `upscale` (the depth
    is never upsampled), through a leaky ReLU if there is a `slope`. Once folded, memory is channels last, sides must
    be multiples of 4 unless `upscale` or `per_tap`, and the samples of a batch are computed one by one: results are
    the same to the bit for any batch size.
    """

    weight: Tensor
    bias: Tensor
    taps: Tensor
    """Once folded: the kernels (depth taps, 9, C, O), by tap, or transformed if `upscale` > 1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        volume: bool = False,
        upscale: int = 1,
        slope: float | None = None,
        per_tap: bool = False,
        streamed: bool = False,
        kernel_scratch: str = "left",
        result_scratch: str | None = None,
    ) -> None:
        """Describe the convolution; `per_tap` is for pictures with too few tiles to pay for transformed kernels.

        `kernel_scratch` and `result_scratch` are names of arrays in scratch memory. Transformed kernels lie at the back
        of theirs; those of a `streamed` convolution, whose input is a RowStream that comes from another convolution,
        at its front. Without `result_scratch` the result is new memory.
        """
        super().__init__()
        self.volume, self.upscale, self.slope, self.per_tap = volume, upscale, slope, per_tap
        self._streamed, self._kernel_scratch, self._result_scratch = streamed, kernel_scratch, result_scratch
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *(3,) * (3 if volume else 2)))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.scratch: Scratch | None = None

    def fold(self, scratch: Scratch) -> None:
        """Replace the loaded kernels by those of the faster scheme, if there is one. They take as much memory."""
        outputs, inputs = self.weight.shape[:2]
        taps = self.weight.detach().view(outputs, inputs, -1, 9).permute(2, 3, 1, 0)
        if self.upscale == 1 and inputs * outputs * len(taps) < MIN_CHANNEL_PRODUCT:
            return
        scheme = PLAIN if self.per_tap else SCHEMES[self.upscale]
        both = torch.kron(scheme.kernel, scheme.kernel)
        folded = mapped_zeros(*taps.shape)
        # In blocks, because float64 copies are twice as large.
        for block, out in zip(
            torch.split(taps, FOLD_BLOCK, 2), torch.split(folded, FOLD_BLOCK, 2), strict=True
        ):
            out.copy_(block if self.upscale == 1 else torch.einsum("pk,dkco->dpco", both, block.double()))
        self.register_buffer("taps", folded, persistent=False)
        del self.weight
        # From one window to the next, in input pixels; the first begins one pixel before the picture.
        self._step, self._tile = max(1, scheme.samples.shape[1] - 2), scheme.tile
        self._b, self._g, self._a = scheme.samples.float(), both.float(), scheme.results.float()
        self.scratch = scratch

    def forward(self, x: Tensor | RowStream) -> Tensor:
        """Convolve a batch."""
        if self.scratch is None:
            return self._direct(x)
        shape = (len(x), *self._size(x), len(self.bias))
        out = self._take(self._result_scratch, *shape) if self._result_scratch else torch.empty(shape)
        kernels = self._kernels()
        for number, result in enumerate(out):
            for strip in self._strips(x):
                self._compute(x, number, strip, kernels, result[..., self._rows(strip), :, :])
        return out.movedim(-1, 1)

    def pieces(self, x: Tensor | RowStream) -> Iterator[Piece]:
        """Convolve piece by piece; yields the samples, the rows, and their values (b, O, [D,] rows, W').

        Holds one piece, which the next one overwrites.
        """
        *outer, height, width = self._size(x)
        if self.scratch is None:
            yield slice(0, len(x)), slice(0, height), self._direct(x)
            return
        kernels = self._kernels()
        for number in range(len(x)):
            for strip in self._strips(x):
                rows = self._rows(strip)
                out = self.scratch.take("piece", *outer, rows.stop - rows.start, width, len(self.bias))
                self._compute(x, number, strip, kernels, out)
                yield slice(number, number + 1), rows, out.movedim(-1, 0)[None]

    def stream(self, x: Tensor) -> RowStream:
        """Return the convolution of pictures, computed while it is read."""
        height, width = self._size(x)
        # Copied, because the next piece overwrites this one in scratch while it is still in use.
        pieces = (
            (part, rows, piece if self.scratch is None else piece.clone())
            for part, rows, piece in self.pieces(x)
        )
        return RowStream((len(x), len(self.bias), height, width), pieces)

    def _direct(self, x: Tensor | RowStream) -> Tensor:
        x = x.materialise() if isinstance(x, RowStream) else x
        if self.upscale > 1:
            x = functional.interpolate(x, scale_factor=(*(1,) * (x.ndim - 4), self.upscale, self.upscale))
        convolve = functional.conv3d if self.volume else functional.conv2d
        x = convolve(x.to(self.weight.dtype), self.weight, self.bias, padding=1)
        return x if self.slope is None else functional.leaky_relu_(x, self.slope)

    def _size(self, x: Tensor | RowStream) -> tuple[int, ...]:
        """Size ([D,] H, W) of the result."""
        *outer, height, width = x.shape[2:]
        return *outer, height * self.upscale, width * self.upscale

    def _strips(self, x: Tensor | RowStream) -> list[range]:
        """Ranges of rows of tiles that are computed together."""
        *outer, height, width = x.shape[2:]
        height, width = height // self._step, width // self._step
        rows = max(1, TILES_AT_ONCE // (width * math.prod(outer)))
        return [range(top, min(top + rows, height)) for top in range(0, height, rows)]

    def _rows(self, strip: range) -> slice:
        return slice(strip.start * self._tile, strip.stop * self._tile)

    def _kernels(self) -> Tensor:
        """The transformed kernels (depth taps, products, C, O), made for each call: they are 4 times as large."""
        if self.per_tap or self.upscale > 1:
            return self.taps
        out = cast(Scratch, self.scratch).take(
            self._kernel_scratch, len(self.taps), len(self._g), *self.taps.shape[2:], back=not self._streamed
        )
        for taps, kernels in zip(self.taps, out, strict=True):
            torch.mm(self._g, taps.flatten(1), out=kernels.flatten(1))
        return out

    def _compute(
        self, x: Tensor | RowStream, number: int, strip: range, kernels: Tensor, out: Tensor
    ) -> None:
        """Write the result for the tiles of `strip` of a sample to `out` ([D,] rows, W', O)."""
        result = out if self.volume else out[None]
        samples = self._transformed(x, number, strip)
        for start in range(0, len(self.bias), OUTPUT_BLOCK):
            block = slice(start, start + OUTPUT_BLOCK)
            bias, products = (
                self.bias[block],
                self._take("products", *samples.shape[:2], len(self.bias[block])),
            )
            multiply(samples, kernels[..., block], len(result), products)
            tiles = self._take("tiles", self._tile**2, samples.shape[1], len(bias))
            self._transform(self._a, products, tiles)
            tiles = tiles.view(self._tile, self._tile, len(result), len(strip), -1, len(bias))
            tiles = tiles.permute(2, 3, 0, 4, 1, 5)
            torch.add(tiles, bias, out=result[..., block].view(tiles.shape))
        if self.slope is not None:
            functional.leaky_relu_(out, self.slope)

    def _transformed(self, x: Tensor | RowStream, number: int, strip: range) -> Tensor:
        """The transformed windows in `strip` of a sample: (products, tiles, C), tiles by depth, row, column."""
        channels, *outer, height, width = x.shape[1:]
        products, side = self._b.shape
        top, stop = strip.start * self._step - 1, strip.stop * self._step + 1
        first, last = max(0, top), min(height, stop)
        # Before any scratch is taken here: a stream computes its rows in the same scratch.
        rows = (
            x.rows(number, first, last)
            if isinstance(x, RowStream)
            else [x[number].movedim(0, -1)[..., first:last, :, :]]
        )
        padded = self._take("padded", math.prod(outer), stop - top, width + 2, channels).zero_()
        at = first - top
        for piece in rows:
            padded[:, at : at + piece.shape[-3], 1:-1] = piece
            at += piece.shape[-3]
        views = padded.unfold(1, side, self._step).unfold(2, side, self._step).permute(4, 5, 0, 1, 2, 3)
        samples = self._take("samples", products**2, math.prod(views.shape[2:-1]), channels)
        for start in range(0, channels, INPUT_BLOCK):
            block = views[..., start : start + INPUT_BLOCK]
            windows = self._take("windows", *block.shape).copy_(block).view(side * side, -1, block.shape[-1])
            transformed = self._take("spread", products**2, *windows.shape[1:])
            self._transform(self._b, windows, transformed)
            samples[..., start : start + INPUT_BLOCK] = transformed
        return samples

    def _transform(self, matrix: Tensor, x: Tensor, out: Tensor) -> None:
        """Apply `matrix` (m, n) along both axes of the tiles `x` (n * n, N...); writes `out` (m * m, N...)."""
        rows, columns = matrix.shape
        half = self._take("half", rows, x.numel() // columns)
        torch.mm(matrix, x.reshape(columns, -1), out=half)
        torch.bmm(
            matrix.expand(rows, *matrix.shape), half.view(rows, columns, -1), out=out.view(rows, rows, -1)
        )

    def _take(self, name: str, *shape: int) -> Tensor:
        return cast(Scratch, self.scratch).take(name, *shape)


def multiply(samples: Tensor, kernels: Tensor, depth: int, out: Tensor) -> None:
    """Multiply samples (products, tiles, C) by kernels (depth taps, products, C, O) into `out` (products, tiles, O).

    Tiles are ordered by depth first. The depth kernel is odd; outside the volume is zero.
    """
    middle, across = len(kernels) // 2, samples.shape[1] // depth
    torch.bmm(samples, kernels[middle], out=out)
    for tap, kernel in enumerate(kernels):
        first, last = max(0, middle - tap), min(depth, depth + middle - tap)
        if tap != middle and first < last:
            taken = slice((first + tap - middle) * across, (last + tap - middle) * across)
            out[:, first * across : last * across].baddbmm_(samples[:, taken], kernel)
