"""Who computes what: every span is published once, whoever is lost, silent, slow or new."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.runtime.stretches import Stretches
from pipelines.spans import Span, runs, split


def spans(count: int, length: int = 10) -> list[Span]:
    return split(Span(0, count * length), length)


def frames(given: object) -> tuple[int, int]:
    return given.spans[0].start, given.spans[-1].stop  # type: ignore[attr-defined]


def test_the_first_stretches_are_equally_long() -> None:
    work = Stretches(spans(12), 3)
    assert sorted(frames(work.give(n)) for n in (1, 2, 3)) == [(0, 40), (40, 80), (80, 120)]


def test_stretches_at_the_ends_are_longer_by_half_a_halo() -> None:
    work = Stretches(spans(24), 3, halo=60)
    assert sorted(frames(work.give(n)) for n in (1, 2, 3)) == [(0, 90), (90, 150), (150, 240)]


def test_stretches_do_not_reach_over_what_is_finished() -> None:
    missing = [span for span in spans(12) if span.start not in (50, 60)]
    work = Stretches(missing, 2)
    given = [work.give(n) for n in (1, 2)]
    assert all(len(list(runs(each.spans))) == 1 for each in given if each)


def test_who_is_idle_takes_the_back_half_of_the_longest() -> None:
    work = Stretches(spans(10), 1)
    assert frames(work.give(1)) == (0, 100)
    work.publish(1, Span(0, 10))
    stolen = work.give(2)
    assert stolen and stolen.taken_from == 1 and frames(stolen) == (50, 100)
    assert work.work_of(1) == (Span(10, 50), 1)


def test_the_span_at_hand_is_not_stolen() -> None:
    work = Stretches(spans(2), 1)
    work.give(1)
    assert frames(work.give(2)) == (10, 20)
    assert work.give(3) is None


@pytest.mark.parametrize(
    ("halo", "stolen"), [(0, (20, 40)), (10, (20, 40)), (11, (30, 40)), (29, (30, 40)), (30, None)]
)
def test_thief_and_victim_end_together_and_nothing_is_stolen_that_saves_nothing(
    halo: int, stolen: tuple[int, int] | None
) -> None:
    work = Stretches(spans(4), 1, halo=halo)
    work.give(1)
    given = work.give(2)
    assert (frames(given) if given else None) == stolen


@pytest.mark.parametrize(("halo", "first"), [(0, (0, 10)), (29, (0, 20)), (30, (0, 40))])
def test_a_stage_is_cut_only_where_the_parts_end_sooner_than_the_whole(
    halo: int, first: tuple[int, int]
) -> None:
    assert frames(Stretches(spans(4), 4, halo=halo).give(1)) == first


def test_what_walks_in_order_is_never_shared() -> None:
    work = Stretches([span for span in spans(6) if span.start != 20], 3, in_order=True)
    given = work.give(1)
    assert given and [span.start for span in given.spans] == [0, 10, 30, 40, 50]
    assert work.give(2) is None and work.give(3) is None


def test_the_spans_of_a_lost_worker_wait_again_and_the_loss_is_counted_at_one_span() -> None:
    work = Stretches(spans(3), 1)
    for worker in (1, 2, 3):
        work.give(worker)
        if worker == 1:
            work.publish(1, Span(0, 10))
        assert work.lose(worker) == Span(10, 20)
        assert work.losses == worker
    again = work.give(4)
    assert again and frames(again) == (10, 30) and work.work_of(4) == (Span(10, 30), 4)


def test_who_is_sent_away_is_no_loss() -> None:
    work = Stretches(spans(3), 1)
    work.give(1)
    work.take_back(1)
    assert work.losses == 0 and frames(work.give(2)) == (0, 30)


def test_a_silent_worker_is_doubled_once_and_the_first_to_publish_wins() -> None:
    work = Stretches(spans(1), 1)
    work.give(1)
    assert work.give(2) is None
    assert frames(work.give(2, silent=[1])) == (0, 10)
    assert work.give(3, silent=[1]) is None, "two are enough"
    assert work.publish(2, Span(0, 10)) and work.is_done
    assert not work.publish(1, Span(0, 10))


def test_what_is_left_of_an_order_that_ended_early_waits_again() -> None:
    work = Stretches(spans(3), 1)
    work.give(1)
    work.publish(1, Span(0, 10))
    work.end(1)
    assert frames(work.give(2)) == (10, 30)


@settings(max_examples=300)
@given(
    st.integers(1, 30),
    st.integers(1, 6),
    st.integers(0, 15),
    st.booleans(),
    st.sets(st.integers(0, 29)),
    st.integers(0, 2**32),
)
def test_every_span_is_published_once_if_one_worker_lives(
    count: int, workers: int, halo: int, in_order: bool, kept: set[int], seed: int
) -> None:
    """Random histories: workers publish, fall silent, come back, are lost, sent away, and join."""
    chance = random.Random(seed)
    missing = [span for i, span in enumerate(spans(count)) if i not in kept]
    work = Stretches(missing, workers, halo=halo, in_order=in_order)
    orders: dict[int, list[Span]] = {}
    silent: set[int] = set()
    alive, hired, published = set(range(workers)), workers, []
    for _ in range(20_000):
        if work.is_done:
            break
        for worker in sorted(alive - orders.keys()):
            if got := work.give(worker, sorted(silent)):
                orders[worker] = list(got.spans)
                assert in_order or len(list(runs(got.spans))) == 1, "a halo is paid once a stretch"
                if got.taken_from in orders:
                    first = got.spans[0]
                    orders[got.taken_from] = [span for span in orders[got.taken_from] if span < first]
        at_work = sorted(orders.keys() - silent)
        what = chance.choice(("publish",) * 8 + ("lose", "dismiss", "silence", "wake", "join"))
        if what == "publish" and at_work:
            worker = chance.choice(at_work)
            if orders[worker]:
                span = orders[worker].pop(0)
                if work.publish(worker, span):
                    published.append(span)
            if not orders[worker]:
                del orders[worker]
                work.end(worker)
        elif what in ("lose", "dismiss") and len(alive) > 1:
            worker = chance.choice(sorted(alive))
            (work.lose if what == "lose" else work.take_back)(worker)
            alive.discard(worker)
            silent.discard(worker)
            orders.pop(worker, None)
        elif what == "silence" and len(alive - silent) > 1:
            silent.add(chance.choice(sorted(alive - silent)))
        elif what == "wake" and silent:
            silent.discard(chance.choice(sorted(silent)))
        elif what == "join" and len(alive) < 6:
            alive.add(hired)
            hired += 1
    assert work.is_done
    assert sorted(published) == missing
