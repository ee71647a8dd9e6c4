"""Commands with several workers as tests run them: spans of eight frames, and gates that hold a worker at a frame."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.faults.harness import CHANGING, MARKERS, PICTURES

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


def command(task: Any, folder: Path, *more: object) -> list[str]:
    given = [
        each.replace("{jobs}", str(folder / "jobs")).replace("{out}", str(folder / task.out))
        for each in task.arguments
    ]
    return [sys.executable, "-m", "pipelines", *given, "--json", *map(str, more)]


def run(task: Any, folder: Path, *more: object, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The events of a run that ends well."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command(task, folder, *more),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=env,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def made(folder: Path) -> Files:
    """All files of a run that are the same in every run of it, by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(os.fsencode(folder), b"")
        for path in sorted(folder.rglob("*"))
        if ".workers" not in path.parts
        and path.is_file()
        and path.name not in CHANGING | PICTURES
        and not path.name.startswith(MARKERS)
    }


def of(heard: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in heard if event["type"] == kind]


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

    def wait_for(self, words: str) -> None:
        """Wait until the command has said `words`."""
        while not any(words in line for line in list(self._lines)):
            assert self.popen.poll() is None, "".join(self._lines)
            self._reader.join(0.02)

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
