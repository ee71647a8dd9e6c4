"""Samples, the signal that they stand for, and back."""

import cv2
import numpy as np
import pytest

from pipelines.video.colour.samples import (
    chroma_steps,
    from_signal,
    full_size,
    of_size,
    rgb16,
    sdr_luma,
    sdr_rgb,
    to_signal,
)
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout, Subsampling
from pipelines.video.samples.planes import Planes

MATRICES = ["bt709", "bt2020nc", "bt470bg", "smpte170m", "smpte240m", None]
RED_BLUE = {"bt709": (1.5748, 1.8556), "bt2020nc": (1.4746, 1.8814), "smpte170m": (1.402, 1.772)}
"""Factors of Cr in red and of Cb in blue, as BT.709, BT.2020 and BT.601 print them."""


def drawn(bits: int, subsampling: Subsampling = "444", size: tuple[int, int] = (9, 11)) -> Planes:
    rng = np.random.default_rng(7)
    columns, rows = SampleLayout(bits, subsampling).chroma_size(size[1], size[0])
    sizes = [size, (rows, columns), (rows, columns)][: 1 if subsampling == "gray" else 3]
    kind = np.uint8 if bits == 8 else np.uint16
    planes = tuple(rng.integers(0, 2**bits, each, dtype=np.uint16).astype(kind) for each in sizes)
    return Planes(planes, bits, subsampling)


def constant(values: tuple[int, ...], bits: int) -> Planes:
    return Planes(tuple(np.full((4, 6), value, np.uint16) for value in values), bits, "444")


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("signal_range", ["tv", "pc"])
def test_full_chroma_comes_back_to_half_a_code(matrix: str | None, bits: int, signal_range: str) -> None:
    samples, tags = drawn(bits), ColourTags(signal_range, matrix)
    back = from_signal(to_signal(samples, tags), samples.layout, tags)
    for before, after in zip(samples.colours, back, strict=True):
        assert np.abs(before.astype(float) - after).max() < 0.5


@pytest.mark.parametrize("signal_range", ["tv", "pc", None])
def test_rgb_and_grey_come_back_to_half_a_code(signal_range: str | None) -> None:
    tags = ColourTags(signal_range)
    for samples in (drawn(12, "rgb"), drawn(10, "gray")):
        back = from_signal(to_signal(samples, tags), samples.layout, tags)
        assert len(back) == len(samples.colours)
        for before, after in zip(samples.colours, back, strict=True):
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
    like = SampleLayout(10, "444")
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
    samples = drawn(10)
    untagged = ColourTags("tv", None, None, "smpte2084")
    assert np.array_equal(to_signal(samples, untagged), to_signal(samples, ColourTags("tv", "bt2020nc")))


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (8, 9), (7, 10)])
@pytest.mark.parametrize("subsampling", ["420", "422"])
def test_smooth_chroma_comes_back_when_subsampled(size: tuple[int, int], subsampling: Subsampling) -> None:
    down, across = chroma_steps(SampleLayout(10, subsampling))
    rows, columns = -(-size[0] // down), -(-size[1] // across)
    ramp = np.add.outer(np.arange(rows) * down * 8.0, np.arange(columns) * across * 8.0) + 300
    planes = (np.full(size, 400), ramp, ramp[::-1, ::-1])
    samples = Planes(tuple(plane.astype(np.uint16) for plane in planes), 10, subsampling)
    tags = ColourTags("tv", "bt709")
    luma, *chroma = from_signal(to_signal(samples, tags), samples.layout, tags)
    assert np.abs(luma - 400).max() < 0.5
    inside = np.s_[1:-1, 1:-1]
    for before, after in zip(samples.colours[1:], chroma, strict=True):
        assert after.shape == before.shape
        assert np.abs(before.astype(float) - after)[inside].max() < 0.5


def test_chroma_lies_on_the_even_columns_and_between_two_rows() -> None:
    chroma = np.array([[0, 400, 800], [0, 400, 800]], np.uint16) + np.uint16(100)
    samples = Planes((np.full((4, 6), 500, np.uint16), chroma, chroma), 10, "420")
    blue = to_signal(samples, ColourTags("tv", "bt709"))[1, :, 2]
    assert np.diff(blue)[:4] == pytest.approx([1.8556 * 200 / 896] * 4, abs=1e-3)
    assert blue[0] == pytest.approx((500 - 64) / 876 + 1.8556 * (100 - 512) / 896, abs=1e-3)


def test_eight_bit_and_sixteen_bit_agree_with_the_signal() -> None:
    tags = ColourTags("tv", "bt709")
    for bits in (8, 10, 16):
        samples = drawn(bits, "420", (6, 8))
        expected = np.clip(to_signal(samples, tags), 0, 1) * 65535
        assert np.abs(rgb16(samples, tags) - expected).max() <= 1


def test_grey_is_the_luma_of_colours() -> None:
    red = np.zeros((2, 2, 3), np.float32)
    red[..., 0] = 1
    (grey,) = from_signal(red, SampleLayout(10, "gray"), ColourTags(None, "bt709"))
    assert grey == pytest.approx(np.full((2, 2), 0.2126 * 1023), abs=0.1)


@pytest.mark.parametrize("subsampling", ["420", "422", "444", "rgb", "gray"])
@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67", "bt709"])
def test_every_layout_has_a_proxy_and_luma(subsampling: Subsampling, transfer: str) -> None:
    tags = ColourTags("pc", "bt709", "bt709", transfer)
    for size in ((9, 11), (1, 1), (2, 3)):
        planes = drawn(10, subsampling, size)
        assert sdr_rgb(planes, tags).shape == (*size, 3)
        assert sdr_luma(planes, tags).shape == size


def test_luma_of_rgb_is_that_of_yuv() -> None:
    tags = ColourTags("pc", "bt2020nc", "bt2020", "smpte2084")
    signal = np.random.default_rng(8).random((20, 30, 3)).astype(np.float32)
    lumas = [
        sdr_luma(
            Planes(
                tuple(
                    np.rint(p).astype(np.uint16) for p in from_signal(signal, SampleLayout(12, kind), tags)
                ),
                12,
                kind,
            ),
            tags,
        ).astype(int)
        for kind in ("rgb", "444", "420")
    ]
    assert np.abs(lumas[0] - lumas[1]).max() <= 1
    assert np.array_equal(lumas[1], lumas[2])


@pytest.mark.parametrize("subsampling", ["420", "422", "444", "gray"])
@pytest.mark.parametrize("size", [(48, 36), (20, 15), (64, 36)])
def test_planes_are_reduced_to_what_their_picture_is_reduced_to(
    subsampling: Subsampling, size: tuple[int, int]
) -> None:
    across, down = np.arange(64, dtype=np.float32), np.arange(48, dtype=np.float32)[:, None]
    red, green = 0.2 + across * 0.008 + 0 * down, 0.3 + down * 0.01 + 0 * across
    picture = np.dstack([red, green, 0.7 - (across + down) * 0.004])
    tags = ColourTags("tv", "bt709")
    codes = from_signal(picture.astype(np.float32), SampleLayout(10, subsampling), tags)
    planes = Planes(tuple(np.rint(plane).astype(np.uint16) for plane in codes), 10, subsampling)
    whole = cv2.resize(cv2.merge(full_size(planes)), size, interpolation=cv2.INTER_AREA)
    made = cv2.merge(of_size(planes, size))
    assert made.shape == (size[1], size[0], 3)
    # Less than one code of 10 bits, beside the edges, where chroma is repeated.
    assert np.abs(made.astype(int) - whole)[2:-2, 2:-2].max() < 64
