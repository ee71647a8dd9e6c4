"""Stamps that do not rise: repaired where they do not, and kept where they do."""

import itertools
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.video.clock.clock_repair import repair

MILLISECONDS = Fraction(1, 1000)
STEPS = st.lists(st.integers(1, 500), min_size=12, max_size=80)


def rising(steps: list[int], first: int = 0) -> list[int]:
    stamps = [first]
    for step in steps:
        stamps.append(stamps[-1] + step)
    return stamps


def repaired(stamps: list[int | None]) -> list[int]:
    found = repair(stamps, MILLISECONDS)
    assert found is not None
    return list(found.stamps)


@settings(deadline=None)
@given(STEPS, st.integers(-10_000, 10_000))
def test_rising_stamps_are_kept(steps: list[int], first: int) -> None:
    found = repair(rising(steps, first), MILLISECONDS)
    assert found is not None and list(found.stamps) == rising(steps, first)
    assert found.sentences(MILLISECONDS) == ()


@settings(deadline=None)
@given(STEPS, st.data())
def test_a_duplicate_moves_by_a_tick(steps: list[int], data: st.DataObject) -> None:
    stamps = rising([step + 1 for step in steps])
    index = data.draw(st.integers(1, len(stamps) - 1))
    wanted = list(stamps)
    stamps[index] = stamps[index - 1]
    wanted[index] = stamps[index - 1] + 1
    found = repair(stamps, MILLISECONDS)
    assert found is not None and list(found.stamps) == wanted
    assert f"frame {index} moved" in found.sentences(MILLISECONDS)[0]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(30, 60), min_size=12, max_size=40), min_size=2, max_size=4))
def test_a_restart_continues_and_keeps_every_step(parts: list[list[int]]) -> None:
    stamps = [stamp for steps in parts for stamp in rising(steps, 1400)]
    found = repair(stamps, MILLISECONDS)
    assert found is not None and len(found.restarts) == len(parts) - 1
    begin = 0
    for steps in parts:
        kept = list(found.stamps[begin : begin + len(steps) + 1])
        assert [after - before for before, after in itertools.pairwise(kept)] == steps
        begin += len(steps) + 1
        if begin < len(found.stamps):
            assert 30 <= found.stamps[begin] - found.stamps[begin - 1] <= 60
    assert len(found.sentences(MILLISECONDS)) == len(parts) - 1


def test_four_equal_stamps_move_nothing_else() -> None:
    stamps = [0, 40, 80, 80, 80, 80, 240, 280, 320, 360]
    assert repaired(stamps) == [0, 40, 80, 81, 82, 83, 240, 280, 320, 360]


def test_exchanged_stamps_are_put_in_order() -> None:
    assert repaired([0, 40, 120, 80, 160, 200, 240]) == [0, 40, 80, 120, 160, 200, 240]


def test_a_lone_outlier_moves_alone() -> None:
    assert repaired([0, 40, 9000, 120, 160, 200, 240]) == [0, 40, 80, 120, 160, 200, 240]
    assert repaired([1000, 1040, 7, 1120, 1160, 1200]) == [1000, 1040, 1080, 1120, 1160, 1200]


def test_missing_stamps_lie_between_their_neighbours() -> None:
    assert repaired([None, 40, None, 120, 160, None]) == [0, 40, 80, 120, 160, 200]
    assert repair([None, None, 80], MILLISECONDS) is None


def test_a_jump_ahead_is_taken_out_where_the_clock_jumped() -> None:
    stamps = [0, 40, 80, 60_000, 60_040]
    assert repaired(stamps) == stamps
    found = repair(stamps, MILLISECONDS, jumps=lambda before, after: (before, after) == (80, 60_000))
    assert found is not None and list(found.stamps) == [0, 40, 80, 120, 160]
