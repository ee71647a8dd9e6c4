"""Times as fractions: constant rates behind coarse clocks, and variable ones."""

from array import array
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.video.clock.timeline import constant, from_stamps

RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(60000, 1001),
]


@settings(deadline=None)
@given(
    st.sampled_from(RATES),
    st.sampled_from([1000, 90_000, 12_800, 1_000_000]),
    st.integers(2, 400),
    st.integers(0, 10**6),
)
def test_finds_the_rate_behind_a_rounding_clock(rate: Fraction, ticks: int, frames: int, first: int) -> None:
    stamps = array("q", (first + round(index / rate * ticks) for index in range(frames)))
    timeline = from_stamps(stamps, Fraction(1, ticks), rates=[rate])
    assert not timeline.vfr and timeline.rate == rate
    assert timeline.time(frames - 1) == Fraction(first, ticks) + (frames - 1) / rate
    assert [timeline.index(stamp) for stamp in stamps] == list(range(frames))


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(-1000, 1000))
def test_keeps_the_times_of_a_variable_rate(steps: list[int], first: int) -> None:
    stamps = array("q", [first])
    for step in steps:
        stamps.append(stamps[-1] + step)
    timeline = from_stamps(stamps, Fraction(1, 1000), rates=[])
    for index, stamp in enumerate(stamps):
        assert abs(timeline.time(index) - Fraction(stamp, 1000)) <= (0 if timeline.vfr else Fraction(1, 1000))
        assert timeline.index(stamp) == index
        assert timeline.first_at(timeline.time(index) - timeline.start) == index


def test_a_gap_in_a_coarse_clock_is_no_rounding() -> None:
    stamps = array("q", [0, 1, 2, 4, 5])
    assert from_stamps(stamps, Fraction(1, 25), rates=[Fraction(25)]).vfr


def test_one_frame_is_shown_as_long_as_the_rate_says() -> None:
    timeline = from_stamps(array("q", [7]), Fraction(1, 10), rates=[None, Fraction(24)])
    assert (timeline.frames, timeline.start, timeline.seconds) == (1, Fraction(7, 10), Fraction(1, 24))


def test_an_unknown_stamp_is_no_frame() -> None:
    variable = from_stamps(array("q", [0, 40, 90, 100]), Fraction(1, 1000), rates=[])
    assert variable.index(41) is None and variable.index(101) is None
    steady = constant(10, Fraction(25))
    assert steady.index(10) is None and steady.index(-1) is None


def test_the_last_frame_of_a_variable_rate_has_its_own_length() -> None:
    timeline = from_stamps(array("q", [0, 40, 90]), Fraction(1, 1000), rates=[], last_stamps=25)
    assert timeline.seconds == Fraction(115, 1000)


def test_an_origin_is_taken_off() -> None:
    timeline = from_stamps(
        array("q", [133_200, 136_800]), Fraction(1, 90_000), rates=[], origin=Fraction(14, 10)
    )
    assert (
        timeline.start == Fraction(8, 100) and timeline.stamp(1) == 136_800 and timeline.index(136_800) == 1
    )


def test_first_at() -> None:
    timeline = constant(10, Fraction(25), Fraction(3))
    assert [timeline.first_at(s) for s in map(Fraction, ("0", "0.04", "0.041", "0.36", "0.37", "99"))] == [
        0,
        1,
        2,
        9,
        10,
        10,
    ]


def test_outside_is_an_error() -> None:
    with pytest.raises(IndexError, match="frame 10 of 10"):
        constant(10, Fraction(25)).time(10)
