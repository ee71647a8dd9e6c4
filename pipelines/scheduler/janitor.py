"""The janitor: keeps the jobs' folder within its bounds, and says what it removed."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from memory.units import MIB
from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs import trash
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue

log = logging.getLogger(__name__)

_YOUNG_SECONDS = 3600.0
_REMEMBERED_NOTICES = 100


@dataclass(frozen=True)
class Notice:
    """Something was removed: a job, or an upload that no job reads (`job` is then empty). `time` is since the epoch."""

    time: float
    job: str
    name: str
    freed_bytes: int


class Janitor:
    """Keeps everything below the jobs' folder (jobs, uploads, cache) within `max_bytes`; None is no limit.

    What was left by a killed delete, and uploads that no job has read for an hour, always go. Where that is not
    enough, there go one after the other, until it is: what the page served more than an hour ago (the originals stay);
    jobs that ended (done, failed or cancelled), those that ended first before the others; jobs that could still be
    resumed (paused, interrupted), those that began first before the others. Never one that waits or runs, in this
    process or in another. Other folders there are counted, but left alone.

    Looks every `period_seconds` and after each job, in a thread of its own, once it is started.
    """

    def __init__(
        self,
        queue: JobQueue,
        max_bytes: int | None,
        period_seconds: float = 60.0,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._jobs_dir = queue.jobs_dir.absolute()
        self._max_bytes = max_bytes
        self._period_seconds = period_seconds
        self._clock = clock
        self._notices: deque[Notice] = deque(maxlen=_REMEMBERED_NOTICES)
        self._tidying = threading.Lock()
        self._complained = False
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="janitor", daemon=True)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The newest hundred of what was removed, the oldest first."""
        return tuple(self._notices)

    def start(self) -> None:
        """Begin to look: now, on time and after each job."""
        self._queue.after_each(lambda _: self._wake.set())
        self._thread.start()

    def close(self) -> None:
        """End the thread, after what it is at."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def tidy(self) -> list[Notice]:
        """Look once, and remove what has to go; returns what went. Raises OSError where the folder cannot be read."""
        with self._tidying:
            old = self._clock() - _YOUNG_SECONDS
            trash.erase(trash.leftovers(self._jobs_dir))
            went = [*self._drop_uploads(old), *self._make_room(old)]
            trash.remove_empty_folders(self._jobs_dir, old)
            self._notices.extend(went)
        return went

    def _drop_uploads(self, old: float) -> Iterator[Notice]:
        kept = trash.unchanged_since(trash.uploads(self._jobs_dir), old)
        for upload, binned in trash.move_unread(self._jobs_dir, kept).items():
            yield self._notice("", upload.name, trash.erase([binned]))

    def _make_room(self, old: float) -> Iterator[Notice]:
        if self._max_bytes is None:
            return
        excess = trash.disk_bytes([self._jobs_dir]) - self._max_bytes
        if excess > 0:
            excess -= trash.erase(trash.unchanged_since(trash.served(self._jobs_dir), old))
        for job in self._removable() if excess > 0 else ():
            if notice := self._drop(job):
                excess -= notice.freed_bytes
                yield notice
            if excess <= 0:
                break
        self._complain(excess)

    def _removable(self) -> list[Job]:
        """Jobs that neither wait nor run, in the order in which they go."""
        found: list[tuple[bool, float, str, Job]] = []
        for job in Job.all(self._jobs_dir):
            state, last = self._queue.state(job), job.journal.last_state()
            if state not in ("queued", "running"):
                may_go_on = state in ("paused", "interrupted")
                found.append((may_go_on, last.time if last else 0.0, job.id, job))
        return [job for *_, job in sorted(found, key=lambda entry: entry[:3])]

    def _drop(self, job: Job) -> Notice | None:
        try:
            name = job.record().inputs[0].path.name
            return self._notice(job.id, name, self._queue.delete(job))
        except BadInput as error:
            # It was started or deleted meanwhile.
            log.info("the job %s stays: %s", job.id, error)
            return None

    def _notice(self, job: str, name: str, freed_bytes: int) -> Notice:
        log.info("removed %s (%s): %.1f MiB freed", job or "an upload", name, freed_bytes / MIB)
        return Notice(self._clock(), job, name, freed_bytes)

    def _complain(self, excess: int) -> None:
        """Say that there is no more to remove: once, until there was room again."""
        if excess > 0 and not self._complained:
            log.warning(
                "%s holds %.1f MiB more than it may, and no job is left to remove",
                self._jobs_dir,
                excess / MIB,
            )
        self._complained = excess > 0

    def _serve(self) -> None:
        while not self._closed:
            try:
                self.tidy()
            except (LongtakeError, OSError):
                log.exception("the jobs' folder could not be tidied")
            self._wake.wait(self._period_seconds)
            self._wake.clear()
