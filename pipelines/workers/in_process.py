"""A runner without a worker process."""

import threading
from collections.abc import Callable

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.run import run_job
from pipelines.workers.runner import WorkerState


class InProcess:
    """Runs jobs in the current process: for tests, and for hosts that fork a process themselves."""

    def __init__(self) -> None:
        self._closing = threading.Event()

    @property
    def worker(self) -> WorkerState:
        """None: there is no worker process."""
        return WorkerState()

    def run(self, job: Job, on_event: Callable[[Event], None]) -> str | None:
        """Run `job` here. A crash ends this process."""
        run_job(job, closing=self._closing.is_set, echo=on_event)
        return None

    def let_go(self) -> None:
        """Stop the running job at its next frame."""
        self._closing.set()
