"""Jobs run in the process at hand: for tests, and for hosts that fork for themselves."""

import threading
from collections.abc import Callable

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.workers.runner import WorkerState


class InProcess:
    """Runs jobs in this very process: for tests, and for hosts that fork for themselves."""

    def __init__(self) -> None:
        self._closing = threading.Event()

    @property
    def worker(self) -> WorkerState:
        """None: there is no process that could be let go."""
        return WorkerState()

    def run(self, job: Job, hear: Callable[[Event], None]) -> str | None:
        """Run `job` here. A crash takes this process with it."""
        run_job(job, closing=self._closing.is_set, echo=hear)
        return None

    def let_go(self) -> None:
        """Stop at the next frame."""
        self._closing.set()
