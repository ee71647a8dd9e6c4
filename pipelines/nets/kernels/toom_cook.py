"""3 x 3 convolutions in few multiplications and little memory, for processors without tensor units.

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
from pipelines.nets.kernels.scratch import Scratch, own_memory
from pipelines.nets.kernels.transforms import Transform, toom_cook

COLUMNS = 128
"""Tiles that are computed together: fewer make the matrix products slow, more leave the processor's cache."""

BLOCK = 512
"""Channels of the result that are computed together."""

SOME = 128
"""Channels whose samples are combined together."""

FEW = 32
"""Channels whose kernels are laid out together."""

WORTH = 128 * 128
"""Channels in x channels out (x taps of the depth) from which on the transforms cost less than they save."""


# Beside its two neighbours, a repeated pixel shows a kernel only its sum.
NEIGHBOURS = [[1.0, -1.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 1.0]]
SUMS = [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
LEFT, INNER, RIGHT = [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]

SCHEMES = {
    # These points lose fewer digits than 0, 1, -1, 2, -2.
    1: toom_cook(
        (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2)), taps=3, scale_kernel=True
    ),
    2: Transform.of(NEIGHBOURS, SUMS, [LEFT, RIGHT]),
    4: Transform.of(NEIGHBOURS, SUMS, [LEFT, INNER, INNER, RIGHT]),
}
"""By how much the picture is enlarged before it is convolved."""

ONE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
PLAIN = Transform.of(ONE, ONE, [[1.0, 1.0, 1.0]])
"""Tap by tap. Nothing is saved, but torch's own convolution lays kernels out anew for each call, beside the others."""


class Conv(nn.Module):
    """A 3 x 3 (x 3) convolution, padded by 1 with zeros, of a picture or volume enlarged by repetition.

    Takes (B, C, H, W), or (B, C, D, H, W) where `volume`; gives O channels and H and W times `enlarge` (depth is never
    enlarged), a leaky ReLU of `slope` applied where there is one. Once folded, sides must be multiples of 4 where
    nothing is enlarged nor `small`, memory is channels last, and the samples of a batch are computed one by one: the
    batch changes no bit.
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
        flowing: bool = False,
        kernels: str = "left",
        result: str | None = None,
    ) -> None:
        """A `small` picture has too few tiles to pay for transformed kernels: each tap is one product of matrices.

        Transformed `kernels` are at the back of their name in scratch; those of a `flowing` convolution, of what comes,
        at its front, for what it comes from has its own. A `result` has a name in scratch where it is needed no longer
        when the next one of this name is computed.
        """
        super().__init__()
        self.volume, self.enlarge, self.slope, self.small = volume, enlarge, slope, small
        self._flowing, self._kept, self._result = flowing, kernels, result
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *(3,) * (3 if volume else 2)))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.scratch: Scratch | None = None

    def fold(self, scratch: Scratch) -> None:
        """Exchange the kernels for what the scheme wants, where it pays. They stay as large as they were."""
        outputs, inputs = self.weight.shape[:2]
        taps = self.weight.detach().view(outputs, inputs, -1, 9).permute(2, 3, 1, 0)
        if self.enlarge == 1 and inputs * outputs * len(taps) < WORTH:
            return
        scheme = PLAIN if self.small else SCHEMES[self.enlarge]
        both = torch.kron(scheme.kernel, scheme.kernel)
        laid = own_memory(*taps.shape)
        # A few channels at a time, for what is twice as precise is twice as large.
        for few, out in zip(torch.split(taps, FEW, 2), torch.split(laid, FEW, 2), strict=True):
            out.copy_(few if self.enlarge == 1 else torch.einsum("pk,dkco->dpco", both, few.double()))
        self.register_buffer("taps", laid, persistent=False)
        del self.weight
        # From one window to the next, in input pixels; the first begins one pixel before the picture.
        self._step, self._tile = max(1, scheme.samples.shape[1] - 2), scheme.tile
        self._b, self._g, self._a = scheme.samples.float(), both.float(), scheme.results.float()
        self.scratch = scratch

    def forward(self, x: Tensor | RowStream) -> Tensor:
        """The convolution of a batch."""
        if self.scratch is None:
            return self._direct(x)
        shape = (len(x), *self._size(x), len(self.bias))
        out = self._take(self._result, *shape) if self._result else torch.empty(shape)
        kernels = self._kernels()
        for number, result in enumerate(out):
            for strip in self._strips(x):
                self._compute(x, number, strip, kernels, result[..., self._rows(strip), :, :])
        return out.movedim(-1, 1)

    def pieces(self, x: Tensor | RowStream) -> Iterator[Piece]:
        """The convolution piece by piece: of which samples, which rows, and they (b, O, [D,] rows, W').

        Holds one piece, which is lost when the next one is asked for.
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

    def coming(self, x: Tensor) -> RowStream:
        """The convolution of pictures, computed when it is looked at."""
        height, width = self._size(x)
        # Where a piece is scratch, others are made there while this one is still looked at.
        pieces = (
            (part, rows, piece if self.scratch is None else piece.clone())
            for part, rows, piece in self.pieces(x)
        )
        return RowStream((len(x), len(self.bias), height, width), pieces)

    def _direct(self, x: Tensor | RowStream) -> Tensor:
        x = x.whole() if isinstance(x, RowStream) else x
        if self.enlarge > 1:
            x = functional.interpolate(x, scale_factor=(*(1,) * (x.ndim - 4), self.enlarge, self.enlarge))
        convolve = functional.conv3d if self.volume else functional.conv2d
        x = convolve(x.to(self.weight.dtype), self.weight, self.bias, padding=1)
        return x if self.slope is None else functional.leaky_relu_(x, self.slope)

    def _size(self, x: Tensor | RowStream) -> tuple[int, ...]:
        """([D,] H, W) of the result."""
        *outer, height, width = x.shape[2:]
        return *outer, height * self.enlarge, width * self.enlarge

    def _strips(self, x: Tensor | RowStream) -> list[range]:
        """Rows of tiles that are computed together."""
        *outer, height, width = x.shape[2:]
        height, width = height // self._step, width // self._step
        rows = max(1, COLUMNS // (width * math.prod(outer)))
        return [range(top, min(top + rows, height)) for top in range(0, height, rows)]

    def _rows(self, strip: range) -> slice:
        return slice(strip.start * self._tile, strip.stop * self._tile)

    def _kernels(self) -> Tensor:
        """G of the kernels (taps of the depth, products, C, O). Made for each call: they are four times as large."""
        if self.small or self.enlarge > 1:
            return self.taps
        out = cast(Scratch, self.scratch).take(
            self._kept, len(self.taps), len(self._g), *self.taps.shape[2:], back=not self._flowing
        )
        for taps, kernels in zip(self.taps, out, strict=True):
            torch.mm(self._g, taps.flatten(1), out=kernels.flatten(1))
        return out

    def _compute(
        self, x: Tensor | RowStream, number: int, strip: range, kernels: Tensor, out: Tensor
    ) -> None:
        """Write the rows of `strip` of a sample into `out` ([D,] rows, W', O)."""
        result = out if self.volume else out[None]
        samples = self._spread(x, number, strip)
        for start in range(0, len(self.bias), BLOCK):
            block = slice(start, start + BLOCK)
            bias, products = (
                self.bias[block],
                self._take("products", *samples.shape[:2], len(self.bias[block])),
            )
            multiply(samples, kernels[..., block], len(result), products)
            tiles = self._take("tiles", self._tile**2, samples.shape[1], len(bias))
            self._both(self._a, products, tiles)
            tiles = tiles.view(self._tile, self._tile, len(result), len(strip), -1, len(bias))
            tiles = tiles.permute(2, 3, 0, 4, 1, 5)
            torch.add(tiles, bias, out=result[..., block].view(tiles.shape))
        if self.slope is not None:
            functional.leaky_relu_(out, self.slope)

    def _spread(self, x: Tensor | RowStream, number: int, strip: range) -> Tensor:
        """B of the windows in `strip` of a sample, (products, columns, C), columns by depth, row, column."""
        channels, *outer, height, width = x.shape[1:]
        products, side = self._b.shape
        top, stop = strip.start * self._step - 1, strip.stop * self._step + 1
        first, last = max(0, top), min(height, stop)
        # Before any scratch is taken, for what comes is computed in scratch as well.
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
        # A few channels at a time, for windows overlap: together they are as large as what comes of them.
        for some in range(0, channels, SOME):
            part = views[..., some : some + SOME]
            windows = self._take("windows", *part.shape).copy_(part).view(side * side, -1, part.shape[-1])
            spread = self._take("spread", products**2, *windows.shape[1:])
            self._both(self._b, windows, spread)
            samples[..., some : some + SOME] = spread
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
