"""The list of a visitor's jobs, and the order of those that wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import BadInput, Forbidden
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.storage.names import shortened
from ui.jobs.kind import Kind, kind_of_request
from ui.jobs.thumbnails import length_of
from ui.jobs.viewing import Viewing
from ui.server.policy import Policy
from ui.server.visitors import Keys, Visitor, owners

SHOWN_JOBS = 100
"""The most jobs in a list; the newest are shown."""


@contextmanager
def unless_deleted(job: Job) -> Iterator[None]:
    """Pass over what fails because `job` was deleted since it was found."""
    try:
        yield
    except (BadInput, OSError):
        if job.exists():
            raise


class Entry(BaseModel):
    """A job in a list."""

    model_config = ConfigDict(frozen=True)
    job: str
    key: str = Field(description="The same as `edit`.")
    view: str = Field(description="The key that lets its holder look at the job.")
    edit: str = Field(description="The key that lets its holder also stop, resume and delete it.")
    name: str
    task: str
    state: str
    position: int | None = Field(description="Jobs ahead while it waits.")
    created: float = Field(description="Seconds since the epoch.")
    kind: Kind = Field(default="full", description="A preview of a few seconds, a mask check, or a full run.")
    seconds: float | None = Field(
        default=None, description="Length of the video that it was asked for; null while that is unknown."
    )
    movable: bool = Field(default=False, description="Whether it waits and no other visitor asked for it.")


class JobList:
    """The jobs of each visitor. Thread-safe."""

    def __init__(self, queue: JobQueue, policy: Policy, keys: Keys, viewing: Viewing) -> None:
        self._queue = queue
        self._policy = policy
        self._keys = keys
        self._viewing = viewing

    def entries(self, visitor: Visitor) -> list[Entry]:
        """The jobs that `visitor` started (local mode: all), the newest first, at most `SHOWN_JOBS`."""
        found: list[Entry] = []
        for job in reversed(Job.all(self._queue.jobs_dir)):
            if len(found) == SHOWN_JOBS:
                break
            with unless_deleted(job):
                if self._is_of(visitor, job) and not self._viewing.is_one(job):
                    found.append(self._entry(visitor, job))
        return found

    def is_only_of(self, visitor: Visitor, job: Job) -> bool:
        """Whether nobody else asked for `job` (local mode: always)."""
        return self._policy.local or set(owners(job)) == {visitor.name}

    def move(self, visitor: Visitor, job: Job, places: int) -> None:
        """Move a waiting job among those of `visitor`; jobs of others keep their places in the queue.

        Raises BadInput where it does not wait, Forbidden where others asked for it too.
        """
        if not self.is_only_of(visitor, job):
            raise Forbidden(
                "Only a job that nobody else asked for can be moved.", "It keeps its place.", "job.move_other"
            )
        waiting = self._queue.waiting
        mine = {each for each in waiting if self.is_only_of(visitor, each) and not self._viewing.is_one(each)}
        self._queue.move(job, places, mine)

    def _is_of(self, visitor: Visitor, job: Job) -> bool:
        return self._policy.local or visitor.name in owners(job)

    def _entry(self, visitor: Visitor, job: Job) -> Entry:
        record, position = job.record(), self._queue.ahead(job)
        return Entry(
            job=job.id,
            key=self._keys.edit(job),
            view=self._keys.view(job),
            edit=self._keys.edit(job),
            name=shortened(record.inputs[0].path.name),
            task=record.task,
            state=self._queue.state(job),
            position=position,
            created=record.created,
            kind=kind_of_request(record.task, record.asked),
            seconds=length_of(job, record.asked),
            movable=position is not None and self.is_only_of(visitor, job),
        )
