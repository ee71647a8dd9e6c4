"""Statistics of a job queue: speed, endings, and the expected waiting time."""

import heapq
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from statistics import median

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.span_stats import SpanStats
from pipelines.scheduler.ticket import Ticket

_REMEMBERED_RUNS = 8
"""Recent runs per task whose median speed predicts the next one; older ones are dropped, to follow changes."""


@dataclass(frozen=True)
class Counters:
    """Counts since the queue was created.

    `frames_per_second` is the current speed of the running jobs together, else 0; `finished` counts endings by type
    (`done`, `failed`, `paused`, `cancelled`), `restarts` workers that died and were replaced.
    """

    frames_per_second: float = 0.0
    restarts: int = 0
    degradations: int = 0
    finished: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Run:
    """A running job. Times are on the clock of `QueueStats`; `share` is the part of the input that is computed."""

    ticket: Ticket
    began: float
    share: float | None = None
    progress: events.Progress | None = None
    recorded: float = 0.0


class QueueStats:
    """Collects statistics from the events of running jobs; thread-safe. Holds the speed of eight runs per task."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.spans = SpanStats()
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._seconds_per_byte: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED_RUNS)
        )
        self._restarts = self._degradations = 0
        self._finished: Counter[str] = Counter()

    def begin(self, ticket: Ticket) -> None:
        """Register that a job starts to run."""
        with self._lock:
            self._runs[ticket.job.id] = _Run(ticket, self._clock())

    def record(self, event: Event) -> None:
        """Take in an event of a running job, or the ending of a waiting one."""
        self.spans.record(event)
        with self._lock:
            if isinstance(event, events.ENDINGS):
                self._finished[event.type] += 1
            match event:
                case events.Degraded():
                    self._degradations += 1
                case events.Warned(code="worker_died"):
                    self._restarts += 1
                case _:
                    pass
            if run := self._runs.get(event.job):
                self._runs[event.job] = self._after(run, event)

    def _after(self, run: _Run, event: Event) -> _Run:
        match event:
            case events.Warned(code="worker_died"):
                return replace(run, progress=None)
            # Only the first plan of a run: later ones count its own spans as kept.
            case events.Planned() if run.share is None:
                computed = (event.frames - event.frames_kept) / max(1, event.facts.frames)
                return replace(run, share=computed)
            case events.Progress():
                return replace(run, progress=event, recorded=self._clock())
            case events.Done() if run.share and run.ticket.size_bytes:
                seconds_per_byte = (self._clock() - run.began) / (run.ticket.size_bytes * run.share)
                self._seconds_per_byte[run.ticket.task].append(seconds_per_byte)
            case _:
                pass
        return run

    def end(self, job: Job) -> None:
        """Register that a job has left its worker."""
        with self._lock:
            self._runs.pop(job.id, None)

    @property
    def counters(self) -> Counters:
        """The counts so far."""
        with self._lock:
            rate = sum(run.progress.frames_per_second for run in self._runs.values() if run.progress)
            return Counters(rate, self._restarts, self._degradations, dict(self._finished))

    def expected_wait(self, ahead: Iterable[Ticket], at_once: int = 1) -> float | None:
        """Estimate the seconds until one of `at_once` places is free, once those `ahead` have had theirs.

        A running job counts by the time left of its stage, the others by recent runs of their task and their size; that
        they may have to wait for memory, and that jobs side by side are slower, is not foreseen. None where one of them
        cannot be estimated.
        """
        with self._lock:
            left = [self._seconds_left(run) for run in self._runs.values()]
            coming = [self._expected_seconds(ticket) for ticket in ahead]
        free_in = [seconds for seconds in left if seconds is not None]
        if len(free_in) < len(left) or None in coming:
            return None
        free_in += [0.0] * (at_once - len(free_in))
        heapq.heapify(free_in)
        for seconds in coming:
            heapq.heapreplace(free_in, free_in[0] + (seconds or 0.0))
        return free_in[0]

    def _seconds_left(self, run: _Run) -> float | None:
        now = self._clock()
        if run.progress and run.progress.eta_seconds is not None:
            return max(0.0, run.progress.eta_seconds - (now - run.recorded))
        whole = self._expected_seconds(run.ticket)
        share = 1.0 if run.share is None else run.share
        return None if whole is None else max(0.0, whole * share - (now - run.began))

    def _expected_seconds(self, ticket: Ticket) -> float | None:
        known = self._seconds_per_byte.get(ticket.task)
        return median(known) * ticket.size_bytes if known else None
