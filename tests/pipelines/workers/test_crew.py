"""Several workers, one result: the bytes of one worker alone, whoever is killed, frozen or too many."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.harness import CHANGING, MARKERS, PICTURES
from tests.faults.tasks import draw

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 300
Files = dict[str, bytes]

SHORT_SPANS = '''
"""Spans of eight frames, so that small clips have several; a frame can be made to wait for a file."""

from dataclasses import replace
from pathlib import Path
import os
import time

import pipelines.runtime.planning as planning
import pipelines.runtime.oom_retry as oom_retry

_choose, _next = planning.choose, oom_retry.OomRetry._next


def choose(*given, **more):
    choice = _choose(*given, **more)
    return replace(choice, values={**choice.values, "span_frames": 8})


def next_item(self, effort, stop):
    gate = os.environ.get("LONGTAKE_TEST_GATE")
    if gate and self._stage.folder == "segments":
        (Path(gate) / f"at-{os.getpid()}-{self._at}").touch()
        while (Path(gate) / f"hold-{self._at}").exists():
            self._check()
            time.sleep(0.01)
    return _next(self, effort, stop)


planning.choose, oom_retry.OomRetry._next = choose, next_item
'''


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return draw(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every process that is started from here has spans of eight frames."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "short_spans.py").write_text(SHORT_SPANS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
        patch.setenv("LONGTAKE_PLUGINS", "short_spans")
        yield


@pytest.fixture(scope="module")
def alone(
    tasks: dict[str, Any], plugin: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Files]:
    """What one worker makes of a task."""

    @functools.cache
    def files(name: str) -> Files:
        folder = tmp_path_factory.mktemp(name) / "alone"
        run(tasks[name], folder)
        return made(folder)

    return files


def command(task: Any, folder: Path, *more: object) -> list[str]:
    given = [
        each.replace("{jobs}", str(folder / "jobs")).replace("{out}", str(folder / task.out))
        for each in task.arguments
    ]
    return [sys.executable, "-m", "pipelines", *given, "--json", *map(str, more)]


def run(task: Any, folder: Path, *more: object) -> list[dict[str, Any]]:
    """The events of a run that ends well."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command(task, folder, *more), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def made(folder: Path) -> Files:
    """All files of a run that are the same in every run of it, by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(os.fsencode(folder), b"")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CHANGING | PICTURES and not path.name.startswith(MARKERS)
    }


def of(heard: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in heard if event["type"] == kind]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a file `hold-N` lets every worker wait before frame N."""
    folder = tmp_path / "gate"
    folder.mkdir()
    monkeypatch.setenv("LONGTAKE_TEST_GATE", str(folder))
    return folder


@pytest.mark.parametrize("name", ["score", "inpaint", "track", "animate"])
def test_the_result_is_that_of_one_worker(
    name: str, tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    """Three workers are at work at once, one at each span, before any of them may go on."""
    task, first = tasks[name], (0, 8, 16)
    for frame in first:
        (gate / f"hold-{frame}").touch()
    with started(task, tmp_path / "crew", "--workers", 3) as running:
        assert len({running.arrival(gate, frame) for frame in first}) == 3
        for frame in first:
            (gate / f"hold-{frame}").unlink()
        heard = running.end()
    assert {event["worker"] for event in of(heard, "segment")} == {1, 2, 3}
    assert made(tmp_path / "crew") == alone(name)


def test_a_folder_is_computed_film_by_film(
    tasks: dict[str, Any], alone: Callable[[str], Files], tmp_path: Path
) -> None:
    run(tasks["folder"], tmp_path / "crew", "--workers", 2)
    assert made(tmp_path / "crew") == alone("folder")


def test_spans_of_a_killed_worker_are_computed_again(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    task = tasks["inpaint"]
    (gate / "hold-9").touch()
    with started(task, tmp_path / "crew", "--workers", 2) as running:
        os.kill(running.arrival(gate, frame=9), signal.SIGKILL)
        (gate / "hold-9").unlink()
        heard = running.end()
    said = [event["message"] for event in of(heard, "warning") if event["code"] == "worker_died"]
    assert len(said) == 1 and "was killed by signal 9" in said[0]
    assert made(tmp_path / "crew") == alone("inpaint")


def test_a_killed_run_leaves_no_worker_and_is_resumed(
    tasks: dict[str, Any], alone: Callable[[str], Files], gate: Path, tmp_path: Path
) -> None:
    task = tasks["inpaint"]
    (gate / "hold-9").touch()
    with started(task, tmp_path / "crew", "--workers", 2) as running:
        worker = psutil.Process(running.arrival(gate, frame=9))
        leader = worker.parent()
        assert leader
        running.popen.kill()
        leader.kill()
        worker.wait(PATIENCE_SECONDS)
    (gate / "hold-9").unlink()
    run(task, tmp_path / "crew", "--workers", 3)
    assert made(tmp_path / "crew") == alone("inpaint")


class Running:
    """A command that runs."""

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self.popen = popen
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self._lines += self.popen.stdout or ()

    def arrival(self, gate: Path, frame: int) -> int:
        """Wait until a worker is at `frame`; return its process id."""
        while not (found := list(gate.glob(f"at-*-{frame}"))):
            assert self.popen.poll() is None, "".join(self._lines)
            self._reader.join(0.02)
        return int(found[0].name.split("-")[1])

    def end(self) -> list[dict[str, Any]]:
        """The events, once it has ended well."""
        assert self.popen.wait(PATIENCE_SECONDS) == 0, "".join(self._lines)
        self._reader.join()
        return [json.loads(line) for line in self._lines]


class started:
    """Starts a command; kills it at the end."""

    def __init__(self, task: Any, folder: Path, *more: object) -> None:
        folder.mkdir(exist_ok=True)
        self._popen = subprocess.Popen(
            command(task, folder, *more),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Running:
        return Running(self._popen)

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.wait()
