"""How calls on a lent GPU are sized: numbers only."""

import pytest

from pipelines.runtime.calls import LEAST_SECONDS, MOST_SECONDS, Calls, seconds_in_all
from pipelines.spans import Span, split

SPANS = split(Span(0, 2400), 240)


def test_the_prediction_and_a_margin_are_asked_for_with_the_start() -> None:
    """10 s to start, 60 frames of halo, 240 frames at 0.05 s and 30 % more."""
    lent = Calls(0.05, halo=60).next(SPANS[:1])
    assert lent.seconds == round(10 + 60 * 0.05 + 1.3 * 240 * 0.05) == 29


def test_a_call_takes_as_many_neighbours_as_fit_into_a_minute() -> None:
    calls = Calls(0.05)
    assert [len(calls.next(SPANS).spans), calls.next(SPANS).seconds] == [3, 57]
    assert calls.next([SPANS[0], SPANS[2]]).spans == (SPANS[0],), "they are no neighbours"


@pytest.mark.parametrize(("frame_seconds", "seconds"), [(1e-4, LEAST_SECONDS), (9.0, MOST_SECONDS)])
def test_the_seconds_have_bounds(frame_seconds: float, seconds: int) -> None:
    lent = Calls(frame_seconds).next(SPANS[:1])
    assert (lent.spans, lent.seconds) == ((SPANS[0],), seconds)


def test_without_a_prediction_one_span_is_tried_and_measured() -> None:
    calls = Calls(None)
    assert (calls.next(SPANS).spans, calls.next(SPANS).seconds) == ((SPANS[0],), MOST_SECONDS)
    calls.measured(load_seconds=5.0, seconds=5.0 + 239 * 0.01, frames=240)
    assert calls.next(SPANS).frames == 2400
    assert calls.next(SPANS).seconds == round(5 + 1.3 * 2400 * 0.01)


def test_what_was_measured_replaces_the_prediction_and_the_slowest_start_counts() -> None:
    calls = Calls(1.0, halo=60)
    calls.measured(load_seconds=8.0, seconds=8.0 + 239 * 0.1, frames=240)
    calls.measured(load_seconds=2.0, seconds=2.0 + 239 * 0.1, frames=240)
    assert calls.next(SPANS[:1]).seconds == round(8 + 1.3 * 240 * 0.1)


def test_after_a_call_that_was_cut_short_fewer_spans_are_tried_and_then_more_seconds() -> None:
    calls, tried = Calls(0.05), []
    while True:
        lent = calls.next(SPANS)
        tried.append((len(lent.spans), lent.seconds))
        if not calls.cut_short(lent):
            break
    assert tried == [(3, 57), (1, 26), (1, 52), (1, 104), (1, 120)]
    calls.done()
    assert len(calls.next(SPANS).spans) > 1, "one that was done allows more again"


def test_seconds_that_are_refused_are_halved_down_to_the_least() -> None:
    calls, tried = Calls(None), []
    while calls.refused(lent := calls.next(SPANS)):
        tried.append(lent.seconds)
    assert tried == [60, 30] and lent.seconds == LEAST_SECONDS


def test_all_calls_of_a_job_are_added_up() -> None:
    assert seconds_in_all(SPANS, 0.05, 0) == 3 * 57 + 26
    assert seconds_in_all([], 0.05, 0) == 0
