"""Runs the command line in forks of one prepared process, with a fault at a chosen call, and compares what is left.

`calls.c` is compiled and preloaded, so that the calls of all threads, of ffmpeg and of every library are counted in
one order. A fork costs a fraction of a start, so that a fault can be tried at every call of a whole run.
"""

import hashlib
import json
import mmap
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.forked import LISTEN

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_SECONDS = 120
_ROOM_BYTES = 256 * 2**20
"""A run leaves less than 10 MiB behind, and a recorded one as much again; containers have 64 MiB there, or all."""
COUNT, KILL, KILL_ALL, FAIL, RECORD, INTERRUPT, KILL_PARENT, FULL = range(8)
_GROUPS = 16
_STATE = struct.Struct(f"<QQIIII256s{_GROUPS}i")
"""The `struct state` of `calls.c`."""

CHANGING = {
    "events.jsonl",
    "memory.csv",
    "memory.png",
    "job.json",
    "lock",
    "lock-gate",
    "preview.jpg",
    "request",
}
"""Files of a job that tell of a run (times, memory, process ids) and differ between two equal ones."""
MARKERS = "question-"
"""Empty files by which other jobs find what they may link; without them they compute it."""
PICTURES = {"report.png"}
"""The chart of a score has the curve of the memory in it."""


def has_compiler() -> bool:
    """Whether the counter can be compiled here."""
    return _compiler() is not None


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def _compiled(folder: Path) -> Path:
    library, compiler = folder / "calls.so", _compiler()
    assert compiler, "there is no C compiler"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "calls.c"), "-ldl"]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    return library


@dataclass
class Outcome:
    """How a run ended: its exit status (negative: the signal), the calls it made, where the fault was, its stderr."""

    status: int | None
    calls: int
    what: str
    stderr: str


@dataclass
class Task:
    """A command to try: its arguments (`{jobs}` and `{out}` are replaced), and the name of its output."""

    name: str
    arguments: tuple[str, ...]
    out: str = ""


class Groups:
    """The process groups of a try, as the counter knows them: the command's first, its workers' after it."""

    def __init__(self, state: Path) -> None:
        with state.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 0)
        self._places = range(_STATE.size - 4 * _GROUPS, _STATE.size, 4)

    def add(self, group: int) -> None:
        """Add a group; the oldest worker, which has ended, makes room where there are too many."""
        free = (at for at in self._places if not struct.unpack_from("<i", self._state, at)[0])
        struct.pack_into("<i", self._state, next(free, self._places[1]), group)


def _memory() -> Path | None:
    """Return a folder in memory with room for some runs."""
    folder = Path("/dev/shm")
    has_room = folder.is_dir() and shutil.disk_usage(folder).free >= _ROOM_BYTES
    return folder if has_room and os.access(folder, os.W_OK) else None


class Prepared:
    """A process that has imported what the tasks need, and forks for each run. Closed by leaving the context.

    It works in a folder in memory, if there is one: every call is counted there as anywhere, and a flush costs nothing.
    """

    def __init__(self) -> None:
        self._room = tempfile.TemporaryDirectory(prefix="faults-", dir=_memory())
        self.folder = folder = Path(self._room.name)
        self.area = folder / "area"
        state = folder / "state"
        state.write_bytes(bytes(_STATE.size))
        with state.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 0)
        self.log = folder / "log"
        self._addresses = tempfile.TemporaryDirectory(
            prefix="faults-"
        )  # addresses of sockets have to be short
        environment = {
            **os.environ,
            "LD_PRELOAD": str(_compiled(folder)),
            "FAULTS_STATE": str(state),
            "FAULTS_ROOTS": str(self.area),
            "FAULTS_LOG": str(self.log),
            LISTEN: str(folder / "forks"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._started = 0
        self._ended: dict[int, int | None] = {}

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._room.cleanup()

    def run(
        self,
        arguments: list[str],
        *,
        mode: int = COUNT,
        at: int = 0,
        error: int = 0,
        then: Callable[[], object] | None = None,
    ) -> Outcome:
        """Run a command with the fault `mode` at its call number `at`, or call `then` about when it makes that call.

        The status is None where it did not end.
        """
        self._state[:] = _STATE.pack(0, at, mode, error, 0, 0, b"", *[0] * _GROUPS)
        number = self.start(arguments)
        while then and self._read_ended(0.0005, number) is False:
            if self._calls() >= at:
                then()
                break
        ended = self.wait(number)
        count, _, _, _, fired, _, what, *_ = _STATE.unpack(self._state)
        ended.calls, ended.what = count, what.split(b"\0")[0].decode(errors="replace") if fired else ""
        return ended

    def start(self, arguments: list[str]) -> int:
        """Start a command beside others; return its number."""
        self._started += 1
        assert self._process.stdin
        told = {
            "id": self._started,
            "arguments": arguments,
            "stderr": str(self._stderr(self._started)),
            "seconds": PATIENCE_SECONDS,
        }
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        return self._started

    def wait(self, number: int) -> Outcome:
        """Wait until a command that was started has ended, and all its workers."""
        self._read_ended(None, number)
        stderr = self._stderr(number)
        said = stderr.read_text(errors="replace") if stderr.exists() else ""
        stderr.unlink(missing_ok=True)
        return Outcome(self._ended.pop(number), 0, "", said)

    def _read_ended(self, seconds: float | None, number: int) -> bool:
        """Read how commands ended, until that of `number` is known or so much time has passed; return whether it is."""
        assert self._process.stdout
        while number not in self._ended:
            if not select.select([self._process.stdout], [], [], seconds)[0]:
                return False
            told = json.loads(self._process.stdout.readline())
            self._ended[told["id"]] = told["status"]
        return True

    def _calls(self) -> int:
        return int(struct.unpack_from("<Q", self._state)[0])

    def _stderr(self, number: int) -> Path:
        return self.folder / f"stderr-{number}.txt"


def command(task: Task, area: Path) -> list[str]:
    """The arguments of `task` with its jobs and its output in `area`."""
    return [each.format(jobs=area / "jobs", out=area / task.out) for each in task.arguments]


def results(area: Path) -> dict[str, str]:
    """The hashes of all files below `area` that equal runs have in common, by their names."""
    found = {}
    for path in sorted(area.rglob("*")):
        name = path.name
        same = name not in CHANGING | PICTURES and not name.endswith(".crc") and not name.startswith(MARKERS)
        if path.is_file() and same:
            found[path.relative_to(area).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def leftovers(area: Path) -> list[str]:
    """Half-written files below `area`."""
    return sorted(path.relative_to(area).as_posix() for path in area.rglob("part-*"))


def cleared(area: Path) -> Path:
    """Make `area` an empty folder."""
    shutil.rmtree(area, ignore_errors=True)
    area.mkdir(parents=True)
    return area
