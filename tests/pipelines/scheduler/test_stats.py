"""What the queue learns, with a clock that the tests move."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.jobs import events
from pipelines.jobs.events import Facts, Outputs, Planned, Progress
from pipelines.jobs.job import Job
from pipelines.scheduler.stats import Counters, Ledger
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
def ledger(clock: Clock) -> Ledger:
    return Ledger(clock)


def ticket(size_bytes: int, task: str = "score") -> Ticket:
    return Ticket(Job(Path("x")), task, "clip.mp4", size_bytes)


def planned(frames: int = 100, kept: int = 0, of: int = 100) -> Planned:
    facts = Facts.model_construct(frames=of)
    return Planned.model_construct(type="planned", facts=facts, frames=frames, frames_kept=kept)


def progress(eta_seconds: float | None, rate: float = 20.0) -> Progress:
    return Progress.model_construct(type="progress", frames_per_second=rate, eta_seconds=eta_seconds)


def run(
    ledger: Ledger, clock: Clock, size_bytes: int, seconds: float, plan: Any = None, end: Any = DONE
) -> None:
    ledger.begin(ticket(size_bytes))
    ledger.hear(plan or planned())
    clock.now += seconds
    ledger.hear(end)
    ledger.leave()


def test_nothing_runs_and_nothing_is_ahead(ledger: Ledger) -> None:
    assert ledger.expected_wait([]) == 0.0
    assert ledger.expected_wait([ticket(10)]) is None, "nothing is known of the task yet"


def test_the_running_job_tells_what_is_left(ledger: Ledger, clock: Clock) -> None:
    ledger.begin(ticket(1000))
    assert ledger.expected_wait([]) is None
    ledger.hear(progress(30.0))
    clock.now += 10
    assert ledger.expected_wait([]) == 20.0
    clock.now += 100
    assert ledger.expected_wait([]) == 0.0, "late, but never in the past"


def test_those_ahead_take_what_recent_runs_took_by_size(ledger: Ledger, clock: Clock) -> None:
    for seconds in (10.0, 20.0, 90.0):
        run(ledger, clock, 1000, seconds)
    assert ledger.expected_wait([ticket(500), ticket(2000)]) == pytest.approx(10 + 40), (
        "the median: 20 ms a byte"
    )
    assert ledger.expected_wait([ticket(500), ticket(500, "copy")]) is None, "another task, another pace"


def test_old_runs_are_forgotten(ledger: Ledger, clock: Clock) -> None:
    for seconds in (1.0,) * 20 + (5.0,) * 8:
        run(ledger, clock, 100, seconds)
    assert ledger.expected_wait([ticket(100)]) == pytest.approx(5.0)


def test_a_running_job_that_says_nothing_yet_is_expected_to_take_what_others_took(
    ledger: Ledger, clock: Clock
) -> None:
    run(ledger, clock, 1000, 40.0)
    ledger.begin(ticket(1000))
    ledger.hear(planned(kept=50))
    ledger.hear(progress(None))
    clock.now += 5
    assert ledger.expected_wait([]) == pytest.approx(40 / 2 - 5), "half of it is kept from before"


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [(planned(frames=10), 4.0), (planned(kept=90), 4.0), (planned(frames=50, kept=40), 4.0)],
    ids=["a trial of a tenth", "a resume at nine tenths", "both"],
)
def test_a_run_over_a_part_counts_as_a_part(
    ledger: Ledger, clock: Clock, plan: Planned, seconds: float
) -> None:
    run(ledger, clock, 1000, seconds, plan)
    assert ledger.expected_wait([ticket(1000)]) == pytest.approx(40.0)


def test_a_plan_that_is_corrected_does_not_make_the_run_smaller(ledger: Ledger, clock: Clock) -> None:
    ledger.begin(ticket(1000))
    ledger.hear(planned())
    ledger.hear(planned(kept=99))
    clock.now += 40
    ledger.hear(DONE)
    ledger.leave()
    assert ledger.expected_wait([ticket(1000)]) == pytest.approx(40.0)


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
    ledger: Ledger, clock: Clock, size_bytes: int, plan: Planned, end: Any
) -> None:
    run(ledger, clock, size_bytes, 4.0, plan, end)
    assert ledger.expected_wait([ticket(1000)]) is None


def test_counters(ledger: Ledger, clock: Clock) -> None:
    assert ledger.counters == Counters()
    ledger.begin(ticket(10))
    ledger.hear(progress(3.0, rate=25.0))
    ledger.hear(events.Degraded(job="x", frame=1, rung="smaller", change="exact", message=""))
    assert ledger.counters == Counters(25.0, 0, 1, {})
    ledger.hear(events.Warned(job="x", code="worker_died", message=""))
    ledger.hear(events.Warned(job="x", code="damaged", message=""))
    assert ledger.counters == Counters(0.0, 1, 1, {}), "a worker that died computes nothing"
    ledger.hear(progress(3.0))
    ledger.hear(DONE)
    ledger.leave()
    ledger.hear(events.CancelledEvent(job="y"))
    assert ledger.counters == Counters(0.0, 1, 1, {"done": 1, "cancelled": 1})
