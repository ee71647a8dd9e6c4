"""What becomes of a worker process that does not behave."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.jobs import Job
from pipelines.queue import WorkerProcess


def worker_that(code: str) -> WorkerProcess:
    worker = WorkerProcess()
    worker._process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    return worker


def test_a_worker_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.queue._STOP_SECONDS", 0.1)
    worker = worker_that("import threading; threading.Event().wait()")
    process = worker._process
    worker.let_go()
    assert process is not None and process.poll() == -9
    assert worker.pid is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.stdin.readline(); sys.exit(7)", "ended with exit status 7"),
        ("import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 11)", "was killed by signal 11"),
        ("print('no event'); import sys; sys.stdin.readline(); sys.exit(3)", "ended with exit status 3"),
    ],
)
def test_a_worker_that_dies_is_told_how(tmp_path: Path, code: str, says: str) -> None:
    death = worker_that(code).run(Job(tmp_path / "0123456789abcdef"))
    assert death is not None and says in death
