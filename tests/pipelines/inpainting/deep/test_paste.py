"""Pasting into samples: nothing changes outside the hole, whatever the layout, and the fill has the source's depth."""

import cv2
import numpy as np
import pytest

from pipelines.inpainting.deep.filled import DeepFilled
from pipelines.video.colour.coding import Coding
from pipelines.video.colour.dither import dither
from pipelines.video.colour.lift import debanded, lifted
from pipelines.video.colour.paste import paste_samples
from pipelines.video.colour.samples import from_signal, to_signal
from pipelines.video.colour.transfer import nits_to_pq
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout, Subsampling
from pipelines.video.samples.planes import Planes

PQ = ColourTags("tv", "bt2020nc", "bt2020", "smpte2084")
HLG = ColourTags("tv", "bt2020nc", "bt2020", "arib-std-b67")
SDR = ColourTags("tv", "bt709", "bt709", "bt709")
LAYOUTS = [(8, "420"), (10, "420"), (10, "422"), (12, "444"), (12, "rgb"), (10, "gray"), (16, "rgb")]


def noise(bits: int, subsampling: Subsampling, width: int = 61, height: int = 47) -> Planes:
    rng = np.random.default_rng(bits)
    layout = SampleLayout(bits, subsampling)
    columns, rows = layout.chroma_size(width, height)
    sizes = [(height, width)] + [(rows, columns)] * (0 if subsampling == "gray" else 2)
    kind = np.uint8 if bits == 8 else np.uint16
    return Planes(tuple(rng.integers(0, 2**bits, s).astype(kind) for s in sizes), bits, subsampling)


def hole(kind: str, width: int = 61, height: int = 47) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    if kind == "inside":
        mask[13:28, 9:34] = True
    elif kind == "corner":
        mask[-5:, -7:] = True
    elif kind == "point":
        mask[20, 31] = True
    else:
        mask[:] = True
    return mask


def block_any(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which samples of a plane of `shape` stand for a pixel of the mask, one by one."""
    rows, columns = mask.shape
    down, across = (2 if shape[0] < rows else 1), (2 if shape[1] < columns else 1)
    found = np.zeros(shape, bool)
    for y, x in zip(*np.nonzero(mask), strict=True):
        found[y // down, x // across] = True
    return found


@pytest.mark.parametrize("kind", ["inside", "corner", "point", "all"])
@pytest.mark.parametrize(("bits", "subsampling"), LAYOUTS)
def test_samples_outside_the_hole_stay_to_the_bit(bits: int, subsampling: Subsampling, kind: str) -> None:
    planes, mask = noise(bits, subsampling), hole(kind)
    fill = np.full((*mask.shape, 3), 30000, np.uint16)
    before = [plane.copy() for plane in planes.colours]
    after, edge = paste_samples(planes, fill, mask, Coding(planes.layout, PQ), 3)
    assert after.layout == planes.layout
    changed = 0
    for number, (old, new) in enumerate(zip(before, after.colours, strict=True)):
        assert np.array_equal(planes.colours[number], old)
        touched = block_any(mask, old.shape) if number else mask
        assert np.array_equal(new[~touched], old[~touched])
        if number == 1:
            inner = block_any(~mask, old.shape)
            changed = int((touched & inner).sum())
    assert edge == (changed if subsampling in ("420", "422") else 0)


@pytest.mark.parametrize(("bits", "subsampling"), LAYOUTS)
def test_a_fill_of_the_same_codes_gives_the_same_samples(bits: int, subsampling: Subsampling) -> None:
    if subsampling in ("420", "422"):
        smooth = np.add.outer(np.arange(47) * 1.0, np.arange(61) * 1.0)
        signal = np.repeat(0.2 + smooth[..., None] / 300, 3, axis=2).astype(np.float32)
        layout = SampleLayout(bits, subsampling)
        codes = from_signal(signal, layout, PQ)
        kind = np.uint8 if bits == 8 else np.uint16
        planes = Planes(tuple(np.rint(c).astype(kind) for c in codes), bits, subsampling)
    else:
        signal = np.random.default_rng(1).random((47, 61, 3)).astype(np.float32)
        if subsampling == "gray":
            signal[:] = signal[..., :1]
        kind = np.uint8 if bits == 8 else np.uint16
        codes = from_signal(signal, SampleLayout(bits, subsampling), PQ)
        planes = Planes(tuple(np.rint(c).astype(kind) for c in codes), bits, subsampling)
    coding = Coding(planes.layout, PQ)
    after, _ = paste_samples(planes, coding.codes(planes), hole("inside"), coding, 0)
    for old, new in zip(planes.colours, after.colours, strict=True):
        assert np.abs(old.astype(int) - new).max() <= 1


def test_nothing_to_fill_leaves_the_planes_as_they_are() -> None:
    planes = noise(10, "420")
    after, edge = paste_samples(
        planes, np.zeros((47, 61, 3), np.uint16), np.zeros((47, 61), bool), Coding(planes.layout, PQ), 0
    )
    assert after is planes
    assert edge == 0


def test_highlights_above_nominal_white_survive() -> None:
    planes = Planes(tuple(np.full((40, 40), value, np.uint16) for value in (1000, 512, 512)), 10, "444")
    coding = Coding(planes.layout, SDR)
    after, _ = paste_samples(planes, coding.codes(planes), hole("inside", 40, 40), coding, 0)
    assert np.abs(after.y.astype(int) - 1000).max() <= 1


def ramp(tags: ColourTags, low: float, high: float) -> Planes:
    """A soft gradient of 10 bits, 4:2:0, dithered."""
    signal = np.linspace(low, high, 160, dtype=np.float32) * np.ones((120, 1), np.float32)
    codes = from_signal(np.repeat(signal[..., None], 3, axis=2), SampleLayout(10, "420"), tags)
    return Planes(tuple(dither(plane, 10, 7) for plane in codes), 10, "420")


@pytest.mark.parametrize(("tags", "low", "high"), [(PQ, 0.3, 0.36), (HLG, 0.35, 0.42), (SDR, 0.4, 0.5)])
@pytest.mark.parametrize("reduced", [1, 2])
def test_a_fill_of_8_bits_is_lifted_without_bands_or_seam(
    tags: ColourTags, low: float, high: float, reduced: int
) -> None:
    planes, coding = ramp(tags, low, high), Coding(SampleLayout(10, "420"), tags)
    seen = coding.proxy(coding.codes(planes))
    seen = cv2.resize(seen, (160 // reduced, 120 // reduced), interpolation=cv2.INTER_AREA)
    mask = np.zeros((120, 160), bool)
    mask[30:90, 40:120] = True
    after, _ = paste_samples(planes, seen, mask, coding, 11)
    truth = from_signal(
        np.repeat(
            (np.linspace(low, high, 160, dtype=np.float32) * np.ones((120, 1), np.float32))[..., None], 3, 2
        ),
        planes.layout,
        tags,
    )[0]
    local = cv2.blur(after.y.astype(np.float32) - truth, (9, 9))
    assert np.abs(local[34:86, 44:116]).max() <= 1.5
    seam = mask & (cv2.erode(mask.view(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    assert abs(float((after.y.astype(np.float32) - truth)[seam].mean())) <= 1
    # Bands would repeat one code over many columns.
    rows = after.y[60, 44:116].astype(int)
    assert len(np.unique(rows)) >= 0.6 * (truth[60, 116] - truth[60, 44])


def test_debanded_levels_still_round_to_those_given() -> None:
    levels = np.random.default_rng(2).integers(0, 256, (40, 50, 3)).astype(np.float32)
    assert np.abs(debanded(levels) - levels).max() <= 0.5 + 1e-5
    slope = np.linspace(100, 108, 200, dtype=np.float32) * np.ones((80, 1), np.float32)
    fine = debanded(np.rint(np.repeat(slope[..., None], 3, axis=2)))
    inside = np.s_[:, 20:-20, 0]
    assert np.abs(fine[inside] - slope[:, 20:-20]).max() < 0.25


def test_light_that_the_proxy_cannot_show_is_taken_from_beside_the_hole() -> None:
    nits = 3000.0  # above the proxy's peak, which it shows as white
    signal = np.full((60, 60, 3), float(nits_to_pq(nits)), np.float32)
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    made = lifted(np.full((60, 60, 3), 255, np.float32), signal, mask, PQ)
    assert np.abs(made[mask] - float(nits_to_pq(nits))).max() < 0.002


def test_a_filled_frame_can_be_seen_exported_and_cut_out() -> None:
    planes = noise(10, "420")
    coding, mask = Coding(planes.layout, PQ), hole("inside")
    item = DeepFilled(5, planes, planes, mask, mask, 0, coding)
    assert item.before.shape == item.after.shape == item.pixels.shape == (47, 61, 3)
    assert item.before.dtype == item.pixels.dtype == np.uint8
    assert item.deep_pixels.dtype == np.uint16
    signal = np.clip(to_signal(planes, PQ), 0, 1) * 65535
    assert np.abs(item.deep_pixels - signal).max() <= 1
    assert np.array_equal(item.cut_out.alpha, np.where(mask, 1023, 0))
    cut = DeepFilled(5, gray := noise(10, "gray"), gray, mask, mask, 0, coding).cut_out
    assert np.array_equal(cut.alpha, np.where(mask, 1023, 0))
    assert np.array_equal(cut.y, gray.y)
    assert (cut.u == 512).all()
