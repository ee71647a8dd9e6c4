"""Short freezes whose copies the encoder moves, on drawn series of shifts; motion that merely varies is no fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.scoring.metrics.stills import Change, Stills

SEEDS = st.integers(0, 2**32 - 1)


def frozen(shift: np.ndarray, blurred: np.ndarray | None = None) -> list[int]:
    ones, no = [1.0] * len(shift), [False] * len(shift)
    blurs = no if blurred is None else blurred.tolist()
    change = Change(shift.tolist(), (3 * shift).tolist(), ones, ones, [40.0] * len(shift), no, blurs)
    return np.flatnonzero(Stills().find(change, len(shift))).tolist()


def steady(frames: int, speed: float, seed: int) -> np.ndarray:
    return speed * np.random.default_rng(seed).uniform(0.9, 1.1, frames)


@given(st.floats(0.8, 2.7), st.integers(20, 60), SEEDS)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize(
    "left", [(0.45, 0.56, 0.66), (0.36, 0.13, 0.2, 0.28), (0.18, 0.28), (0.4, 0.4, 0.5, 0.6)]
)
def test_a_stutter_amid_steady_motion_is_a_freeze(left, speed, before, seed):
    shift = steady(before + len(left) + 30, speed, seed)
    shift[before : before + len(left)] = np.array(left) * speed
    assert frozen(shift) == list(range(before, before + len(left)))


@given(st.floats(0.3, 0.5), st.integers(7, 12), SEEDS)
@settings(max_examples=40, deadline=None)
def test_a_lull_that_a_jump_makes_up_for_is_a_freeze(speed, length, seed):
    shift = np.resize([1.6, 0.8, 0.8, 0.8], 80) * steady(80, speed, seed)  # every fourth frame moves most
    shift[40 : 40 + length] *= 0.4
    shift[40 + length - 2 : 40 + length] = speed
    shift[40 + length] = 0.8 * length * speed
    found = frozen(shift)
    assert found == list(range(found[0], 40 + length))
    assert 36 <= found[0] <= 44


@given(st.floats(0.8, 2.7), SEEDS)
@settings(max_examples=40, deadline=None)
def test_motion_that_is_uneven_slows_down_or_bounces_is_no_freeze(speed, seed):
    uneven, slowing, bouncing, blurring = (steady(120, speed, seed) for _ in range(4))
    uneven[40:120:12] *= 1.8
    uneven[45:120:12] *= 0.5
    slowing[60:76] *= np.concatenate((np.linspace(1, 0.3, 8), np.linspace(0.3, 1, 8)))
    bouncing[60] *= 0.05 if speed > 2 else 0.2
    blurring[60:64] *= 0.4
    is_blurred = (np.arange(120) >= 60) & (np.arange(120) < 64)
    assert not frozen(slowing)
    assert set(frozen(bouncing)) <= {60}
    assert not frozen(blurring, is_blurred)
    uneven[60:63] = 0.45 * speed
    assert not frozen(uneven)


@given(st.floats(0.3, 0.5), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_jump_without_a_lull_is_no_freeze(speed, seed):
    shift = np.resize([1.6, 0.8, 0.8, 0.8], 100) * steady(100, speed, seed)
    shift[60] = 8 * speed
    assert not frozen(shift)


@given(st.integers(1, 40), SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_stutter_across_two_pieces_is_found_whole(cut, seed):
    shift = steady(90, 2.0, seed)
    shift[40:43] = 0.9, 1.1, 1.3
    ones, no = [1.0] * 90, [False] * 90
    stills, found = Stills(), []
    for start, stop in ((0, cut + 5), (cut + 5, 90)):
        part = shift[start:]
        change = Change(part.tolist(), (3 * part).tolist(), ones, ones, [40.0] * 90, no, no)
        found += (np.flatnonzero(stills.find(change, stop - start)) + start).tolist()
    assert found == [40, 41, 42]
