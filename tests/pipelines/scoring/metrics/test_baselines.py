"""Long faults on drawn series of features, over lengths, rates and noise: one run each, and none without a fault."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.scoring.metrics.baselines import Change, Steps, Stills, opening

RATES = st.sampled_from([10, 24, 25, 30, 60, 120, 240])
SEEDS = st.integers(0, 2**32 - 1)


def changes(rate: float, frames: int, speed: float, seed: int) -> np.ndarray:
    """The shift of a camera that pans, with a little of the hand's unsteadiness."""
    rng = np.random.default_rng(seed)
    return speed * (1 + 0.1 * np.sin(np.arange(frames) * 5 / rate)) * rng.normal(1, 0.03, frames)


def change_of(shift: np.ndarray, change: np.ndarray | None = None) -> Change:
    local = 3 * shift if change is None else change
    ones = [1.0] * len(shift)
    return Change(shift.tolist(), local.tolist(), ones, ones, [False] * len(shift))


def flat_change(
    change: np.ndarray, difference: np.ndarray | float, noise: np.ndarray | float, seed: int
) -> Change:
    """A picture so flat that motion gives no shift."""
    rng = np.random.default_rng(seed)
    columns = (0.05 * rng.random(len(change)), change, difference, noise, False)
    return Change(*(np.broadcast_to(column, len(change)).tolist() for column in columns))


@given(RATES, st.floats(0.05, 120), st.floats(1.5, 40), st.floats(0, 0.15), st.integers(10, 300), SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_freeze_of_any_length_is_one_run(rate, seconds, speed, noise, before, seed):
    length = max(1, min(20_000, round(rate * seconds)))
    shift = changes(rate, before + length + 40, speed, seed)
    rng = np.random.default_rng(seed)
    shift[before : before + length] = noise * rng.random(length)
    shift[before + length] = 4 * speed
    local = np.where(shift < 0.15, rng.uniform(0, 1.5, len(shift)), 3 * shift)
    found = Stills().find(change_of(shift, local), len(shift))
    assert np.flatnonzero(found).tolist() == list(range(before, before + length))


@given(st.integers(20, 2000), st.integers(0, 1900), st.floats(0.5, 3.0), SEEDS)
@settings(max_examples=40, deadline=None)
def test_what_the_encoder_refreshes_does_not_end_a_freeze(length, at, pop, seed):
    shift = changes(30, 60 + length + 40, 3.5, seed)
    shift[60 : 60 + length] = 0.02
    refreshed = 60 + 8 + at % (length - 12)
    shift[refreshed] = pop
    found = Stills().find(change_of(shift), len(shift))
    assert np.flatnonzero(found).tolist() == list(range(60, 60 + length))


@given(st.integers(1, 9), st.floats(0.1, 0.25), SEEDS)
@settings(max_examples=30, deadline=None)
def test_what_a_shot_did_before_does_not_hide_a_short_freeze_of_a_steady_pan(length, left, seed):
    shift = np.concatenate((changes(25, 30, 4, seed), changes(25, 60, 2, seed)))
    shift[60 : 60 + length] *= left
    found = Stills().find(change_of(shift), len(shift))
    assert np.flatnonzero(found).tolist() == list(range(60, 60 + length))


@given(st.integers(1, 500), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_freeze_of_a_smooth_sky_is_told_by_how_its_shades_move(length, seed):
    change = np.random.default_rng(seed).uniform(5, 8, 40 + length + 20)
    change[40 : 40 + length] = 1.4
    found = Stills().find(flat_change(change, 0.9, 1.0, seed), len(change))
    assert np.flatnonzero(found).tolist() == list(range(40, 40 + length))


@given(st.integers(1, 500), st.booleans(), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_freeze_of_a_flat_picture_is_told_by_its_noise(length, is_kept, seed):
    frames = 40 + length + 20
    rng = np.random.default_rng(seed)
    # Noise that encoding keeps moves until the picture stops; or it is smoothed away, but for that of the copies.
    difference, noise = (
        rng.uniform(0.5, 1, frames) if is_kept else rng.uniform(0.003, 0.03, frames),
        np.full(frames, 0.1),
    )
    difference[39], difference[40 : 40 + length], difference[40 + length] = 1.9, 0.002, 2.1
    noise[39 : 40 + length] += 0 if is_kept else 2.0
    found = Stills().find(flat_change(np.full(frames, 1.2), difference, noise, seed), frames)
    assert np.flatnonzero(found).tolist() == list(range(40, 40 + length))


@given(st.floats(0, 1), st.floats(0, 2), SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_noise_of_a_still_is_no_freeze(kept, noise, seed):
    rng = np.random.default_rng(seed)
    difference = kept * rng.uniform(0.4, 1.6, 800) + 0.001 * rng.random(800)
    levels = noise * rng.uniform(0.9, 1, 800)
    levels[250:] *= 1.15  # an encoder begins anew, with a better first frame
    difference[250] = 1.0
    assert not Stills().find(flat_change(rng.uniform(0.2, 2.2, 800), difference, levels, seed), 800).any()


@given(st.floats(0, 0.25), st.integers(1, 3000), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_still_from_the_first_frame_on_is_no_fault(noise, frames, seed):
    shift = noise * np.random.default_rng(seed).random(frames)
    assert not Stills().find(change_of(shift), frames).any()


@given(RATES, st.floats(1.5, 40), st.integers(50, 1500), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_moving_camera_is_no_fault(rate, speed, frames, seed):
    assert not Stills().find(change_of(changes(rate, frames, speed, seed)), frames).any()


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


@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_shot_in_pieces_is_judged_as_a_whole(lengths, seed):
    rng = np.random.default_rng(seed)
    total = sum(lengths) + 260
    shift = np.where(np.repeat(rng.random(total // 20 + 1) < 0.5, 20)[:total], 0.01, 5.0)
    sharp = np.where(np.repeat(rng.random(total // 20 + 1) < 0.5, 20)[:total], 0.3, 0.6)
    frames = total - 260
    whole = Stills().find(change_of(shift), frames), Steps().find(sharp.tolist(), [False] * total, frames)[0]
    stills, steps, found, at = Stills(), Steps(), ([], []), 0
    for length in lengths:
        rest = change_of(shift[at:])
        found[0].append(stills.find(rest, length))
        found[1].append(steps.find(sharp[at:].tolist(), [False] * (total - at), length)[0])
        at += length
    assert np.array_equal(np.concatenate(found[0]), whole[0])
    assert np.array_equal(np.concatenate(found[1]), whole[1])
