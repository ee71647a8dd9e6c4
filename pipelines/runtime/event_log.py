"""How a run says things: into the journal, to whoever listens, and not too often."""

import threading
import time
from collections.abc import Callable

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job

_LEAST_SECONDS = {"progress": 0.25, "memory": 0.5, "preview": 1.0}
"""Kinds of event that come often, and the least time between two of them."""


class EventLog:
    """Tells a job's events, from any thread, in one order: journal first, then `echo`."""

    def __init__(self, job: Job, echo: Callable[[Event], None] | None = None) -> None:
        self._job = job
        self._echo = echo
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def tell(self, event: Event) -> None:
        """Tell `event` now."""
        with self._lock:
            self._job.journal.append(event)
            if self._echo:
                self._echo(event)

    def is_due(self, kind: str) -> bool:
        """Whether an event of this frequent kind may be told now; saying yes counts as telling it."""
        now = time.monotonic()
        with self._lock:
            due = now - self._last.get(kind, -1e9) >= _LEAST_SECONDS[kind]
            if due:
                self._last[kind] = now
        return due
