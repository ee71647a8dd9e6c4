"""Runs the command line in forks of one prepared process, with a fault at a chosen call, and compares what is left.

`calls.c` is compiled and preloaded, so that the calls of all threads, of ffmpeg and of every library are counted in
one order. A fork costs a fraction of a start, so that a fault can be tried at every call of a whole run.
"""

import hashlib
import mmap
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_SECONDS = 120
COUNT, KILL, KILL_ALL, FAIL, RECORD, INTERRUPT = range(6)
_STATE = struct.Struct("<QQIIII256s")

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


def compiled(folder: Path) -> Path:
    """Compile the counter. Raises FileNotFoundError where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("there is no C compiler")
    library = folder / "calls.so"
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


class Prepared:
    """A process that has imported what the tasks need, and forks for each run. Closed by leaving the context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.area = folder / "area"
        self._state = folder / "state"
        self._state.write_bytes(bytes(_STATE.size))
        self.log = folder / "log"
        environment = {
            **os.environ,
            "LD_PRELOAD": str(compiled(folder)),
            "FAULTS_STATE": str(self._state),
            "FAULTS_ROOTS": str(self.area),
            "FAULTS_LOG": str(self.log),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def run(self, arguments: list[str], *, mode: int = COUNT, at: int = 0, error: int = 0) -> Outcome:
        """Run a command with the fault `mode` at its call number `at`; status None: it did not end."""
        with self._state.open("r+b") as file, mmap.mmap(file.fileno(), 0) as state:
            state[: _STATE.size] = _STATE.pack(0, at, mode, error, 0, 0, b"")
            stderr = self.folder / "stderr.txt"
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write("\0".join([str(stderr), str(PATIENCE_SECONDS), *arguments]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline().strip()
            count, _, _, _, fired, _, what = _STATE.unpack(state[: _STATE.size])
        said = what.split(b"\0")[0].decode(errors="replace") if fired else ""
        return Outcome(
            None if answer == "hangs" else int(answer), count, said, stderr.read_text(errors="replace")
        )


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
