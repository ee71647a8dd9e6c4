"""What the job queue needs of whatever runs its jobs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job


@dataclass(frozen=True)
class WorkerState:
    """A worker at one moment. `engine` is that of its last plan; `jobs_run` counts the jobs it was given.

    `since` is when it was started, seconds since the epoch; 0 while there is none.
    """

    state: Literal["none", "warm", "busy"] = "none"
    pid: int | None = None
    engine: str = ""
    jobs_run: int = 0
    since: float = 0.0


class Runner(Protocol):
    """Where a job runs."""

    @property
    def worker(self) -> WorkerState:
        """What there is now; asked from any thread."""
        ...

    def run(self, job: Job, hear: Callable[[Event], None]) -> str | None:
        """Run `job` until it ends; `hear` takes what it tells meanwhile.

        Returns None, or how the runner died before the job ended.
        """
        ...

    def let_go(self) -> None:
        """Stop what runs at its next frame, and free what is kept warm; from any thread."""
        ...
