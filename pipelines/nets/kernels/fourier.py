"""A 7 x 7 x 7 convolution in the frequency domain, for CPUs without tensor units.

A window of 22 x 22 pixels gives a tile of 16 x 16 results: each frequency is one matrix product, and only the depth is
summed tap by tap. That takes a twelfth of the multiplications of a direct convolution (overlap-save; see Mathieu,
Henaff and LeCun 2013, arXiv:1312.5851).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.scratch import Scratch, mapped_zeros
from pipelines.nets.kernels.toom_cook import multiply

TAPS = 7
TILE = 16
"""Results of a tile along an axis: the feature maps' 64 is a multiple of it."""
WINDOW = TILE + TAPS - 1

LAYERS = 2
"""Depth layers that are transformed together: more would need larger complex intermediates."""


class WideConv(nn.Module):
    """A 7 x 7 x 7 convolution of a volume (B, C, D, H, W), padded by 3 with zeros.

    Once folded, sides must be multiples of 16, and the samples of a batch are computed one by one.
    Holds a second copy of the volume while it runs.
    """

    weight: Tensor
    bias: Tensor
    spectra: Tensor
    """Once folded: (taps of the depth, frequencies, C, 2 O), real and imaginary parts side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *(TAPS,) * 3))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.scratch: Scratch | None = None

    def fold(self, scratch: Scratch) -> None:
        """Replace the loaded kernels by their spectra, which are 11 times as large."""
        outputs, inputs = self.weight.shape[:2]
        frequencies = (WINDOW, WINDOW // 2 + 1)
        spectra = mapped_zeros(TAPS, *frequencies, inputs, 2, outputs)
        # Tap by tap, because the intermediate results hold each spectrum several times.
        for kernels, laid in zip(self.weight.detach().unbind(2), spectra, strict=True):
            # Conjugated, because a network's convolution is a correlation: it does not flip the kernel.
            parts = torch.fft.rfft2(kernels, s=(WINDOW, WINDOW)).conj().resolve_conj()
            laid.copy_(torch.view_as_real(parts).permute(2, 3, 1, 4, 0))
        self.register_buffer("spectra", spectra.flatten(4).flatten(1, 2), persistent=False)
        del self.weight
        self.scratch = scratch

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) -> (B, O, D, H, W), channels last in memory."""
        if self.scratch is None:
            return functional.conv3d(x.to(self.weight.dtype), self.weight, self.bias, padding=TAPS // 2)
        out = x.new_empty(len(x), *x.shape[2:], len(self.bias))
        for sample, result in zip(x.movedim(1, -1), out, strict=True):
            self._compute(sample, result, self.scratch)
        return out.movedim(-1, 1)

    def _compute(self, sample: Tensor, out: Tensor, scratch: Scratch) -> None:
        """Write the convolution of (D, H, W, C) to `out` (D, H, W, O), one row of tiles at a time."""
        depth, height, width, channels = sample.shape
        across, frequencies, outputs = width // TILE, self.spectra.shape[1], len(self.bias)
        # Real and imaginary parts are separate rows, so that every matrix product is real.
        samples = scratch.take("left", frequencies, depth, 2, across, channels)
        products = scratch.take("products", frequencies, depth * 2 * across, 2 * outputs)
        for top in range(0, height, TILE):
            for layers in slices(depth):
                spectrum = torch.view_as_real(self._spectrum(sample[layers], top, scratch))
                spectrum = spectrum.view(frequencies, -1, across, channels, 2)
                samples[:, layers] = spectrum.permute(0, 1, 4, 2, 3)
            multiply(samples.flatten(1, 3), self.spectra, depth, products)
            real, imaginary = products.view(frequencies, depth, 2, across, 2, outputs).unbind(2)
            spectrum = torch.complex(
                real[..., 0, :] - imaginary[..., 1, :], real[..., 1, :] + imaginary[..., 0, :]
            ).view(WINDOW, -1, depth, across, outputs)
            tiles = torch.fft.irfft2(spectrum, s=(WINDOW, WINDOW), dim=(0, 1))[:TILE, :TILE].permute(
                2, 0, 3, 1, 4
            )
            torch.add(tiles, self.bias, out=out[:, top : top + TILE].view(tiles.shape))

    def _spectrum(self, sample: Tensor, top: int, scratch: Scratch) -> Tensor:
        """The spectra (22, 12, D, across, C) of the windows of (D, H, W, C) whose tiles start at row `top`."""
        depth, height, width, channels = sample.shape
        edge = TAPS // 2
        first, last = max(0, top - edge), min(height, top + TILE + edge)
        padded = scratch.take("padded", depth, WINDOW, width + 2 * edge, channels).zero_()
        padded[:, first - top + edge : last - top + edge, edge:-edge] = sample[:, first:last]
        views = padded.unfold(2, WINDOW, TILE).permute(1, 4, 0, 2, 3)
        windows = scratch.take("windows", *views.shape).copy_(views)
        spectrum: Tensor = torch.fft.rfft2(windows, dim=(0, 1))
        return spectrum


def slices(depth: int) -> Iterator[slice]:
    """Ranges of depth layers that are transformed together."""
    return (slice(start, min(start + LAYERS, depth)) for start in range(0, depth, LAYERS))
