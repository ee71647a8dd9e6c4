"""The SDR proxy of deep and HDR pictures."""

import numpy as np
import pytest

from pipelines.video.colour.proxy import dithered, luma_of_codes, proxy_luma, proxy_rgb, undo_proxy
from pipelines.video.colour.tone_map import tone_map
from pipelines.video.colour.transfer import nits_to_pq, scene_to_hlg, sdr_to_light
from pipelines.video.info import ColourTags
from pipelines.vision.types import Floats

PQ = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
HLG = ColourTags("tv", "bt2020nc", "bt2020", "arib-std-b67")
SDR = ColourTags("tv", "bt709", "bt709", "bt709")
WIDE = ColourTags("tv", "bt2020nc", "bt2020", "bt2020-10")
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087: linear light of BT.709 in the primaries of BT.2020."""


def deep(signal: Floats) -> np.ndarray:
    return np.rint(np.clip(signal, 0, 1) * 65535).astype(np.uint16)


def as_pq(nits: Floats) -> np.ndarray:
    return deep(nits_to_pq(nits))


def as_hlg(nits: Floats) -> np.ndarray:
    light = np.asarray(nits) / 1000
    luminance = light @ [0.2627, 0.6780, 0.0593]
    return deep(scene_to_hlg(light * np.maximum(luminance, 1e-12)[..., None] ** (1 / 1.2 - 1)))


def colours(rng: np.random.Generator, most: float) -> np.ndarray:
    """Light in the primaries of BT.2020, of colours that lie within BT.709; more rows than a strip has."""
    return ((0.02 + 0.98 * rng.random((100, 7, 3)) ** 3) * most) @ TO_BT2020.T


@pytest.mark.parametrize(("tags", "encode"), [(PQ, as_pq), (HLG, as_hlg)])
def test_each_pixel_is_what_the_formulas_say(tags: ColourTags, encode) -> None:
    nits = colours(np.random.default_rng(1), 450)
    largest = nits.max(axis=-1, keepdims=True)
    light = nits * tone_map(largest) / largest / 203
    expected = np.clip(light @ np.linalg.inv(TO_BT2020).T, 0, 1) ** (1 / 2.4) * 255
    shown = proxy_rgb(encode(nits), tags)
    assert shown.dtype == np.uint8
    assert np.abs(shown - expected).max() < 1.5
    assert np.abs(dithered(encode(nits), tags, 3) - expected).max() < 1.5


@pytest.mark.parametrize(("tags", "encode"), [(PQ, as_pq), (HLG, as_hlg)])
def test_grey_stays_grey_and_reference_white_is_nearly_white(tags: ColourTags, encode) -> None:
    nits = np.repeat(np.linspace(0, 1000, 200)[:, None, None], 3, axis=2)
    shown = proxy_rgb(encode(nits), tags).astype(int)
    assert np.ptp(shown, axis=2).max() <= 1
    assert (np.diff(shown[:, 0, 1]) >= 0).all()
    assert shown[0].max() == 0
    assert shown[-1].min() == 255
    white = proxy_rgb(encode(np.full((1, 1, 3), 203.0)), tags)
    assert 226 <= white.min() <= white.max() <= 234


def test_deep_sdr_is_only_rounded_and_a_wide_gamut_converted() -> None:
    codes = np.random.default_rng(2).integers(0, 65536, (60, 5, 3), dtype=np.uint16)
    assert np.array_equal(proxy_rgb(codes, SDR), np.rint(codes / 257))
    assert np.abs(dithered(codes, SDR, 0) - codes / 257).max() < 1
    light = colours(np.random.default_rng(3), 1)
    expected = np.clip(light @ np.linalg.inv(TO_BT2020).T, 0, 1) ** (1 / 2.4) * 255
    assert np.abs(proxy_rgb(deep(light ** (1 / 2.4)), WIDE) - expected).max() < 1.5


def test_strips_do_not_show() -> None:
    row = np.random.default_rng(4).integers(0, 65536, (1, 9, 3), dtype=np.uint16)
    shown = proxy_rgb(np.repeat(row, 131, axis=0), HLG)
    assert (shown == shown[0]).all()


@pytest.mark.parametrize("tags", [PQ, HLG, SDR, WIDE])
def test_dithered_levels_have_the_mean_of_what_is_shown_and_parts_are_those_of_the_whole(
    tags: ColourTags,
) -> None:
    for code in range(30000, 30500, 25):
        grey = np.full((64, 64, 3), code, np.uint16)
        mean = dithered(grey, tags, 5).mean()
        assert abs(mean - proxy_rgb(grey, tags)[0, 0].mean()) < 0.51
    rising = [
        dithered(np.full((64, 64, 3), code, np.uint16), tags, 5).mean() for code in range(30000, 30500, 25)
    ]
    assert np.ptp(np.diff(rising)) < 0.1
    noise = np.random.default_rng(6).integers(0, 65536, (100, 20, 3), dtype=np.uint16)
    assert np.array_equal(dithered(noise[31:], tags, 9, top=31), dithered(noise, tags, 9)[31:])


@pytest.mark.parametrize("tags", [PQ, HLG, SDR, WIDE])
def test_a_proxy_can_be_undone(tags: ColourTags) -> None:
    levels = np.random.default_rng(5).integers(2, 250, (50, 8, 3), dtype=np.uint8)
    signal = undo_proxy(levels, tags)
    assert signal.dtype == np.float32
    assert np.abs(proxy_rgb(deep(signal), tags).astype(int) - levels).max() <= 1


@pytest.mark.parametrize(("tags", "encode"), [(PQ, as_pq), (HLG, as_hlg)])
def test_luma_of_the_same_light_is_that_of_sdr(tags: ColourTags, encode) -> None:
    levels = np.arange(256)
    nits = sdr_to_light(levels / 255) * 203
    codes = encode(np.repeat(nits[None, :, None], 3, axis=2))[..., 0]
    shown = np.where(levels <= 240, levels, 240 + (levels - 240) * 11 / 15)
    assert np.abs(proxy_luma(codes, tags)[0] - (16 + shown * 219 / 255)).max() <= 0.6
    assert proxy_luma(np.array([[65535]], np.uint16), tags)[0, 0] == 235
    limited = np.rint(16 + levels * 219 / 255)
    assert np.array_equal(proxy_luma(np.arange(256, dtype=np.uint16)[None] * 257, SDR)[0], limited)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("tags", [PQ, HLG])
def test_each_code_of_sdr_comes_back_from_hdr(bits: int, tags: ColourTags) -> None:
    """Two that become one would make a step of two, and steps are most of what there is in defocused pictures."""
    codes = np.arange(16, 222, dtype=np.uint8)
    nits = sdr_to_light((codes - 16) / 219) * 203
    signal = (as_pq if tags is PQ else as_hlg)(np.repeat(nits[None, :, None], 3, axis=2))[..., 0] / 65535
    deep_codes = np.rint((16 + 219 * signal) * 2 ** (bits - 8)).astype(np.uint16)
    assert np.array_equal(luma_of_codes(deep_codes, bits, tags)[0], codes)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("tags", [PQ, HLG])
def test_luma_of_codes_equals_luma_of_full_range(bits: int, tags: ColourTags) -> None:
    black, white = 16 << (bits - 8), 235 << (bits - 8)
    codes = np.arange(black, white + 1, dtype=np.uint16)[None]
    full = np.rint((codes - black) / (white - black) * 65535).astype(np.uint16)
    assert np.abs(luma_of_codes(codes, bits, tags).astype(int) - proxy_luma(full, tags)).max() <= 1
    assert luma_of_codes(np.array([[0, black, white]], np.uint16), bits, tags).tolist() == [[16, 16, 235]]
