"""The threads of a job queue: one for each place takes the next job from the line and runs it there to its end.

This module stays light, because the page imports it.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from pipelines.errors import BadInput, LongtakeError, name_os_error
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.line import WaitingLine
from pipelines.scheduler.places import JobPlace, Places
from pipelines.scheduler.span_stats import SpanCounts
from pipelines.scheduler.stats import Counters, QueueStats
from pipelines.scheduler.ticket import Ticket
from pipelines.workers.process import STOP_SECONDS
from pipelines.workers.runner import SharingRunner, WorkerState
from pipelines.workers.supervisor import run_through

log = logging.getLogger(__name__)

_CLOSING_SECONDS = 1.0
"""How long `close` waits for the threads before it stops the runners once more."""


class Dispatcher:
    """Runs what is put in its line, at its places. Whoever changes the line holds `_changed`, and notifies it.

    A runner is stopped after `idle_seconds` without a job.
    """

    def __init__(self, places: Places, idle_seconds: float | None) -> None:
        self._places = places
        self._idle_seconds = idle_seconds
        self._stats = QueueStats()
        self._waiting = WaitingLine(len(places))
        self._after_each: list[Callable[[Job], None]] = []
        self._changed = threading.Condition()
        # Held while those are called who asked for it.
        self._calling = threading.Lock()
        self._freeing: set[JobPlace] = set()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, args=(place,), name="job queue", daemon=True)
            for place in places.all
        ]
        for thread in self._threads:
            thread.start()

    def free_worker(self) -> None:
        """Stop idle runners and wait until they have stopped. Raises BadInput where a job runs or waits."""
        with self._changed:
            if self._places.busy or self._waiting:
                raise BadInput(
                    "The worker is busy.", "Try again when no job is running or waiting.", "worker.busy"
                )
            self._freeing = set(self._places.all)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or not self._freeing)

    def close(self) -> None:
        """Stop running jobs at their next frame, then the runners and the threads. Unfinished jobs can be resumed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        stopping: list[threading.Thread] = []
        for _ in range(int(STOP_SECONDS / _CLOSING_SECONDS)):
            # All of them at the same time, and more than once, because a runner may just be starting.
            for place in self._places.all:
                stopping.append(threading.Thread(target=place.runner.let_go, name="job queue", daemon=True))
                stopping[-1].start()
            until = time.monotonic() + _CLOSING_SECONDS
            for thread in (*self._threads, *stopping):
                thread.join(max(0.0, until - time.monotonic()))
            if not any(thread.is_alive() for thread in (*self._threads, *stopping)):
                return

    def after_each(self, call: Callable[[Job], None]) -> None:
        """Call `call` with each job that has run, from now on; in a thread of the queue, so it should be quick."""
        self._after_each.append(call)

    @property
    def running(self) -> list[Job]:
        """The running jobs."""
        return [ticket.job for ticket in self._places.tickets]

    @property
    def waiting(self) -> list[Job]:
        """The waiting jobs, next one first."""
        with self._changed:
            return self._waiting.jobs

    @property
    def workers(self) -> list[WorkerState]:
        """The current state of the worker of each place."""
        return self._places.workers

    @property
    def at_once(self) -> int:
        """How many jobs may run at once."""
        return len(self._places)

    @property
    def counters(self) -> Counters:
        """Counts since the queue was created."""
        return self._stats.counters

    @property
    def spans(self) -> SpanCounts:
        """What workers compute together now, and counts since the queue was created."""
        return self._stats.spans.counts

    def _serve(self, place: JobPlace) -> None:
        while (ticket := self._next(place)) is not None:
            job = ticket.job
            self._stats.begin(ticket)
            try:
                if place.slot and isinstance(place.runner, SharingRunner):
                    place.runner.move_to(place.slot)
                run_through(job, place.runner, partial(self._hear, place), closed=lambda: self._closed)
            except (LongtakeError, OSError) as error:
                known = error if isinstance(error, LongtakeError) else name_os_error(error)
                log.error("the job %s could not be run: %s", job.id, error, exc_info=known is None)
                known = known or LongtakeError(f"{type(error).__name__}: {error}.")
                self._record(events.Failed.of(job.id, known), job)
            if self._leave(place, ticket):
                self._tell_ended(job)

    def _next(self, place: JobPlace) -> Ticket | None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or place in self._freeing or self._is_next(place), self._idle_seconds
                )
                if self._closed:
                    return None
                if self._is_next(place):
                    ticket = self._waiting.take()
                    self._places.begin(place, ticket)
                    self._places.introduce()
                    return ticket
            # Idle for too long, or asked to stop it. A worker may take a while, so the lock is not held meanwhile.
            place.runner.let_go()
            with self._changed:
                self._freeing.discard(place)
                self._places.introduce()
                self._changed.notify_all()

    def _is_next(self, place: JobPlace) -> bool:
        ticket = None if self._freeing else self._waiting.first
        return ticket is not None and self._places.place_for(ticket) is place

    def _hear(self, place: JobPlace, event: Event) -> None:
        self._stats.record(event)
        with self._changed:
            if self._places.hear(place, event):
                self._places.introduce()
                self._changed.notify_all()

    def _leave(self, place: JobPlace, ticket: Ticket) -> bool:
        """Take `ticket` from its place; return whether it has ended, and does not wait again."""
        with self._changed:
            self._places.end(place)
            self._stats.end(ticket.job)
            what = ticket.job.requested() if place.is_given_back else None
            waits = place.is_given_back and what is None
            if what:
                self._record(ending(ticket.job, what), ticket.job)
            if waits:
                self._waiting.put_back(ticket)
                # What workers hold that are only kept warm may be all that is missing.
                self._freeing |= set(self._places.warm) - {place}
                if not self._freeing:
                    self._places.wait_for_room()
            else:
                self._waiting.leave(ticket)
            self._waiting.record_positions()
            self._places.introduce()
            self._changed.notify_all()
        return not waits

    def _tell_ended(self, job: Job) -> None:
        with self._calling:
            for call in self._after_each:
                call(job)

    def _record(self, event: Event, job: Job) -> None:
        self._stats.record(event)
        try:
            job.journal.append(event)
        except OSError as error:
            log.warning("job %s: the event %s could not be recorded: %s", job.id, event.type, error)


def ending(job: Job, what: str) -> Event:
    """Return the event that ends `job` when it is asked to `cancel` or `pause`."""
    return events.CancelledEvent(job=job.id) if what == "cancel" else events.Paused(job=job.id)
