"""What the queue learns, with a clock that the tests move."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.jobs import events
from pipelines.jobs.events import Facts, Outputs, Planned, Progress
from pipelines.jobs.job import Job
from pipelines.scheduler.stats import Counters, QueueStats
from pipelines.scheduler.ticket import Ticket

DONE = events.Done(job="x", outputs=Outputs())


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stats(clock: Clock) -> QueueStats:
    return QueueStats(clock)


def ticket(size_bytes: int, task: str = "score") -> Ticket:
    return Ticket(Job(Path("x")), task, "clip.mp4", size_bytes)


def planned(frames: int = 100, kept: int = 0, of: int = 100) -> Planned:
    facts = Facts.model_construct(frames=of)
    return Planned.model_construct(type="planned", job="x", facts=facts, frames=frames, frames_kept=kept)


def progress(eta_seconds: float | None, rate: float = 20.0) -> Progress:
    return Progress.model_construct(type="progress", job="x", frames_per_second=rate, eta_seconds=eta_seconds)


def run(
    stats: QueueStats, clock: Clock, size_bytes: int, seconds: float, plan: Any = None, end: Any = DONE
) -> None:
    stats.begin(ticket(size_bytes))
    stats.record(plan or planned())
    clock.now += seconds
    stats.record(end)
    stats.end(Job(Path("x")))


def test_nothing_runs_and_nothing_is_ahead(stats: QueueStats) -> None:
    assert stats.expected_wait([]) == 0.0
    assert stats.expected_wait([ticket(10)]) is None, "nothing is known of the task yet"


def test_the_running_job_tells_what_is_left(stats: QueueStats, clock: Clock) -> None:
    stats.begin(ticket(1000))
    assert stats.expected_wait([]) is None
    stats.record(progress(30.0))
    clock.now += 10
    assert stats.expected_wait([]) == 20.0
    clock.now += 100
    assert stats.expected_wait([]) == 0.0, "late, but never in the past"


def test_those_ahead_take_what_recent_runs_took_by_size(stats: QueueStats, clock: Clock) -> None:
    for seconds in (10.0, 20.0, 90.0):
        run(stats, clock, 1000, seconds)
    assert stats.expected_wait([ticket(500), ticket(2000)]) == pytest.approx(10 + 40), (
        "the median: 20 ms a byte"
    )
    assert stats.expected_wait([ticket(500), ticket(500, "copy")]) is None, "another task, another pace"


def test_old_runs_are_forgotten(stats: QueueStats, clock: Clock) -> None:
    for seconds in (1.0,) * 20 + (5.0,) * 8:
        run(stats, clock, 100, seconds)
    assert stats.expected_wait([ticket(100)]) == pytest.approx(5.0)


def test_a_running_job_that_says_nothing_yet_is_expected_to_take_what_others_took(
    stats: QueueStats, clock: Clock
) -> None:
    run(stats, clock, 1000, 40.0)
    stats.begin(ticket(1000))
    stats.record(planned(kept=50))
    stats.record(progress(None))
    clock.now += 5
    assert stats.expected_wait([]) == pytest.approx(40 / 2 - 5), "half of it is kept from before"


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [(planned(frames=10), 4.0), (planned(kept=90), 4.0), (planned(frames=50, kept=40), 4.0)],
    ids=["a trial of a tenth", "a resume at nine tenths", "both"],
)
def test_a_run_over_a_part_counts_as_a_part(
    stats: QueueStats, clock: Clock, plan: Planned, seconds: float
) -> None:
    run(stats, clock, 1000, seconds, plan)
    assert stats.expected_wait([ticket(1000)]) == pytest.approx(40.0)


def test_a_plan_that_is_corrected_does_not_make_the_run_smaller(stats: QueueStats, clock: Clock) -> None:
    stats.begin(ticket(1000))
    stats.record(planned())
    stats.record(planned(kept=99))
    clock.now += 40
    stats.record(DONE)
    stats.end(Job(Path("x")))
    assert stats.expected_wait([ticket(1000)]) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("size_bytes", "plan", "end"),
    [
        (1000, planned(), events.CancelledEvent(job="x")),
        (1000, planned(kept=100), DONE),
        (0, planned(), DONE),
    ],
    ids=["cancelled", "nothing computed", "empty"],
)
def test_runs_that_say_nothing_about_the_pace(
    stats: QueueStats, clock: Clock, size_bytes: int, plan: Planned, end: Any
) -> None:
    run(stats, clock, size_bytes, 4.0, plan, end)
    assert stats.expected_wait([ticket(1000)]) is None


def test_counters(stats: QueueStats, clock: Clock) -> None:
    assert stats.counters == Counters()
    stats.begin(ticket(10))
    stats.record(progress(3.0, rate=25.0))
    stats.record(events.Degraded(job="x", frame=1, rung="smaller", change="exact", message=""))
    assert stats.counters == Counters(25.0, 0, 1, {})
    stats.record(events.Warned(job="x", code="worker_died", message=""))
    stats.record(events.Warned(job="x", code="damaged", message=""))
    assert stats.counters == Counters(0.0, 1, 1, {}), "a worker that died computes nothing"
    stats.record(progress(3.0))
    stats.record(DONE)
    stats.end(Job(Path("x")))
    stats.record(events.CancelledEvent(job="y"))
    assert stats.counters == Counters(0.0, 1, 1, {"done": 1, "cancelled": 1})


def test_two_at_once_are_told_apart(stats: QueueStats, clock: Clock) -> None:
    for seconds in (10.0, 10.0):
        run(stats, clock, 1000, seconds)
    one, two = (Ticket(Job(Path(name)), "score", "clip.mp4", 1000) for name in ("x", "y"))
    stats.begin(one), stats.begin(two)
    stats.record(progress(30.0, rate=4.0))
    stats.record(progress(50.0, rate=6.0).model_copy(update={"job": "y"}))
    assert stats.counters.frames_per_second == 10.0
    assert stats.expected_wait([], 2) == 30.0
    assert stats.expected_wait([ticket(1000)], 2) == 40.0, "where the first one was"
    assert stats.expected_wait([ticket(3000)], 2) == 50.0, "30 + 30 s there, 50 s at the other place"
    assert stats.expected_wait([], 3) == 0.0, "a place is free"
    stats.record(events.Warned(job="x", code="worker_died", message=""))
    assert stats.counters.frames_per_second == 6.0
    stats.end(one.job)
    assert stats.expected_wait([ticket(1000)], 2) == 10.0
