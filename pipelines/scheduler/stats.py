"""Statistics of a job queue: speed, endings, and the expected waiting time."""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from statistics import median

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.scheduler.ticket import Ticket

_REMEMBERED_RUNS = 8
"""Recent runs per task whose median speed predicts the next one; older ones are dropped, to follow changes."""


@dataclass(frozen=True)
class Counters:
    """Counts since the queue was created.

    `frames_per_second` is the current speed of the running job, else 0; `finished` counts endings by type (`done`,
    `failed`, `paused`, `cancelled`), `restarts` workers that died and were replaced.
    """

    frames_per_second: float = 0.0
    restarts: int = 0
    degradations: int = 0
    finished: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Run:
    """The running job. Times are on the clock of `QueueStats`; `share` is the part of the input that is computed."""

    ticket: Ticket
    began: float
    share: float | None = None
    progress: events.Progress | None = None
    recorded: float = 0.0


class QueueStats:
    """Collects statistics from the events of the running job; thread-safe. Holds the speed of eight runs per task."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._seconds_per_byte: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED_RUNS)
        )
        self._restarts = self._degradations = 0
        self._finished: Counter[str] = Counter()

    def begin(self, ticket: Ticket) -> None:
        """Register that a job starts to run."""
        with self._lock:
            self._run = _Run(ticket, self._clock())

    def record(self, event: Event) -> None:
        """Take in an event of the running job, or the ending of a waiting one."""
        with self._lock:
            run = self._run
            if isinstance(event, events.ENDINGS):
                self._finished[event.type] += 1
            match event:
                case events.Degraded():
                    self._degradations += 1
                case events.Warned(code="worker_died"):
                    self._restarts += 1
                    self._run = run and replace(run, progress=None)
                # Only the first plan of a run: later ones count its own spans as kept.
                case events.Planned() if run and run.share is None:
                    computed = (event.frames - event.frames_kept) / max(1, event.facts.frames)
                    self._run = replace(run, share=computed)
                case events.Progress() if run:
                    self._run = replace(run, progress=event, recorded=self._clock())
                case events.Done() if run and run.share and run.ticket.size_bytes:
                    seconds_per_byte = (self._clock() - run.began) / (run.ticket.size_bytes * run.share)
                    self._seconds_per_byte[run.ticket.task].append(seconds_per_byte)
                case _:
                    pass

    def end(self) -> None:
        """Register that the running job has left its worker."""
        with self._lock:
            self._run = None

    @property
    def counters(self) -> Counters:
        """The counts so far."""
        with self._lock:
            progress = self._run.progress if self._run else None
            rate = progress.frames_per_second if progress else 0.0
            return Counters(rate, self._restarts, self._degradations, dict(self._finished))

    def expected_wait(self, ahead: Iterable[Ticket]) -> float | None:
        """Estimate the seconds until the running job and those `ahead` are over; None where one cannot be estimated.

        The running job counts by the time left of its stage, the others by recent runs of their task and their size.
        """
        with self._lock:
            parts = [self._seconds_left(), *map(self._expected_seconds, ahead)]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _seconds_left(self) -> float | None:
        run, now = self._run, self._clock()
        if run is None:
            return 0.0
        if run.progress and run.progress.eta_seconds is not None:
            return max(0.0, run.progress.eta_seconds - (now - run.recorded))
        whole = self._expected_seconds(run.ticket)
        share = 1.0 if run.share is None else run.share
        return None if whole is None else max(0.0, whole * share - (now - run.began))

    def _expected_seconds(self, ticket: Ticket) -> float | None:
        known = self._seconds_per_byte.get(ticket.task)
        return median(known) * ticket.size_bytes if known else None
