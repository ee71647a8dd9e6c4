"""Convolutions in few multiplications give what torch's give, to rounding."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.nets.kernels.fourier import WideConv
from pipelines.nets.kernels.scratch import Scratch
from pipelines.nets.kernels.toom_cook import SCHEMES, Conv

TOLERANCE = 2e-5
"""A few rounding errors of sums of up to 3,000 products, of results with a spread of 1."""


def filled(conv: Conv | WideConv) -> Conv | WideConv:
    torch.manual_seed(0)
    fan_in = conv.weight[0].numel()
    with torch.no_grad():
        conv.weight.normal_(0, fan_in**-0.5)
        conv.bias.normal_()
    return conv.requires_grad_(False)


def both_ways(conv: Conv | WideConv, x: Tensor) -> tuple[Tensor, Tensor]:
    """What torch gives, and what the folded convolution gives."""
    expected = conv(x)
    conv.fold(Scratch())
    assert conv.scratch is not None
    return expected, conv(x)


@pytest.mark.parametrize("slope", [None, 0.0, 0.2])
@pytest.mark.parametrize("upscale", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 12), (32, 8)])
def test_pictures(height: int, width: int, upscale: int, slope: float | None) -> None:
    conv = filled(Conv(128, 130, upscale=upscale, slope=slope))
    expected, found = both_ways(conv, torch.randn(2, 128, height, width))
    assert found.shape == (2, 130, height * upscale, width * upscale)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("upscale", [1, 2])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_volumes(depth: int, upscale: int) -> None:
    conv = filled(Conv(64, 96, volume=True, upscale=upscale))
    expected, found = both_ways(conv, torch.randn(1, 64, depth, 8, 16))
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_more_channels_than_a_block() -> None:
    expected, found = both_ways(filled(Conv(32, 1030)), torch.randn(1, 32, 8, 8))
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_a_convolution_after_an_enlargement_is_that_of_the_enlarged_picture() -> None:
    conv, x = filled(Conv(8, 8, upscale=4)), torch.randn(1, 8, 3, 5)
    large = functional.interpolate(x, scale_factor=4)
    expected = functional.conv2d(large, conv.weight, conv.bias, padding=1)
    conv.fold(Scratch())
    torch.testing.assert_close(conv(x), expected, atol=TOLERANCE, rtol=0)


def test_the_batch_changes_no_bit() -> None:
    conv, x = filled(Conv(128, 128)), torch.randn(3, 128, 64, 64)
    conv.fold(Scratch())
    assert torch.equal(conv(x), torch.cat([conv(x[i : i + 1]) for i in range(3)]))


@pytest.mark.parametrize("folded", [False, True])
def test_pieces_are_the_whole(folded: bool) -> None:
    conv, x = filled(Conv(128, 128)), torch.randn(2, 128, 64, 64)
    if folded:
        conv.fold(Scratch())
    found = torch.full((2, 128, 64, 64), torch.nan)
    count = 0
    for part, rows, piece in conv.pieces(x):
        found[part, :, rows] = piece
        count += 1
    assert torch.equal(found, conv(x))
    assert count == (4 if folded else 1)


def test_two_convolutions_share_their_scratch() -> None:
    scratch, x = Scratch(), torch.randn(1, 128, 16, 16)
    first, second = filled(Conv(128, 256)), filled(Conv(256, 128, upscale=2))
    expected = second(first(x))
    first.fold(scratch)
    second.fold(scratch)
    torch.testing.assert_close(second(first(x)), expected, atol=TOLERANCE, rtol=0)
    large = first(torch.randn(1, 128, 32, 32))
    assert torch.equal(first(torch.zeros(1, 128, 4, 4)), first.bias.view(1, -1, 1, 1).expand(1, -1, 4, 4)), (
        large.shape
    )


def test_small_volumes_of_any_sides() -> None:
    conv = filled(Conv(64, 520, volume=True, per_tap=True, slope=0.0))
    expected, found = both_ways(conv, torch.randn(2, 64, 4, 3, 5))
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_what_does_not_pay_stays_as_it_is() -> None:
    conv, x = filled(Conv(16, 16)), torch.randn(1, 16, 3, 7)
    expected = conv(x)
    conv.fold(Scratch())
    assert torch.equal(conv(x), expected)


def test_folded_kernels_take_no_more_room() -> None:
    for upscale in SCHEMES:
        conv = filled(Conv(128, 128, upscale=upscale))
        before = sum(tensor.nbytes for tensor in (*conv.parameters(), *conv.buffers()))
        conv.fold(Scratch())
        assert sum(tensor.nbytes for tensor in (*conv.parameters(), *conv.buffers())) == before


@pytest.mark.parametrize(("depth", "height", "width"), [(1, 16, 16), (5, 16, 32), (9, 32, 16)])
def test_wide_convolutions(depth: int, height: int, width: int) -> None:
    conv = filled(WideConv(7, 5))
    expected, found = both_ways(conv, torch.randn(2, 7, depth, height, width))
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_a_wide_convolution_is_the_same_in_a_batch() -> None:
    conv, x = filled(WideConv(6, 4)), torch.randn(3, 6, 4, 16, 16)
    conv.fold(Scratch())
    assert torch.equal(conv(x), torch.cat([conv(x[i : i + 1]) for i in range(3)]))
