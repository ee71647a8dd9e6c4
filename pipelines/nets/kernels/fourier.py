"""A 7 x 7 x 7 convolution by way of its spectrum, for processors without tensor units.

Windows of 22 x 22 pixels give 16 x 16 results each: in the spectrum every frequency is one product of matrices, and
only the depth is summed tap by tap. That is a twelfth of the multiplications of the direct way (overlap-save; see
Mathieu, Henaff and LeCun 2013, arXiv:1312.5851).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.nets.kernels.scratch import Scratch, own_memory
from pipelines.nets.kernels.toom_cook import multiply

TAPS = 7
TILE = 16
WINDOW = TILE + TAPS - 1

LAYERS = 2
"""Layers of the depth that are transformed together, for the memory that this takes on the way."""


class WideConv(nn.Module):
    """A 7 x 7 x 7 convolution of a volume (B, C, D, H, W), padded by 3 with zeros.

    Once folded, sides must be multiples of 16, and the samples of a batch are computed one by one.
    Holds the volume once more while it runs.
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
        """Exchange the kernels for their spectra, once they are there: 11 times as large."""
        outputs, inputs = self.weight.shape[:2]
        frequencies = (WINDOW, WINDOW // 2 + 1)
        spectra = own_memory(TAPS, *frequencies, inputs, 2, outputs)
        # Tap by tap: on the way, spectra are there several times.
        for kernels, laid in zip(self.weight.detach().unbind(2), spectra, strict=True):
            # Conjugated, since a network's convolution does not turn its kernel round.
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
        """Write the convolution of (D, H, W, C) into (D, H, W, O), a row of tiles at a time."""
        depth, height, width, channels = sample.shape
        across, frequencies, outputs = width // TILE, self.spectra.shape[1], len(self.bias)
        # Real and imaginary parts are rows of their own, so that every product of matrices is a real one.
        samples = scratch.take("left", frequencies, depth, 2, across, channels)
        products = scratch.take("products", frequencies, depth * 2 * across, 2 * outputs)
        for top in range(0, height, TILE):
            for few in slices(depth):
                spectrum = torch.view_as_real(self._spectrum(sample[few], top, scratch))
                spectrum = spectrum.view(frequencies, -1, across, channels, 2)
                samples[:, few] = spectrum.permute(0, 1, 4, 2, 3)
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
        """The spectra (22, 12, D, across, C) of the windows of (D, H, W, C) whose tiles begin in the row `top`."""
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
    """The layers that are transformed together."""
    return (slice(start, min(start + LAYERS, depth)) for start in range(0, depth, LAYERS))
