"""The interface between the job queue and whatever runs its jobs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job


@dataclass(frozen=True)
class WorkerState:
    """Snapshot of a worker: `engine` of its last plan, `jobs_run` since it started.

    `since` is its start in seconds since the epoch, 0 while there is no worker.
    """

    state: Literal["none", "warm", "busy"] = "none"
    pid: int | None = None
    engine: str = ""
    jobs_run: int = 0
    since: float = 0.0


class Runner(Protocol):
    """Runs jobs, one at a time."""

    @property
    def worker(self) -> WorkerState:
        """The worker's current state; callable from any thread."""
        ...

    def run(self, job: Job, on_event: Callable[[Event], None]) -> str | None:
        """Run `job` until it ends, passing its events to `on_event`.

        Returns None, or how the runner died before the job ended.
        """
        ...

    def let_go(self) -> None:
        """Stop the running job at its next frame and free what is kept warm; callable from any thread."""
        ...
