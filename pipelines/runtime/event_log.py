"""The events of a run: written to the journal, passed on to a listener, limited in rate."""

import threading
import time
from collections.abc import Callable

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job

_LEAST_SECONDS = {"progress": 0.25, "memory": 0.5, "preview": 1.0, "heartbeat": 4.0}
"""Least seconds between two events of the kinds that would otherwise come with every frame or reading."""


class EventLog:
    """Records the events of a job from any thread, in one order: journal first, then `echo`.

    Without `journal` they are only passed on: a job has one writer, which records what others tell it.
    """

    def __init__(
        self, job: Job, echo: Callable[[Event], None] | None = None, *, journal: bool = True
    ) -> None:
        self._journal = job.journal if journal else None
        self._echo = echo
        self._lock = threading.Lock()
        self._last = {"heartbeat": time.monotonic()}

    def emit(self, event: Event) -> None:
        """Record `event` now. Raises OSError where the journal cannot be written; `echo` hears the event anyway."""
        with self._lock:
            try:
                if self._journal:
                    self._journal.append(event)
            finally:
                self.tell(event)

    def tell(self, event: Event) -> None:
        """Pass `event` on without recording it."""
        if self._echo:
            self._echo(event)

    def is_due(self, kind: str) -> bool:
        """Whether an event of a rate-limited kind may be emitted now; a yes counts as emitting it."""
        now = time.monotonic()
        with self._lock:
            due = now - self._last.get(kind, -1e9) >= _LEAST_SECONDS[kind]
            if due:
                self._last[kind] = now
        return due
