"""A job's place in the queue, with what the queue needs of its record while it waits."""

import os
from dataclasses import dataclass
from typing import Self

from pipelines.jobs import events
from pipelines.jobs.job import Job


@dataclass(frozen=True)
class Ticket:
    """A job that waits or runs; `size_bytes` is that of its inputs together."""

    job: Job
    task: str
    name: str
    size_bytes: int

    @classmethod
    def of(cls, job: Job) -> Self:
        """Read the job's record. Raises BadInput where it cannot be read."""
        record = job.record()
        size_bytes = sum(known.size_bytes for known in record.inputs)
        return cls(job, record.task, record.inputs[0].path.name, size_bytes)

    def tell(self, position: int) -> None:
        """Tell the job's listeners that it waits in this process, and how many are before it."""
        waits = events.Queued(
            job=self.job.id, task=self.task, name=self.name, position=position, queue_pid=os.getpid()
        )
        self.job.journal.append(waits)
