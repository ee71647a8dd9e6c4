"""Repeats at a regular rhythm are cadence; freezes are not, whatever the rhythm around them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scoring.metrics import cadence
from pipelines.scoring.metrics.cadence import Cadence
from pipelines.scoring.metrics.verdicts import VERDICT


def rows(frozen: np.ndarray) -> np.ndarray:
    made = np.zeros(len(frozen), VERDICT)
    made["frozen"] = frozen
    return made


def told(frozen: np.ndarray, block: int = 10_000) -> np.ndarray:
    whole = rows(frozen)
    blocks = (whole[i : i + block] for i in range(0, len(whole), block))
    found = np.concatenate(list(Cadence().tell_apart(blocks)))
    assert np.array_equal(found["frozen"] | found["cadence"], frozen)
    assert not (found["frozen"] & found["cadence"]).any()
    return found


def shown(*counts: int, pictures: int = 60) -> np.ndarray:
    """Flags of repeats where pictures are shown for these numbers of frames, in turn."""
    return np.concatenate([[False] + [True] * (counts[i % len(counts)] - 1) for i in range(pictures)])


@pytest.mark.parametrize(
    "counts", [(2,), (3,), (2, 3), (1, 1, 1, 2), (5,), (1,) * 23 + (2,), (2, 2, 3), (4,), (1, 2)], ids=str
)
def test_a_rhythm_of_repeats_is_cadence(counts):
    found = told(shown(*counts, pictures=300))
    assert not found["frozen"].any()
    assert found["cadence"].any()


def test_a_freeze_within_a_rhythm_is_frozen():
    frozen = np.concatenate((shown(2, 3), [True] * 40, shown(2, 3)))
    found = told(frozen)
    assert np.flatnonzero(found["frozen"]).tolist() == list(range(148, 190))
    assert np.array_equal(found["cadence"], frozen & ~found["frozen"])


@pytest.mark.parametrize("period", [2, 3, 5, 25])
def test_a_rhythm_is_cadence_although_noise_hides_some_of_its_repeats(period):
    frozen = shown(*(1,) * (period - 2), 2, pictures=40 * (period - 1))
    beats = np.flatnonzero(frozen)
    frozen[np.random.default_rng(period).permutation(beats)[: len(beats) // 3]] = False
    frozen[beats[:5]] = frozen[beats[-5:]] = True
    assert np.array_equal(told(frozen)["cadence"], frozen)


def test_a_freeze_in_a_rhythm_does_not_end_it():
    frozen = np.concatenate((shown(2), [True] * 30, shown(2, pictures=4)))
    found = told(frozen)
    assert np.flatnonzero(found["frozen"]).tolist() == list(range(119, 150))
    assert np.flatnonzero(found["cadence"])[-4:].tolist() == [151, 153, 155, 157]


@pytest.mark.parametrize(("rate", "least"), [(10, 1), (30, 1), (50, 2), (60, 2), (120, 4), (240, 8)])
def test_a_freeze_that_is_too_brief_to_be_seen_is_not_told(rate, least):
    frozen = np.zeros(400, bool)
    frozen[100 : 100 + least - 1] = frozen[200 : 200 + least] = True
    for block in (1, 400):
        blocks = (rows(frozen)[i : i + block] for i in range(0, 400, block))
        found = np.concatenate(list(Cadence(rate).tell_apart(blocks)))
        assert np.flatnonzero(found["frozen"]).tolist() == list(range(200, 200 + least))
        assert not found["cadence"].any()


@pytest.mark.parametrize("starts", [(10,), (10, 40, 70, 100, 130), (10, 21, 40, 52, 80, 89)])
def test_single_freezes_are_no_rhythm(starts):
    frozen = np.zeros(200, bool)
    for start in starts:
        frozen[start : start + 2] = True
    assert not told(frozen)["cadence"].any()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=60), st.integers(1, 50))
def test_blocks_do_not_matter(pattern, block):
    frozen = np.concatenate([[False]] + [[False] * gap + [True] * length for gap, length in pattern])
    frozen = frozen.astype(bool)
    whole = told(frozen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cadence, "_BLOCK", 1)
        assert told(frozen, block).tobytes() == whole.tobytes()


def test_undecided_frames_are_few(monkeypatch):
    monkeypatch.setattr(cadence, "_BLOCK", 1)
    held = 0

    def blocks():
        nonlocal held
        for _ in range(3000):
            held += 1
            yield rows(np.array([held % 37 in (0, 20)]))

    most = 0
    for block in Cadence().tell_apart(blocks()):
        most = max(most, held)
        held -= len(block)
    assert most <= cadence.LEAST_STRETCHES * (cadence.MOST_PERIOD + cadence.MOST_REPEATS)
