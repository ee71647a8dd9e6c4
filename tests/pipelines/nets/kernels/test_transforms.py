"""Transforms of short convolutions give exactly what multiplying tap by tap gives."""

from fractions import Fraction

import pytest
import torch

from pipelines.nets.kernels.toom_cook import SCHEMES
from pipelines.nets.kernels.transforms import toom_cook

POINTS = tuple(Fraction(value) for value in (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)))


@pytest.mark.parametrize("scale_kernel", [False, True])
@pytest.mark.parametrize(("taps", "count"), [(1, 0), (1, 3), (2, 4), (3, 3), (3, 5), (5, 7)])
def test_a_tile_is_the_convolution(taps: int, count: int, scale_kernel: bool) -> None:
    transform = toom_cook(POINTS[:count], taps, scale_kernel=scale_kernel)
    assert transform.tile == count + 2 - taps
    kernel = torch.arange(1, taps + 1, dtype=torch.float64)
    window = torch.arange(transform.samples.shape[1], dtype=torch.float64).square() - 7
    expected = window.unfold(0, taps, 1) @ kernel
    found = transform.results @ ((transform.kernel @ kernel) * (transform.samples @ window))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_only_the_scaled_matrix_holds_long_fractions() -> None:
    kernel_scaled = toom_cook(POINTS[:5], 3, scale_kernel=True)
    samples_scaled = toom_cook(POINTS[:5], 3, scale_kernel=False)
    assert torch.equal(kernel_scaled.samples, kernel_scaled.samples.round())
    assert torch.equal(samples_scaled.kernel, samples_scaled.kernel.round())
    assert torch.equal(kernel_scaled.results, samples_scaled.results)


@pytest.mark.parametrize("factor", [2, 4])
def test_upsampled_tiles_are_the_convolution_of_the_upsampled_samples(factor: int) -> None:
    scheme = SCHEMES[factor]
    kernel, window = torch.tensor([3.0, 5, 7], dtype=torch.float64), torch.tensor([2.0, 11, 13]).double()
    upsampled = window.repeat_interleave(factor)[factor - 1 : 2 * factor + 1]
    found = scheme.results @ ((scheme.kernel @ kernel) * (scheme.samples @ window))
    assert torch.equal(found, upsampled.unfold(0, 3, 1) @ kernel)
