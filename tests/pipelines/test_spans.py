from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.spans import Span, batches, runs, split, widen

spans = st.tuples(st.integers(0, 500), st.integers(0, 500)).map(lambda p: Span(min(p), max(p)))


@given(spans, st.integers(2, 90))
def test_split_covers_every_frame_once_and_in_order(whole: Span, length: int) -> None:
    frames = [i for span in split(whole, length) for i in range(span.start, span.stop)]
    assert frames == list(range(whole.start, whole.stop))


@given(spans, st.integers(2, 90))
def test_no_span_is_a_single_frame_or_longer_than_asked_by_more_than_one(whole: Span, length: int) -> None:
    pieces = split(whole, length)
    assert all(len(p) <= length + 1 for p in pieces)
    assert all(len(p) > 1 for p in pieces) or len(whole) == 1


@given(spans, st.integers(2, 90), st.sets(st.integers(0, 40)))
def test_runs_keep_all_missing_spans_and_join_only_neighbours(
    whole: Span, length: int, kept: set[int]
) -> None:
    missing = [s for i, s in enumerate(split(whole, length)) if i not in kept]
    groups = list(runs(missing))
    assert [s for g in groups for s in g] == missing
    assert all(a.stop == b.start for g in groups for a, b in pairwise(g))
    assert all(a[-1].stop < b[0].start for a, b in pairwise(groups))


@given(spans)
def test_a_name_tells_its_span(span: Span) -> None:
    assert Span.from_name(span.name) == span


@pytest.mark.parametrize(
    "name", ["", "00000000-00000240.mp4", "part-00000000-00000240", "1-2", "00000009-00000002"]
)
def test_other_names_are_no_spans(name: str) -> None:
    assert Span.from_name(name) is None


def test_widen_stays_within_the_whole() -> None:
    assert widen(Span(10, 20), 3, 4, Span(0, 100)) == Span(7, 24)
    assert widen(Span(10, 20), 30, 400, Span(5, 100)) == Span(5, 100)


def test_a_span_never_ends_before_it_starts() -> None:
    with pytest.raises(ValueError, match="5, 4"):
        Span(5, 4)
    with pytest.raises(ValueError, match="at least 2"):
        split(Span(0, 9), 1)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
@pytest.mark.parametrize("start", [5, 6, 14, 15, 25, 35])
def test_every_frame_is_in_one_batch_and_beside_the_same_ones_wherever_a_run_begins(
    size: int, start: int
) -> None:
    spans = split(Span(5, 36), 10)
    assert spans[-1] == Span(25, 36)
    found = list(batches(spans, start, 36, size))
    assert [i for batch in found for i in range(batch.start, batch.stop)] == list(range(start, 36))
    assert all(0 < len(batch) <= size for batch in found)
    whole = list(batches(spans, 5, 36, size))
    assert all(batch in whole for batch in found[1:])
    assert found[0].stop == next(batch.stop for batch in whole if batch.start <= start < batch.stop)


def test_a_run_that_ends_early_computes_no_frame_more() -> None:
    assert list(batches([Span(0, 10), Span(10, 20)], 3, 12, 8)) == [Span(3, 8), Span(8, 10), Span(10, 12)]
