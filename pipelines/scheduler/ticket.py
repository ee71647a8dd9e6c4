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
    visitor: str = ""
    """Who asked for it, by any name: visitors take turns. Who has no name counts as one."""
    device: str = "auto"
    """What it computes on, as `--device` says."""
    ram_limit_gb: float | None = None

    @classmethod
    def of(cls, job: Job, visitor: str = "") -> Self:
        """Make a ticket from the job's record. Raises BadInput where that cannot be read."""
        record = job.record()
        size_bytes = sum(known.size_bytes for known in record.inputs)
        asked, name = record.asked, record.inputs[0].path.name
        device = "cpu" if asked.get("preset") == "none" else str(asked.get("device", "auto"))
        return cls(job, record.task, name, size_bytes, visitor, device, asked.get("ram_limit_gb"))

    def record(self, position: int, waits_for: events.WaitsFor = "turn") -> None:
        """Record that the job queued in this process, with `position` jobs ahead of it."""
        queued = events.Queued(
            job=self.job.id,
            task=self.task,
            name=self.name,
            position=position,
            queue_pid=os.getpid(),
            waits_for=waits_for,
        )
        self.job.journal.append(queued)
