"""Smoothing of motion over a whole sequence."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.animation.motion.smoothing import read_smoothed, smooth, smooth_file


@pytest.mark.parametrize("variance", ["3e-07", "1e-05", "0.001"])
def test_the_published_smoother(shared: Path, variance: str) -> None:
    with np.load(shared / "parity/liveportrait/stage_smoother.npz") as arrays:
        np.testing.assert_array_equal(smooth(arrays["walk"], float(variance)), arrays[f"smooth_{variance}"])


def test_what_stands_still_stays() -> None:
    still = np.full((7, 3, 3), 0.25, np.float32)
    assert np.array_equal(smooth(still, 1e-3), still)


def test_one_frame_is_as_it_is() -> None:
    one = np.array([[1.5, -2.0]], np.float32)
    np.testing.assert_allclose(smooth(one, 1.0), one)


def test_more_variance_is_smoother_and_no_number_touches_another() -> None:
    noise = np.random.default_rng(5).standard_normal((50, 2)).astype(np.float32)
    rough, calm = (np.abs(np.diff(smooth(noise, v), axis=0)).mean() for v in (1e-7, 1e-2))
    assert calm < rough / 3
    np.testing.assert_array_equal(smooth(noise, 1e-4)[:, :1], smooth(noise[:, :1], 1e-4))


def test_what_is_given_is_left_as_it_is() -> None:
    noise = np.random.default_rng(6).standard_normal((9, 2)).astype(np.float32)
    before = noise.copy()
    smooth(noise, 1e-3)
    assert np.array_equal(noise, before)


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [7, 20, 13]])
def test_in_a_file_it_is_the_same_block_by_block(sizes: list[int], tmp_path: Path) -> None:
    noise = np.random.default_rng(7).standard_normal((40, 5)).astype(np.float32)
    blocks = np.split(noise, np.cumsum(sizes)[:-1])
    smooth_file(blocks, 1e-4, tmp_path / "file")
    expected = smooth(noise, 1e-4)
    assert np.array_equal(read_smoothed(tmp_path / "file", 5, 0, 40), expected)
    assert np.array_equal(read_smoothed(tmp_path / "file", 5, 11, 30), expected[11:30])
