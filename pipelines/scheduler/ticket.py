"""An entry of the job queue: a job with the parts of its record that the queue needs."""

import os
from dataclasses import dataclass
from typing import Self

from pipelines.jobs import events
from pipelines.jobs.job import Job


@dataclass(frozen=True)
class Ticket:
    """A waiting or running job; `size_bytes` is the total size of its inputs."""

    job: Job
    task: str
    name: str
    size_bytes: int

    @classmethod
    def of(cls, job: Job) -> Self:
        """Make a ticket from the job's record. Raises BadInput where that cannot be read."""
        record = job.record()
        size_bytes = sum(known.size_bytes for known in record.inputs)
        return cls(job, record.task, record.inputs[0].path.name, size_bytes)

    def record(self, position: int) -> None:
        """Record that the job queued in this process, with `position` jobs ahead of it."""
        queued = events.Queued(
            job=self.job.id, task=self.task, name=self.name, position=position, queue_pid=os.getpid()
        )
        self.job.journal.append(queued)
