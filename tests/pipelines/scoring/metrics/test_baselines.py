"""Long blurs on drawn series of sharpness, over lengths, rates and noise: one run each, and none without a fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.scoring.metrics.baselines import DetailSteps, Steps, opening

RATES = st.sampled_from([10, 24, 25, 30, 60, 120, 240])
SEEDS = st.integers(0, 2**32 - 1)


def sharpness(frames: int, spread: float, seed: int) -> np.ndarray:
    return 0.6 * np.random.default_rng(seed).normal(1, spread, frames).clip(0.93, 1.07)


@given(RATES, st.floats(0.4, 90), st.floats(0.4, 0.75), st.floats(0, 0.02), SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_blur_of_any_length_is_one_run(rate, seconds, left, spread, seed):
    length = max(4, min(20_000, round(rate * seconds)))
    sharp = sharpness(50 + length + 40, spread, seed)
    sharp[50 : 50 + length] *= left
    found, base = Steps().find(sharp.tolist(), [False] * len(sharp), len(sharp))
    assert np.flatnonzero(found).tolist() == list(range(50, 50 + length))
    assert np.allclose(base[found], 0.6, rtol=0.1)


@given(st.integers(4, 5000), st.floats(0.4, 0.75), st.floats(0, 0.02), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_blur_from_the_first_frame_of_a_shot_is_found_from_what_follows(length, left, spread, seed):
    sharp = sharpness(length + 60, spread, seed)
    sharp[:length] *= left
    first, base = opening(sharp.tolist(), [False] * len(sharp))
    assert first == length
    assert abs(base - 0.6) < 0.06


@given(st.floats(0.5, 1), st.integers(100, 2000), SEEDS)
@settings(max_examples=30, deadline=None)
def test_sharpness_that_fades_slowly_is_no_step(left, frames, seed):
    sharp = sharpness(frames, 0.01, seed) * np.linspace(1, 1 - (1 - left) * frames / 2000, frames)
    assert not Steps().find(sharp.tolist(), [False] * frames, frames)[0].any()
    assert opening(sharp[::-1].tolist(), [False] * frames)[0] == 0


@given(st.integers(20, 5000), st.floats(0.4, 0.8), st.booleans(), SEEDS)
@settings(max_examples=30, deadline=None)
def test_detail_that_drops_at_once_is_one_run(length, left, is_opening, seed):
    before = 0 if is_opening else 50
    detail = sharpness(before + length + 50, 0.01, seed)
    detail[before : before + length] *= left
    good = [False] * len(detail)
    if is_opening:
        assert opening(detail.tolist(), good, None, DetailSteps)[0] == length
    else:
        found = DetailSteps().find(detail.tolist(), good, len(detail))[0]
        assert np.flatnonzero(found).tolist() == list(range(before, before + length))


@given(st.floats(0.6, 0.85), SEEDS)
@settings(max_examples=30, deadline=None)
def test_detail_that_often_changes_as_much_or_where_something_else_is_shown_is_no_step(left, seed):
    at = np.arange(300)
    drops = sharpness(300, 0.01, seed) * np.where(at < 150, 1, left)
    restless = drops * np.where(at < 150, (1 + left) / 2 + (1 - left) / 2 * np.cos(at * np.pi / 6), 1)
    good, elsewhere = [False] * 300, (abs(at - 150) > 9).tolist()
    assert DetailSteps().find(drops.tolist(), good, 300)[0][150:].all()
    assert not DetailSteps().find(drops.tolist(), good, 300, elsewhere)[0].any()
    assert not DetailSteps().find(restless.tolist(), good, 300)[0].any()


@pytest.mark.parametrize("kind", [Steps, DetailSteps])
@given(lengths=st.lists(st.integers(1, 400), min_size=1, max_size=5), seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_shot_in_pieces_is_judged_as_a_whole(kind, lengths, seed):
    rng = np.random.default_rng(seed)
    total = sum(lengths) + 260
    sharp = np.where(np.repeat(rng.random(total // 20 + 1) < 0.5, 20)[:total], 0.3, 0.6)
    whole = kind().find(sharp.tolist(), [False] * total, total - 260)[0]
    steps, found, at = kind(), [], 0
    for length in lengths:
        found.append(steps.find(sharp[at:].tolist(), [False] * (total - at), length)[0])
        at += length
    assert np.array_equal(np.concatenate(found), whole)
