"""What is counted of the spans that workers compute together, from events alone."""

from typing import Any

from pipelines.errors import Sentence
from pipelines.jobs import events
from pipelines.scheduler.span_stats import BUCKETS, SpanStats


def crew(
    job: str = "a", time: float = 0.0, *members: str, lost: Any = (), open_spans: int = 10
) -> events.Crewed:
    """A crew whose workers 1, 2, ... are in these states."""
    return events.Crewed(
        job=job,
        wanted=4,
        members=tuple(events.Member(worker=i, state=state) for i, state in enumerate(members, 1)),  # type: ignore[arg-type]
        lost=lost,
        open_spans=open_spans,
        time=time,
    )


def segment(worker: int, time: float, job: str = "a") -> events.Segment:
    return events.Segment(job=job, start=0, stop=8, path="x", worker=worker, time=time)  # type: ignore[arg-type]


def test_spans_wait_for_workers_and_are_published() -> None:
    stats = SpanStats()
    stats.record(crew())
    assert (stats.counts.waiting, stats.counts.running) == (10, 0), "nobody has joined: all wait"
    stats.record(crew("a", 1.0, "busy", "busy", "starting"))
    assert (stats.counts.waiting, stats.counts.running) == (8, 2)
    assert stats.counts.workers == {"starting": 1, "idle": 0, "busy": 2}
    stats.record(segment(1, 3.0))
    assert stats.counts.waiting == 7
    stats.record(crew("b", 4.0, "busy", open_spans=5))
    assert (stats.counts.waiting, stats.counts.running) == (11, 3), "jobs are added up"
    stats.record(events.Done(job="a", outputs=events.Outputs()))
    stats.record(crew("b", 5.0, open_spans=0))
    assert (stats.counts.waiting, stats.counts.running) == (0, 0)


def test_a_span_takes_from_the_one_before_it_of_the_same_worker() -> None:
    stats = SpanStats()
    stats.record(crew("a", 100.0, "busy", "busy"))
    stats.record(segment(1, 102.0))
    stats.record(crew("a", 103.0, "busy", "busy"))  # something else has changed
    stats.record(segment(1, 111.0))
    stats.record(segment(2, 1100.0))
    counted = dict(zip(BUCKETS, stats.counts.seconds, strict=True))
    assert {bound: count for bound, count in counted.items() if count} == {2.5: 1, 10.0: 1, float("inf"): 1}
    assert stats.counts.seconds_sum == 2 + 9 + 1000


def test_each_lost_worker_is_counted_once_by_how_it_went() -> None:
    stats = SpanStats()
    killed = events.LostMember.of(1, Sentence("was killed", "lost_killed_9"))
    silent = events.LostMember.of(2, Sentence("was silent", "lost_silent", seconds=1))
    gone = events.LostMember.of(3, "gave no sign of life")
    stats.record(crew("a", 0.0, "busy", lost=(killed,)))
    stats.record(crew("a", 1.0, "busy", lost=(killed, silent)))
    stats.record(crew("a", 2.0, "busy", lost=(silent, gone)))
    stats.record(events.Warned.of("a", "worker_died", Sentence("The worker died.", "worker_died")))
    assert stats.counts.retries == {"killed": 1, "silent": 1, "other": 1, "worker": 1}


def test_a_job_that_one_process_computes_alone_has_no_spans_here() -> None:
    stats = SpanStats()
    stats.record(events.Segment(job="a", start=0, stop=8, path="x"))  # type: ignore[arg-type]
    assert stats.counts.waiting == stats.counts.running == sum(stats.counts.seconds) == 0
