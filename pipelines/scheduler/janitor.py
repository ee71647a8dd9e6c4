"""Keep the jobs folder within its size limit, and report what was removed."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from memory.units import MIB
from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs import trash, versions
from pipelines.jobs.events import ENDINGS
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue

log = logging.getLogger(__name__)

_YOUNG_SECONDS = 3600.0
"""Younger uploads may be about to be used by a job, and younger served files may still be shown by a page."""
_REMEMBERED_NOTICES = 100
"""Bounds the list that the page shows."""


@dataclass(frozen=True)
class Notice:
    """Record of a removal: a job, or an upload that no job reads (empty `job`). `time` is seconds since the epoch."""

    time: float
    job: str
    name: str
    freed_bytes: int


class Janitor:
    """Keeps everything below the jobs folder (jobs, uploads, cache) within `max_bytes`; None is no limit.

    Leftovers of a killed deletion or upload, uploads that no job has read for an hour, and pictures of uploads that
    nobody has looked at for an hour are always removed, and so are versions for viewing of what no job has any more.
    Where that is not enough, it removes, until it is: files that the page served more than an hour ago (the originals
    stay); what `spare` erases of the number of bytes that it is given; and, where jobs alone hold more than the limit,
    jobs that ended (done, failed, cancelled), earliest ending first, then jobs that could be resumed (paused,
    interrupted), earliest first. So what belongs to no job never makes a job go. A job that waits or runs, in this
    process or another, is never removed. Other folders count towards the limit but are left alone.

    Jobs that ended more than an hour ago also go where jobs leave less than `reserve_bytes` of the limit to what
    comes.

    Once started, it checks every `period_seconds` and after each job, in its own thread.
    """

    def __init__(
        self,
        queue: JobQueue,
        max_bytes: int | None,
        period_seconds: float = 60.0,
        *,
        reserve_bytes: int = 0,
        spare: Callable[[int], int] = lambda _: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._reserve_bytes = reserve_bytes
        self._spare = spare
        self._jobs_dir = queue.jobs_dir.absolute()
        self._max_bytes = max_bytes
        self._period_seconds = period_seconds
        self._clock = clock
        self._notices: deque[Notice] = deque(maxlen=_REMEMBERED_NOTICES)
        self._tidying = threading.Lock()
        self._has_warned = False
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="janitor", daemon=True)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The latest hundred removals, oldest first."""
        return tuple(self._notices)

    def start(self) -> None:
        """Start checking: now, periodically and after each job."""
        self._queue.after_each(lambda _: self._wake.set())
        self._thread.start()

    def close(self) -> None:
        """Stop the thread after its current check."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def tidy(self) -> list[Notice]:
        """Check once and return what was removed. Raises OSError where the folder cannot be read."""
        with self._tidying:
            old = self._clock() - _YOUNG_SECONDS
            trash.erase(trash.leftovers(self._jobs_dir))
            self._drop_looks(old)
            trash.erase(trash.unchanged_since(trash.broken_off(self._jobs_dir), old))
            removed = [*self._drop_versions(old), *self._drop_uploads(old), *self._make_room(old)]
            trash.remove_empty_folders(self._jobs_dir, old)
            self._notices.extend(removed)
        return removed

    def _drop_versions(self, old: float) -> Iterator[Notice]:
        for version in versions.left_over(self._jobs_dir):
            last = version.journal.last_state()
            if isinstance(last, ENDINGS) and last.time < old and (notice := self._drop(version)):
                yield notice

    def _drop_uploads(self, old: float) -> Iterator[Notice]:
        kept = trash.unchanged_since(trash.uploads(self._jobs_dir), old)
        for upload, trashed in trash.move_unread(self._jobs_dir, kept).items():
            drawn = trash.move_looks(self._jobs_dir, [upload])
            yield self._notice("", upload.name, trash.erase([trashed, *drawn]))

    def _drop_looks(self, old: float) -> None:
        """Erase what was drawn of uploads and not looked at for an hour: who did has gone, or it is drawn again."""
        trash.erase(trash.unchanged_since(trash.looks(self._jobs_dir), old))

    def _make_room(self, old: float) -> Iterator[Notice]:
        if self._max_bytes is None:
            return
        excess = self._excess()
        if excess > 0:
            trash.erase(trash.unchanged_since(trash.served(self._jobs_dir), old))
            excess = self._excess()
        if excess > 0:
            self._spare(excess)
            excess = self._excess()
        of_jobs = self._excess_of_jobs(excess)
        for job, ended in self._removable() if of_jobs + self._reserve_bytes > 0 else ():
            is_due = of_jobs > 0 or (of_jobs + self._reserve_bytes > 0 and ended < old)
            if is_due and (notice := self._drop(job)):
                excess = self._excess()
                of_jobs = self._excess_of_jobs(excess)
                yield notice
        if excess > 0:
            # An upload may have been left without its job just now.
            self._spare(excess)
            excess = self._excess()
        self._warn(excess)

    def _excess(self) -> int:
        return trash.disk_bytes([self._jobs_dir]) - (self._max_bytes or 0)

    def _excess_of_jobs(self, excess: int) -> int:
        """What jobs alone hold more than the limit; reads every record only where that could matter."""
        may_matter = excess + self._reserve_bytes > 0
        return excess - trash.ownerless_bytes(self._jobs_dir) if may_matter else excess

    def _removable(self) -> list[tuple[Job, float]]:
        """Jobs that neither wait nor run, and when they ended, in the order in which they are removed."""
        found: list[tuple[bool, float, str, Job]] = []
        for job in Job.all(self._jobs_dir):
            state, last = self._queue.state(job), job.journal.last_state()
            if state not in ("queued", "running"):
                may_go_on = state in ("paused", "interrupted")
                found.append((may_go_on, last.time if last else 0.0, job.id, job))
        return [(job, ended) for _, ended, _, job in sorted(found, key=lambda entry: entry[:3])]

    def _drop(self, job: Job) -> Notice | None:
        try:
            name = job.record().inputs[0].path.name
            return self._notice(job.id, name, self._queue.delete(job))
        except BadInput as error:
            # The job was started or deleted meanwhile.
            log.info("the job %s stays: %s", job.id, error)
            return None

    def _notice(self, job: str, name: str, freed_bytes: int) -> Notice:
        log.info("removed %s (%s): %.1f MiB freed", job or "an upload", name, freed_bytes / MIB)
        return Notice(self._clock(), job, name, freed_bytes)

    def _warn(self, excess: int) -> None:
        """Log once that nothing is left to remove, until there has been room again."""
        if excess > 0 and not self._has_warned:
            log.warning(
                "%s exceeds its limit by %.1f MiB, and no job is left to remove",
                self._jobs_dir,
                excess / MIB,
            )
        self._has_warned = excess > 0

    def _serve(self) -> None:
        while not self._closed:
            try:
                self.tidy()
            except (LongtakeError, OSError) as error:
                log.warning("the jobs folder could not be tidied: %s", error)
            self._wake.wait(self._period_seconds)
            self._wake.clear()
