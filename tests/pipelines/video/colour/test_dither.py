"""Dither: fair, the same everywhere, and without bands."""

import cv2
import numpy as np
import pytest

from pipelines.video.colour.dither import dither, pattern


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_whole_numbers_stay(bits: int) -> None:
    codes = np.random.default_rng(1).integers(0, 2**bits, (64, 64))
    near = codes + np.random.default_rng(2).uniform(-0.003, 0.003, codes.shape)
    for values in (codes, near):
        assert np.array_equal(dither(values.astype(np.float32), bits, 3), codes)


def test_thresholds_are_spread_evenly() -> None:
    for index in (0, 1, 63, 1000):
        counts, _ = np.histogram(pattern(64, 64, index), 16, (0, 1))
        assert counts.min() > 200
        assert counts.max() < 312


def test_the_mean_of_a_small_area_is_kept() -> None:
    for value in np.linspace(100, 101, 21):
        made = dither(np.full((64, 64), value, np.float32), 10, 5).astype(np.float32)
        local = cv2.blur(made, (16, 16))[8:-8, 8:-8]
        assert np.abs(local - value).max() < 0.1


def test_a_gradient_has_no_bands() -> None:
    ramp = np.tile(np.linspace(100, 104, 512, dtype=np.float32), (64, 1))
    made = cv2.blur(dither(ramp, 8, 0).astype(np.float32), (15, 15))[8:-8, 8:-8]
    banded = cv2.blur(np.rint(ramp), (15, 15))[8:-8, 8:-8]
    inner = ramp[8:-8, 8:-8]
    assert np.abs(made - inner).max() < 0.2 < np.abs(banded - inner).max()


def test_a_part_equals_the_part_of_the_whole_and_frames_differ() -> None:
    values = np.random.default_rng(3).uniform(0, 1023, (40, 50, 3)).astype(np.float32)
    whole = dither(values, 10, 9)
    assert np.array_equal(dither(values[7:30, 11:], 10, 9, top=7, left=11), whole[7:30, 11:])
    assert not np.array_equal(dither(values, 10, 10), whole)
    assert np.array_equal(dither(values, 10, 9 + 64), whole)


def test_results_stay_in_range_and_grey_stays_grey() -> None:
    grey = np.repeat(np.linspace(-3, 260, 1000, dtype=np.float32).reshape(20, 50, 1), 3, axis=2)
    made = dither(grey, 8, 0)
    assert made.dtype == np.uint8
    assert (made.min(), made.max()) == (0, 255)
    assert (np.ptp(made, axis=2) == 0).all()
    assert dither(grey, 10, 0).dtype == np.uint16
