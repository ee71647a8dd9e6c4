"""What a job queue learns from the jobs that it runs: how fast they go, how they end, how long the next may take."""

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


@dataclass(frozen=True)
class Counters:
    """What was counted since the queue was made.

    `frames_per_second` is that of the running job now, 0 otherwise; `finished` are endings by type (`done`,
    `failed`, `paused`, `cancelled`), `restarts` workers that died and were replaced.
    """

    frames_per_second: float = 0.0
    restarts: int = 0
    degradations: int = 0
    finished: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Run:
    """The running job. Times are the ledger's clock; `share` is the part of its input that this run computes."""

    ticket: Ticket
    began: float
    share: float | None = None
    progress: events.Progress | None = None
    heard: float = 0.0


class Ledger:
    """Hears the running job's events; thread-safe. Holds the pace of a few finished runs of each task."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._paces: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED_RUNS))
        self._restarts = self._degradations = 0
        self._finished: Counter[str] = Counter()

    def begin(self, ticket: Ticket) -> None:
        """A job begins to run."""
        with self._lock:
            self._run = _Run(ticket, self._clock())

    def hear(self, event: Event) -> None:
        """The running job tells `event`, or one that waits its ending."""
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
                # Only a run's first plan: later ones count what it did itself as kept.
                case events.Planned() if run and run.share is None:
                    computed = (event.frames - event.frames_kept) / max(1, event.facts.frames)
                    self._run = replace(run, share=computed)
                case events.Progress() if run:
                    self._run = replace(run, progress=event, heard=self._clock())
                case events.Done() if run and run.share and run.ticket.size_bytes:
                    pace = (self._clock() - run.began) / (run.ticket.size_bytes * run.share)
                    self._paces[run.ticket.task].append(pace)
                case _:
                    pass

    def leave(self) -> None:
        """The running job runs no more."""
        with self._lock:
            self._run = None

    @property
    def counters(self) -> Counters:
        """What was counted so far."""
        with self._lock:
            told = self._run.progress if self._run else None
            rate = told.frames_per_second if told else 0.0
            return Counters(rate, self._restarts, self._degradations, dict(self._finished))

    def expected_wait(self, ahead: Iterable[Ticket]) -> float | None:
        """Seconds until the running job and those `ahead` should be over; None where of one nothing is known yet.

        The running one says what is left of its stage; for the others recent runs of their task tell, by size.
        """
        with self._lock:
            parts = [self._seconds_left(), *map(self._whole, ahead)]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _seconds_left(self) -> float | None:
        run, now = self._run, self._clock()
        if run is None:
            return 0.0
        if run.progress and run.progress.eta_seconds is not None:
            return max(0.0, run.progress.eta_seconds - (now - run.heard))
        whole = self._whole(run.ticket)
        share = 1.0 if run.share is None else run.share
        return None if whole is None else max(0.0, whole * share - (now - run.began))

    def _whole(self, ticket: Ticket) -> float | None:
        paces = self._paces.get(ticket.task)
        return median(paces) * ticket.size_bytes if paces else None
