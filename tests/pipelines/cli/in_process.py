"""Commands whose jobs run in the test's own process."""

from pathlib import Path

import pytest

from pipelines.scheduler.queue import JobQueue
from pipelines.workers.in_process import InProcess


def run_commands_here(patch: pytest.MonkeyPatch) -> None:
    """Let the queues of all commands run their jobs in this process."""

    def queue(jobs_dir: Path) -> JobQueue:
        return JobQueue(jobs_dir, runner=InProcess())

    for module in ("task_commands", "batch", "commands"):
        patch.setattr(f"pipelines.cli.{module}.JobQueue", queue)
