"""The job queue: it alone starts jobs, one at a time, first come first served; everyone else listens.

This module stays light; a page imports it.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.engines.availability import Resolved, resolve
from pipelines.errors import BadInput, LongtakeError, NoSuchJob, QueueFull
from pipelines.jobs import events, trash
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job, State
from pipelines.scheduler.stats import Counters, Ledger
from pipelines.scheduler.ticket import Ticket
from pipelines.settings import Settings
from pipelines.spec import task_spec
from pipelines.workers.process import STOP_SECONDS, WorkerProcess
from pipelines.workers.runner import Runner, WorkerState
from pipelines.workers.supervisor import run_through

log = logging.getLogger(__name__)

_CLOSING_SECONDS = 1.0


class JobQueue:
    """Starts the jobs of one device, first come first served, in a thread of its own.

    Holds one small object per waiting job, at most `max_waiting` of them. `runner` says where they run; an idle
    runner is let go after `idle_seconds`.
    """

    def __init__(
        self,
        jobs_dir: Path,
        *,
        runner: Runner | None = None,
        idle_seconds: float | None = None,
        max_waiting: int | None = None,
    ) -> None:
        self.jobs_dir = jobs_dir
        self.runner = runner or WorkerProcess()
        self._idle_seconds = idle_seconds
        self._max_waiting = max_waiting
        self._ledger = Ledger()
        self._waiting: deque[Ticket] = deque()
        self._running: Ticket | None = None
        self._after_each: list[Callable[[Job], None]] = []
        # Held from the making of a folder until it waits, and while one is deleted; taken before `_changed`.
        self._folders = threading.Lock()
        self._changed = threading.Condition()
        self._freeing = False
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="job queue", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what is asked of it ---------------------------------------------------------------------------------

    def submit(
        self,
        task: str,
        path: Path,
        settings: Settings | Resolved[Any],
        *others: Path,
        force: bool = False,
    ) -> Job:
        """Queue the job for this question; a finished one is not computed again unless `force`.

        `others` are what the task reads besides the video at `path`: the masks of inpainting. Which engine `auto`
        stands for is decided here. A job that another process runs is attached to. Raises NotAVideo where an input
        cannot be read, WeightsMissing and WeightsBroken for those of the engine, QueueFull where too many jobs wait;
        nothing is left of a new question then.
        """
        resolved = settings if isinstance(settings, Resolved) else resolve(task, settings)
        weights, version = resolved.weights, task_spec(task).result_version
        with self._folders:
            job = Job.create(self.jobs_dir, task, (path, *others), resolved.settings, version, weights)
            try:
                return self.start(job, force=force)
            except QueueFull:
                if job.journal.last_state() is None:
                    with suppress(BadInput):
                        trash.erase([trash.move_job(job)])
                raise

    def start(self, job: Job, *, force: bool = False) -> Job:
        """Queue `job`, new or kept, unless it is finished, waiting or running already. Raises QueueFull."""
        with self._changed:
            # One that has told its end and is about to leave may be queued behind itself.
            ended = job.journal.has_ended()
            if job in self.waiting or (not ended and (job == self.running or job.is_running())):
                return job
            if not force and job.has_result():
                return job
            self._check_room()
            if force:
                job.forget_work()
            job.forget_request()
            ticket = Ticket.of(job)
            ticket.tell(len(self._waiting))
            self._waiting.append(ticket)
            self._changed.notify_all()
        return job

    def listen(self, job: Job, *, given_up: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """The events of the newest start of `job`, from its first. Closing it never stops the job.

        A job that another process ran, and that was left unfinished by it, is taken over. One that is deleted
        meanwhile has nothing more to tell.
        """

        def left_or_given_up() -> bool:
            nobody_runs_it = not self._closed and not self.holds(job) and not job.is_running()
            if nobody_runs_it and not job.journal.has_ended():
                if not job.exists():
                    return True
                self.start(job)
            return given_up()

        yield from job.journal.follow(job.journal.last_start(), given_up=left_or_given_up)

    def stop(self, job: Job, what: str = "cancel") -> None:
        """Cancel or pause `job`, waiting or running, here or in another process."""
        with self._changed:
            for ticket in self._waiting:
                if ticket.job == job:
                    self._waiting.remove(ticket)
                    self._tell(
                        events.CancelledEvent(job=job.id) if what == "cancel" else events.Paused(job=job.id),
                        job,
                    )
                    self._tell_positions()
                    return
        job.request("cancel" if what == "cancel" else "pause")

    def delete(self, job: Job) -> int:
        """Remove everything of `job`, and uploads that only it reads; returns how many bytes of disk that freed.

        Raises BadInput where it waits or runs, here or in another process, NoSuchJob where it is gone.
        """
        jobs_dir = job.folder.parent
        with self._folders:
            with self._changed:
                if not job.exists():
                    raise NoSuchJob(f"There is no job {job.id} any more.", "It was deleted.")
                if self.state(job) in ("queued", "running"):
                    raise BadInput(f"The job {job.id} waits or runs.", "Cancel it first, then delete it.")
                uploads = trash.uploads_of(job)
                folder = trash.move_job(job)
            copies = trash.move_copies(jobs_dir, folder)
            unread = trash.move_unread(jobs_dir, uploads).values()
        return trash.erase([folder, *copies, *unread])

    def free_worker(self) -> None:
        """Let an idle runner go now, and wait until it has gone. Raises BadInput where a job runs or waits."""
        with self._changed:
            if self._running or self._waiting:
                raise BadInput("The worker is busy.", "Try again when no job runs.")
            self._freeing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or not self._freeing)

    def close(self) -> None:
        """Stop at the next frame, free the runner and end the thread. Unfinished jobs can be resumed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for _ in range(int(STOP_SECONDS / _CLOSING_SECONDS)):
            # More than once: it may just be starting.
            self.runner.let_go()
            self._thread.join(_CLOSING_SECONDS)
            if not self._thread.is_alive():
                return

    def after_each(self, call: Callable[[Job], None]) -> None:
        """From now on, `call` with every job that has run, in the queue's thread: it should be quick."""
        self._after_each.append(call)

    # -- what it tells ---------------------------------------------------------------------------------------

    @property
    def running(self) -> Job | None:
        """The job that runs now."""
        running = self._running
        return running.job if running else None

    @property
    def waiting(self) -> list[Job]:
        """The jobs that wait, the next one first."""
        with self._changed:
            return [ticket.job for ticket in self._waiting]

    @property
    def worker(self) -> WorkerState:
        """Where jobs run, as it is now."""
        return self.runner.worker

    @property
    def counters(self) -> Counters:
        """What was counted since the queue was made."""
        return self._ledger.counters

    def holds(self, job: Job) -> bool:
        """Whether `job` waits or runs here."""
        with self._changed:
            return job == self.running or job in self.waiting

    def state(self, job: Job) -> State:
        """What `job` is doing; one that waited in a page that is gone is `interrupted`."""
        with self._changed:
            return job.state(held=self.holds(job))

    def ahead(self, job: Job) -> int | None:
        """How many waiting jobs come before `job`; None where it does not wait here."""
        waiting = self.waiting
        return waiting.index(job) if job in waiting else None

    def expected_wait(self, job: Job) -> float | None:
        """Seconds until `job` should start, 0 where it runs; None where it is not here or nothing is known yet.

        What the running one says of its time, and for those ahead the pace of recent runs here.
        """
        with self._changed:
            place = self.ahead(job)
            if place is None:
                return 0.0 if job == self.running else None
            return self._ledger.expected_wait(list(self._waiting)[:place])

    # -- its thread ------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (ticket := self._next()) is not None:
            job = ticket.job
            self._ledger.begin(ticket)
            try:
                run_through(job, self.runner, self._ledger.hear, closed=lambda: self._closed)
            except (LongtakeError, OSError) as error:
                log.exception("the job %s could not be run", job.id)
                known = error if isinstance(error, LongtakeError) else LongtakeError(str(error))
                self._tell(events.Failed.of(job.id, known), job)
            finally:
                with self._changed:
                    self._running = None
                    self._ledger.leave()
                    self._tell_positions()
            for call in self._after_each:
                call(job)

    def _next(self) -> Ticket | None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._freeing or self._waiting, self._idle_seconds
                )
                if self._closed:
                    return None
                if self._waiting and not self._freeing:
                    self._running = self._waiting.popleft()
                    return self._running
            # Idle for long, or asked to. A worker may take a while to leave; nobody else waits for that.
            self.runner.let_go()
            with self._changed:
                self._freeing = False
                self._changed.notify_all()

    def _check_room(self) -> None:
        # One of them runs, or is about to.
        held = len(self._waiting) + (self._running is not None)
        if self._max_waiting is not None and held > self._max_waiting:
            raise QueueFull(
                f"{self._max_waiting} jobs wait already, as many as may.", "Try again when some are done."
            )

    def _tell_positions(self) -> None:
        for position, ticket in enumerate(self._waiting):
            # One whose folder was removed by hand fails when it is its turn.
            with suppress(OSError):
                ticket.tell(position)

    def _tell(self, event: Event, job: Job) -> None:
        self._ledger.hear(event)
        try:
            job.journal.append(event)
        except OSError as error:
            log.warning("the job %s could not be told that it is %s: %s", job.id, event.type, error)
