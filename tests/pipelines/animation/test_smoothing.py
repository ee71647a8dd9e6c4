"""Motion without trembling."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.animation.smoothing import smooth


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
