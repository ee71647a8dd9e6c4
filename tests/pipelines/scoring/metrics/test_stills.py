"""Long freezes on drawn series of features, over lengths, rates and noise: one run each, and none without a fault."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.scoring.metrics.stills import LOOKED_AHEAD, Change, Stills

RATES = st.sampled_from([10, 24, 25, 30, 60, 120, 240])
SEEDS = st.integers(0, 2**32 - 1)


def changes(rate: float, frames: int, speed: float, seed: int) -> np.ndarray:
    """The shift of a camera that pans, with a little of the hand's unsteadiness."""
    rng = np.random.default_rng(seed)
    return speed * (1 + 0.1 * np.sin(np.arange(frames) * 5 / rate)) * rng.normal(1, 0.03, frames)


def change_of(shift: np.ndarray, change: np.ndarray | None = None) -> Change:
    local = 3 * shift if change is None else change
    ones = [1.0] * len(shift)
    columns = [40.0] * len(shift), [False] * len(shift), [False] * len(shift)
    return Change(shift.tolist(), local.tolist(), ones, ones, *columns)


def flat_change(
    change: np.ndarray,
    difference: np.ndarray | float,
    noise: np.ndarray | float,
    seed: int,
    shift: np.ndarray | None = None,
    contrast: float = 2.0,
) -> Change:
    """A picture so flat that motion gives no shift, or hardly any."""
    weak = 0.05 * np.random.default_rng(seed).random(len(change)) if shift is None else shift
    columns = (weak, change, difference, noise, contrast, False, False)
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


@given(st.sampled_from([60, 120, 240]), st.integers(9, 400), st.integers(0, 4), st.integers(0, 4), SEEDS)
@settings(max_examples=40, deadline=None)
def test_copies_over_which_the_encoder_spread_motion_belong_to_a_freeze(rate, length, first, last, seed):
    rng = np.random.default_rng(seed)
    frames = 60 + length + 40
    shift = changes(rate, frames, 1.5, seed)
    shift[60 : 60 + length] = 0.02
    shift[60 : 60 + first] = rng.uniform(0.5, 0.7, first)
    shift[60 + length - last : 60 + length] = rng.uniform(0.5, 0.7, last)
    shift[60 + length] = 5
    difference = (shift / 3).tolist()
    change = np.where(shift < 0.1, 1.0, 4.0).tolist()
    columns = [0.5] * frames, [40.0] * frames, [False] * frames, [False] * frames
    found = Stills().find(Change(shift.tolist(), change, difference, *columns), frames)
    assert np.flatnonzero(found).tolist() == list(range(60, 60 + length))


@given(st.sampled_from([50, 60, 120, 240]), st.integers(2, 20), st.booleans(), SEEDS)
@settings(max_examples=40, deadline=None)
def test_a_hand_that_holds_still_is_no_freeze_but_copies_are(rate, length, is_copied, seed):
    shift = changes(rate, 160, 4, seed)
    slowing = np.linspace(3, 0.5, 12)
    shift[60:72], shift[72 : 72 + length], shift[72 + length : 84 + length] = slowing, 0.05, slowing[::-1]
    columns = [1.0] * 160, [40.0] * 160, [False] * 160, [False] * 160
    difference = np.where(is_copied & (shift == 0.05), 0, shift / 3)
    found = Stills().find(
        Change(shift.tolist(), (3 * shift).tolist(), difference.tolist(), *columns), len(shift)
    )
    assert found[72 : 72 + length].all() if is_copied else not found.any()


def test_repeats_at_a_rhythm_are_no_holds_where_motion_is_slow():
    shift = np.tile([12.0, 0.02], 80)
    shift[80:120:2] = 2.0
    found = Stills().find(change_of(shift, np.where(shift < 0.1, 1.0, 40.0)), len(shift))
    assert np.flatnonzero(found).tolist() == list(range(5, 160, 2))


@given(st.integers(5, 500), st.booleans(), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_freeze_of_a_flat_picture_is_told_by_weak_motion_or_a_part_of_its_noise(length, is_moving, seed):
    rng = np.random.default_rng(seed)
    frames = 40 + length + 20
    shift, difference = np.zeros(frames), 4 + 0.05 * rng.random(frames)
    frozen = slice(40, 40 + length)
    if is_moving:
        shift = rng.uniform(0.08, 0.2, frames)
        shift[frozen] = 0.02 * rng.random(length)
        difference = np.full(frames, 0.05)
    else:
        difference[frozen] = rng.uniform(2.6, 2.8, length)
    change = rng.uniform(1, 2, frames)
    flat = flat_change(change, difference, 3.5, seed, shift)
    assert np.flatnonzero(Stills().find(flat, frames)).tolist() == list(range(40, 40 + length))
    contrasty = flat_change(change, difference, 3.5, seed, shift, contrast=20.0)
    assert (
        not Stills().find(contrasty, frames).any()
    )  # a still picture with contrast: what changes is its noise


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


@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_shot_in_pieces_is_judged_as_a_whole(lengths, seed):
    rng = np.random.default_rng(seed)
    total = sum(lengths) + LOOKED_AHEAD
    shift = rng.choice([0.01, 0.6, 5.0], total // 10 + 1, p=[0.4, 0.2, 0.4]).repeat(10)[:total]
    whole = Stills().find(change_of(shift), sum(lengths))
    stills, found, at = Stills(), [], 0
    for length in lengths:
        found.append(stills.find(change_of(shift[at:]), length))
        at += length
    assert np.array_equal(np.concatenate(found), whole)
