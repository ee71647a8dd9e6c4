"""Workers that join an object store, each with a cache of its own: the bytes of one worker alone, whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from .crews import PATIENCE_SECONDS, ROOT, Files, Running, made, of, run, started
from .shelf import make_bucket

PLUGINS = "short_spans,tests.pipelines.workers.shelf"


@pytest.fixture(scope="module", autouse=True)
def plugins(plugin: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAKE_PLUGINS", PLUGINS)
        yield


class Store:
    """A store, and what processes that use it are given."""

    def __init__(self, folder: Path) -> None:
        self.bucket = folder / "bucket"
        self.flags = ("--store", make_bucket(self.bucket))
        self.run_flags = ("--crew", "pulled", *self.flags)
        self._caches = folder / "caches"
        self.workers: list[subprocess.Popen[bytes]] = []

    def join(self, *flags: str) -> "subprocess.Popen[bytes]":
        """Start a worker on a machine of its own, and wait until it has joined."""
        self.workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "pipelines", "work", *self.flags, *flags],
                cwd=ROOT,
                env={**os.environ, "LONGTAKE_CACHE": str(self._caches / str(len(self.workers)))},
                stderr=subprocess.DEVNULL,
            )
        )
        return self.workers[-1]

    def wait(self) -> None:
        while len(list(self.bucket.glob("prefix/workers/*/card"))) < len(self.workers):
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"a worker ended: {self.workers[0].wait(0.02)}")

    def falls_silent(self, name: str) -> None:
        """Let the signs of life of those who are dead look old."""
        (path,) = self.bucket.glob(f"prefix/alive/{name}")
        os.utime(path, (0, 0))

    def left(self) -> set[str]:
        """The kinds of objects that are there."""
        start = self.bucket / "prefix"
        return {path.relative_to(start).parts[0] for path in start.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    for worker in store.workers:
        worker.kill()
        worker.wait()


@pytest.fixture
def inpaint(tasks: dict[str, Any]) -> Any:
    """The task without exported frames, which no store carries."""
    task = tasks["inpaint"]
    arguments = list(task.arguments)
    at = arguments.index("--frames-out")
    return replace(task, arguments=(*arguments[:at], *arguments[at + 2 :]))


def without_frames(files: Files) -> Files:
    return {name: data for name, data in files.items() if ".frames/" not in name}


def worker_of(running: Running, gate: Path, frame: int) -> int:
    """The worker that computes `frame`."""
    return psutil.Process(running.arrival(gate, frame)).ppid()


def test_two_workers_make_the_score_of_one_though_the_store_is_away_for_a_while(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path, store: Store
) -> None:
    for frame in (0, 16):
        (gate / f"hold-{frame}").touch()
    store.join()
    store.join()
    store.wait()
    with started(tasks["score"], tmp_path / "crew", *store.run_flags) as running:
        assert {worker_of(running, gate, frame) for frame in (0, 16)} == {w.pid for w in store.workers}
        (store.bucket / ".away").touch()
        for frame in (0, 16):
            (gate / f"hold-{frame}").unlink()
        running.wait_for('"store_away"')  # what is finished now has to wait
        (store.bucket / ".away").unlink()
        heard = running.end()
    assert not [event for event in of(heard, "warning") if event["code"] == "worker_died"]
    assert {event["worker"] for event in of(heard, "segment")} == {1, 2}
    assert made(tmp_path / "crew") == alone("score")


def test_spans_of_a_killed_worker_are_computed_by_another(
    inpaint: Any, alone: Callable[[str], Files], gate: Path, tmp_path: Path, store: Store
) -> None:
    """The pass before the last one is computed by one, and read by both."""
    (gate / "hold-9").touch()
    (gate / "hold-17").touch()  # so that each has some of the last pass
    store.join()
    store.join()
    store.wait()
    with started(inpaint, tmp_path / "crew", *store.run_flags) as running:
        pid = worker_of(running, gate, 9)
        assert worker_of(running, gate, 17) != pid
        os.kill(pid, signal.SIGKILL)
        for frame in (9, 17):
            (gate / f"hold-{frame}").unlink()
        next(worker for worker in store.workers if worker.pid == pid).wait()
        store.falls_silent(f"*-{pid}-*")
        heard = running.end()
    (said,) = [event["message"] for event in of(heard, "warning") if event["code"] == "worker_died"]
    assert "gave no sign of life" in said
    assert made(tmp_path / "crew") == without_frames(alone("inpaint"))


@pytest.mark.slow  # what frees a worker of a killed run is the same for a folder
def test_a_killed_run_is_resumed_with_the_worker_that_it_had(
    inpaint: Any, alone: Callable[[str], Files], gate: Path, tmp_path: Path, store: Store
) -> None:
    (gate / "hold-9").touch()
    worker = store.join()
    store.wait()
    with started(inpaint, tmp_path / "crew", *store.run_flags) as running:
        member = psutil.Process(running.arrival(gate, 9))
        (leader,) = psutil.Process(running.popen.pid).children()
        running.popen.kill()
        leader.kill()
    store.falls_silent("run-*")
    member.wait(PATIENCE_SECONDS)
    (gate / "hold-9").unlink()
    run(inpaint, tmp_path / "crew", *store.run_flags)
    assert made(tmp_path / "crew") == without_frames(alone("inpaint"))
    worker.terminate()
    assert worker.wait(PATIENCE_SECONDS) == 0
    assert store.left() <= {"inputs", "runs", "alive"}, "what the killed run left goes later"
