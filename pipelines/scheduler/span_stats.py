"""Statistics of the spans that workers compute together, from the events of running jobs."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.jobs import events
from pipelines.jobs.events import Event

BUCKETS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, float("inf"))
"""Upper bounds, in seconds, of how long a span took: scoring takes seconds, a network on the CPU many minutes."""


@dataclass(frozen=True)
class SpanCounts:
    """Spans and workers of the running jobs now, and what was counted since the queue was created.

    Only of jobs that several workers compute. `seconds` counts spans by `BUCKETS`, each by the first that holds it.
    """

    waiting: int = 0
    running: int = 0
    workers: Mapping[str, int] = field(default_factory=dict)
    seconds: tuple[int, ...] = (0,) * len(BUCKETS)
    seconds_sum: float = 0.0
    retries: Mapping[str, int] = field(default_factory=dict)


@dataclass
class _Crew:
    """The crew of one job: what it told last, when each worker began its span, and who was lost."""

    told: events.Crewed
    open_spans: int = 0
    since: dict[int, float] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)


class SpanStats:
    """Collects statistics of spans; thread-safe. Holds the crew of each running job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crews: dict[str, _Crew] = {}
        self._seconds = [0] * len(BUCKETS)
        self._seconds_sum = 0.0
        self._retries: Counter[str] = Counter()

    def record(self, event: Event) -> None:
        """Take in an event of a job."""
        with self._lock:
            match event:
                case events.Crewed():
                    self._hear(event)
                case events.Segment(worker=int() as worker) if crew := self._crews.get(event.job):
                    crew.open_spans = max(0, crew.open_spans - 1)
                    self._time(event.time - crew.since.get(worker, event.time))
                    crew.since[worker] = event.time
                case events.Warned(code="worker_died", key="worker_died"):
                    self._retries["worker"] += 1
                    self._crews.pop(event.job, None)
                case events.Done() | events.Failed() | events.Paused() | events.CancelledEvent():
                    self._crews.pop(event.job, None)
                case _:
                    pass

    @property
    def counts(self) -> SpanCounts:
        """The counts so far."""
        with self._lock:
            states = Counter(member.state for crew in self._crews.values() for member in crew.told.members)
            busy = states["busy"]
            open_spans = sum(crew.open_spans for crew in self._crews.values())
            return SpanCounts(
                waiting=max(0, open_spans - busy),
                running=busy,
                workers={state: states[state] for state in ("starting", "idle", "busy")},
                seconds=tuple(self._seconds),
                seconds_sum=self._seconds_sum,
                retries=dict(self._retries),
            )

    def _hear(self, told: events.Crewed) -> None:
        before = self._crews.get(told.job)
        crew = _Crew(told, told.open_spans)
        crew.lost = before.lost if before else set()
        for lost in told.lost:
            if lost.worker not in crew.lost:
                crew.lost.add(lost.worker)
                self._retries[_why(lost.key)] += 1
        working = {member.worker for member in told.members if member.state == "busy"}
        known = before.since if before else {}
        crew.since = {worker: known.get(worker, told.time) for worker in working}
        if told.members or told.lost or told.open_spans:
            self._crews[told.job] = crew
        else:
            self._crews.pop(told.job, None)

    def _time(self, seconds: float) -> None:
        self._seconds[next(i for i, bound in enumerate(BUCKETS) if seconds <= bound)] += 1
        self._seconds_sum += max(0.0, seconds)


def _why(key: str) -> str:
    """In one word, how a worker was lost, by the key of the sentence that says it."""
    if key.startswith("lost_killed"):
        return "killed"
    return {"lost_silent": "silent", "lost_said": "ended", "lost_ended": "ended"}.get(key, "other")
