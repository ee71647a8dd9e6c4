"""Workers that join a folder: the bytes of one worker alone, whoever comes, goes or is killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .crews import PATIENCE_SECONDS, ROOT, Files, Running, made, of, run, started

pytestmark = pytest.mark.usefixtures("plugin")

PULLED = ("--crew", "pulled")


@contextlib.contextmanager
def joined(folder: Path, count: int = 1) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Workers that have joined the jobs folder of a command that uses `folder`; killed at the end."""
    jobs = folder / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipelines", "work", "--jobs-dir", str(jobs)]
    workers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        wait_until(lambda: len(list(jobs.glob(".workers/*/worker.json"))) == count, workers)
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def wait_until(condition: Callable[[], bool], workers: list["subprocess.Popen[bytes]"]) -> None:
    while not condition():
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"a worker ended: {workers[0].wait(0.02)}")


def worker_of(member: int) -> int:
    """The process that a member of a pulled crew belongs to."""
    return psutil.Process(member).ppid()


def falls_silent(folder: Path, name: str) -> None:
    """Let the signs of life below `folder` look old, of those who are dead."""
    for path in (folder / "jobs" / ".workers").glob(name):
        os.utime(path, (0, 0))


def crewed(running: Running, gate: Path, *frames: int) -> list[int]:
    return [running.arrival(gate, frame) for frame in frames]


def lost(heard: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in of(heard, "warning") if event["code"] == "worker_died"]


@pytest.mark.parametrize("name", ["score", "inpaint"])
def test_the_result_is_that_of_one_worker(
    name: str, tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    """Two workers are at work at once, before either may go on; the run computes nothing itself."""
    folder = tmp_path / "crew"
    for frame in (0, 16):
        (gate / f"hold-{frame}").touch()
    with joined(folder, 2) as workers, started(tasks[name], folder, *PULLED) as running:
        members = crewed(running, gate, 0, 16)
        assert {worker_of(member) for member in members} == {worker.pid for worker in workers}
        for frame in (0, 16):
            (gate / f"hold-{frame}").unlink()
        heard = running.end()
    assert {event["worker"] for event in of(heard, "segment")} == {1, 2}
    assert made(folder) == alone(name)


def test_a_job_waits_for_a_worker_and_says_so(
    tasks: dict[str, Any], alone: Callable[[str], Files], tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    with started(tasks["score"], folder, *PULLED) as running:
        running.wait_for('"nobody_joined"')
        with joined(folder):
            running.end()
    assert made(folder) == alone("score")


def test_one_that_joins_later_takes_its_share(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    for frame in (0, 16):
        (gate / f"hold-{frame}").touch()
    with joined(folder), started(tasks["inpaint"], folder, *PULLED) as running:
        first = running.arrival(gate, 0)
        with joined(folder):
            second = running.arrival(gate, 16)
            assert worker_of(first) != worker_of(second)
            for frame in (0, 16):
                (gate / f"hold-{frame}").unlink()
            running.end()
    assert made(folder) == alone("inpaint")


def test_spans_of_a_killed_worker_are_computed_by_another(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    (gate / "hold-9").touch()
    with joined(folder, 2) as workers, started(tasks["inpaint"], folder, *PULLED) as running:
        pid = worker_of(running.arrival(gate, 9))
        os.kill(pid, signal.SIGKILL)
        next(worker for worker in workers if worker.pid == pid).wait()
        (gate / "hold-9").unlink()
        falls_silent(folder, f"*-{pid}-*/alive")
        heard = running.end()
    (said,) = lost(heard)
    assert "gave no sign of life" in said
    assert made(folder) == alone("inpaint")


def test_one_that_is_asked_to_leave_gives_back_and_ends_well(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    (gate / "hold-9").touch()
    with joined(folder, 2) as workers, started(tasks["inpaint"], folder, *PULLED) as running:
        pid = worker_of(running.arrival(gate, 9))
        leaving = next(worker for worker in workers if worker.pid == pid)
        leaving.terminate()
        assert leaving.wait(PATIENCE_SECONDS) == 0, "though its frame still waits"
        (gate / "hold-9").unlink()
        heard = running.end()
    (said,) = lost(heard)
    assert "was asked to leave" in said
    assert made(folder) == alone("inpaint")


def test_a_killed_run_frees_its_worker_and_is_resumed(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "crew"
    (gate / "hold-9").touch()
    with joined(folder) as workers:
        with started(tasks["inpaint"], folder, *PULLED) as running:
            member = psutil.Process(running.arrival(gate, 9))
            (leader,) = psutil.Process(running.popen.pid).children()
            running.popen.kill()
            leader.kill()
        falls_silent(folder, "run-*")
        member.wait(PATIENCE_SECONDS)
        (gate / "hold-9").unlink()
        run(tasks["inpaint"], folder, *PULLED)
        assert workers[0].poll() is None
    assert made(folder) == alone("inpaint")
