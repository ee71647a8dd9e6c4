"""Samples, the signal that they stand for, and back."""

import numpy as np
import pytest

from pipelines.video.colour.samples import Samples, from_signal, rgb16, to_signal
from pipelines.video.info import ColourTags

MATRICES = ["bt709", "bt2020nc", "bt470bg", "smpte170m", "smpte240m", None]
RED_BLUE = {"bt709": (1.5748, 1.8556), "bt2020nc": (1.4746, 1.8814), "smpte170m": (1.402, 1.772)}
"""Factors of Cr in red and of Cb in blue, as BT.709, BT.2020 and BT.601 print them."""


def drawn(bits: int, sizes: list[tuple[int, int]], *, rgb: bool = False) -> Samples:
    rng = np.random.default_rng(7)
    kind = np.uint8 if bits == 8 else np.uint16
    planes = tuple(rng.integers(0, 2**bits, size, dtype=np.uint16).astype(kind) for size in sizes)
    return Samples(planes, bits, rgb)


def constant(values: tuple[int, ...], bits: int, *, rgb: bool = False) -> Samples:
    return Samples(tuple(np.full((4, 6), value, np.uint16) for value in values), bits, rgb)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("signal_range", ["tv", "pc"])
def test_full_chroma_comes_back_to_half_a_code(matrix: str | None, bits: int, signal_range: str) -> None:
    samples, tags = drawn(bits, [(9, 11)] * 3), ColourTags(signal_range, matrix)
    back = from_signal(to_signal(samples, tags), samples, tags)
    for before, after in zip(samples.channels, back, strict=True):
        assert np.abs(before.astype(float) - after).max() < 0.5


@pytest.mark.parametrize("signal_range", ["tv", "pc", None])
def test_rgb_and_grey_come_back_to_half_a_code(signal_range: str | None) -> None:
    tags = ColourTags(signal_range)
    for samples in (drawn(12, [(5, 7)] * 3, rgb=True), drawn(10, [(5, 7)])):
        back = from_signal(to_signal(samples, tags), samples, tags)
        assert len(back) == len(samples.channels)
        for before, after in zip(samples.channels, back, strict=True):
            assert np.abs(before.astype(float) - after).max() < 0.5


@pytest.mark.parametrize(("matrix", "factors"), RED_BLUE.items())
def test_the_matrix_is_the_published_one(matrix: str, factors: tuple[float, float]) -> None:
    tags, cb, cr = ColourTags("tv", matrix), 100, -60
    red, _, blue = to_signal(constant((500, 512 + cb, 512 + cr), 10), tags)[0, 0]
    luma = (500 - 64) / 876
    assert red == pytest.approx(luma + factors[0] * cr / 896, abs=1e-4)
    assert blue == pytest.approx(luma + factors[1] * cb / 896, abs=1e-4)


def test_colour_bars_have_the_published_codes() -> None:
    tags = ColourTags("tv", "bt709")
    red = np.zeros((4, 6, 3), np.float32)
    red[..., 0] = 1  # 100 % red in BT.709 at 10 bits
    like = constant((0, 0, 0), 10)
    assert [round(float(plane[0, 0])) for plane in from_signal(red, like, tags)] == [250, 409, 960]


def test_black_white_and_headroom() -> None:
    tags = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
    signal = [to_signal(constant((y, 512, 512), 10), tags)[0, 0] for y in (4, 64, 940, 1019)]
    assert np.allclose(signal[1], 0, atol=1e-5)
    assert np.allclose(signal[2], 1, atol=1e-5)
    assert signal[0].max() < 0
    assert signal[3].min() > 1
    assert rgb16(constant((1019, 512, 512), 10), tags).min() == 65535
    assert rgb16(constant((4, 512, 512), 10), tags).max() == 0


def test_hdr_without_a_matrix_is_taken_for_bt2020() -> None:
    samples = drawn(10, [(6, 6)] * 3)
    untagged = ColourTags("tv", None, None, "smpte2084")
    assert np.array_equal(to_signal(samples, untagged), to_signal(samples, ColourTags("tv", "bt2020nc")))


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (8, 9), (7, 10)])
@pytest.mark.parametrize(("down", "across"), [(1, 2), (2, 2), (2, 1)])
def test_smooth_chroma_comes_back_when_subsampled(size: tuple[int, int], down: int, across: int) -> None:
    rows, columns = -(-size[0] // down), -(-size[1] // across)
    ramp = np.add.outer(np.arange(rows) * down * 8.0, np.arange(columns) * across * 8.0) + 300
    planes = (np.full(size, 400), ramp, ramp[::-1, ::-1])
    samples = Samples(tuple(plane.astype(np.uint16) for plane in planes), 10)
    tags = ColourTags("tv", "bt709")
    assert samples.chroma_steps == (down, across)
    luma, *chroma = from_signal(to_signal(samples, tags), samples, tags)
    assert np.abs(luma - 400).max() < 0.5
    inside = np.s_[1:-1, 1:-1]
    for before, after in zip(samples.channels[1:], chroma, strict=True):
        assert after.shape == before.shape
        assert np.abs(before.astype(float) - after)[inside].max() < 0.5


def test_chroma_lies_on_the_even_columns_and_between_two_rows() -> None:
    chroma = np.array([[0, 400, 800], [0, 400, 800]], np.uint16) + np.uint16(100)
    samples = Samples((np.full((4, 6), 500, np.uint16), chroma, chroma), 10)
    blue = to_signal(samples, ColourTags("tv", "bt709"))[1, :, 2]
    assert np.diff(blue)[:4] == pytest.approx([1.8556 * 200 / 896] * 4, abs=1e-3)
    assert blue[0] == pytest.approx((500 - 64) / 876 + 1.8556 * (100 - 512) / 896, abs=1e-3)


def test_eight_bit_and_sixteen_bit_agree_with_the_signal() -> None:
    tags = ColourTags("tv", "bt709")
    for bits in (8, 10, 16):
        samples = drawn(bits, [(6, 8), (3, 4), (3, 4)])
        expected = np.clip(to_signal(samples, tags), 0, 1) * 65535
        assert np.abs(rgb16(samples, tags) - expected).max() <= 1
