"""The job queue: the only position that starts jobs, one at each of its places, the visitors in turn.

Everyone else listens.

This module stays light, because the page imports it.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.engines.availability import Resolved, resolve
from pipelines.errors import BadInput, NoSuchJob, QueueFull, Sentence
from pipelines.jobs import events, trash, versions
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job, State
from pipelines.scheduler.dispatch import Dispatcher, ending
from pipelines.scheduler.places import Places
from pipelines.scheduler.ticket import Ticket
from pipelines.settings import Settings
from pipelines.spec import task_spec
from pipelines.workers.process import WorkerProcess
from pipelines.workers.runner import ALONE, Runner, Team


class JobQueue(Dispatcher):
    """Runs the jobs of one machine, the visitors in turn, from a thread for each of its places.

    Holds one small object per waiting job, at most `max_waiting` of them. Jobs run one at a time in `runner`, or side
    by side at `places`; a runner is stopped after `idle_seconds` without a job. Without either, `team` computes each
    job, and a worker that makes no progress for `stuck_seconds` is replaced (None: see Watchdog).
    """

    def __init__(
        self,
        jobs_dir: Path,
        *,
        runner: Runner | None = None,
        places: Places | None = None,
        idle_seconds: float | None = None,
        max_waiting: int | None = None,
        stuck_seconds: float | None = None,
        team: Team = ALONE,
    ) -> None:
        self.jobs_dir = jobs_dir
        self._max_waiting = max_waiting
        # Held while a job's folder is created and queued, and while one is deleted; acquired before `_changed`.
        self._folders = threading.Lock()
        super().__init__(places or Places([runner or WorkerProcess(stuck_seconds, team)]), idle_seconds)
        self.after_each(self._drop_disowned)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- requests --------------------------------------------------------------------------------------------

    def submit(
        self,
        task: str,
        path: Path,
        settings: Settings | Resolved[Any],
        *others: Path,
        force: bool = False,
        visitor: str = "",
    ) -> Job:
        """Queue the job for this request; a finished one is not computed again unless `force`.

        `others` are the task's inputs besides the video at `path`, such as the masks of inpainting. The engine that
        `auto` stands for is decided here. A job that another process is running is only listened to. `visitor` is whose
        turn it takes.

        Raises NotAVideo where an input cannot be read, WeightsMissing or WeightsBroken for the engine's weights,
        QueueFull where too many jobs wait. Then a new job leaves no folder behind.
        """
        resolved = settings if isinstance(settings, Resolved) else resolve(task, settings)
        weights, version = resolved.weights, task_spec(task).result_version
        with self._folders:
            job = Job.create(self.jobs_dir, task, (path, *others), resolved.settings, version, weights)
            try:
                return self.start(job, force=force, visitor=visitor)
            except QueueFull:
                if job.journal.last_state() is None:
                    with suppress(BadInput):
                        trash.erase([trash.move_job(job)])
                raise

    def start(self, job: Job, *, force: bool = False, visitor: str = "") -> Job:
        """Queue `job` unless it is finished, waiting or running already; with `force` all its work is done anew.

        Raises QueueFull; BadInput where another version of the program left it unfinished, unless `force`; with
        `force` InputChanged and NotAVideo.
        """
        # The files of a result are read, which may take long, before the lock is taken.
        wrong = None if force else job.check_result()
        with self._changed:
            # A job that has reported its end and still holds the runner may be queued again.
            ended = job.journal.has_ended()
            if job in self._waiting or (not ended and (self._places.runs(job) or job.is_running())):
                return job
            if wrong == "":
                job.sweep()  # a power cut may have brought back what was removed
                return job
            if not force:
                job.check_version()
            self._check_room()
            if force:
                job.renew()
                job.forget_work()
            job.forget_request()
            ticket = Ticket.of(job, visitor)
            self._append(ticket)
            if wrong and (job.folder / wrong).exists():  # what somebody removed is just made again
                words = Sentence(
                    f"{wrong} has been damaged since the job was done. It is made again.",
                    "made_again",
                    name=wrong,
                )
                job.journal.append(events.Warned.of(job.id, "damaged_files", words))
            self._changed.notify_all()
        return job

    def _append(self, ticket: Ticket) -> None:
        position = self._waiting.append(ticket)
        try:
            ticket.record(position)
        except OSError:
            self._waiting.remove(ticket.job)
            raise
        self._waiting.record_positions(position + 1)

    def listen(self, job: Job, *, given_up: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Yield the events of the latest start of `job`, from the first one. Closing the generator never stops the job.

        A job that another process left unfinished is started here. The events of a job that is deleted just end.
        """

        def taken_over_or_given_up() -> bool:
            if not self._closed and not self.holds(job) and not job.is_running():
                if not job.exists():
                    return True
                if not job.journal.has_ended():
                    self.start(job)
            return given_up()

        yield from job.journal.follow(job.journal.last_start(), given_up=taken_over_or_given_up)

    def stop(self, job: Job, what: str = "cancel") -> None:
        """Cancel or pause `job`, whether it waits or runs, here or in another process."""
        if not self.withdraw(job, what):
            job.request("cancel" if what == "cancel" else "pause")

    def withdraw(self, job: Job, what: str = "cancel") -> bool:
        """Cancel or pause `job` where it waits here; return whether it did. A running one goes on."""
        with self._changed:
            if not self._waiting.remove(job):
                return False
            self._record(ending(job, what), job)
            self._waiting.record_positions()
            return True

    def move(self, job: Job, places: int, among: Collection[Job]) -> None:
        """Move the waiting `job` by so many places among the waiting jobs of `among`; below 0, it starts earlier.

        Those exchange their places; all other jobs keep theirs. Raises BadInput where it does not wait here.
        """
        with self._changed:
            self._waiting.move(job, places, among)

    def delete(self, job: Job) -> int:
        """Delete `job`, its versions, and the uploads that only they read; return the bytes that this freed.

        Versions that nobody else needs go when they have ended; one that runs is cancelled. Raises BadInput where `job`
        waits or runs, here or in another process, NoSuchJob where it does not exist.
        """
        shown = versions.shown_by(job)
        freed = self._delete(job)
        for version in versions.left_over(job.folder.parent, shown):
            versions.disown(version)  # first: it may end at any moment
            self.stop(version)
            with suppress(BadInput, NoSuchJob):
                freed += self._delete(version)
        return freed

    def _drop_disowned(self, job: Job) -> None:
        if versions.is_disowned(job):
            with suppress(BadInput, NoSuchJob):
                self._delete(job)

    def _delete(self, job: Job) -> int:
        """Delete `job`, the uploads that only it reads and what was drawn of those. Raises as `delete`."""
        jobs_dir = job.folder.parent
        with self._folders:
            with self._changed:
                if not job.exists():
                    raise NoSuchJob(
                        f"There is no job {job.id} any more.", "It has been deleted.", "job.deleted"
                    )
                if self.state(job) in ("queued", "running"):
                    raise BadInput(
                        f"The job {job.id} is waiting or running.",
                        "Cancel it first, then delete it.",
                        "job.busy",
                    )
                uploads = trash.uploads_of(job)
                folder = trash.move_job(job)
            others = trash.move_remains(jobs_dir, folder, uploads)
        return trash.erase([folder, *others])

    # -- state ------------------------------------------------------------------------------------------------

    def holds(self, job: Job) -> bool:
        """Whether `job` waits or runs in this queue."""
        with self._changed:
            return self._places.runs(job) or job in self._waiting

    def state(self, job: Job) -> State:
        """The state of `job`; `interrupted` where it waited in a process that has ended."""
        with self._changed:
            return job.state(held=self.holds(job))

    def ahead(self, job: Job) -> int | None:
        """How many waiting jobs are ahead of `job`; None where it does not wait in this queue."""
        with self._changed:
            ahead = self._waiting.ahead_of(job)
        return None if ahead is None else len(ahead)

    def expected_wait(self, job: Job) -> float | None:
        """Estimate the seconds until `job` starts, 0 where it runs; None where unknown or not here."""
        with self._changed:
            ahead = self._waiting.ahead_of(job)
            if ahead is None:
                return 0.0 if self._places.runs(job) else None
            # While one waits for room beside those that run, free places are of no use.
            places = len(self._places.busy) if self._waiting.waits_for_room else self.at_once
            return self._stats.expected_wait(ahead, places)

    def _check_room(self) -> None:
        # Running jobs, or those that are about to run, do not count as waiting.
        held = len(self._waiting) + len(self._places.busy)
        if self._max_waiting is not None and held >= self._max_waiting + self.at_once:
            raise QueueFull(
                f"The queue is full ({self._max_waiting} jobs waiting).",
                "Try again when some are done.",
                "queue.full",
                waiting=self._max_waiting,
            )
