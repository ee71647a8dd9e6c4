"""The power is cut: what was not flushed is lost, or torn. `python -m tests.faults.power --out DIR` tries many moments.

A run is recorded: writes, flushes, and changes of names, in their order. The disk after a cut has everything that was
flushed before it; of later writes to a file it has the first few, the last of them torn, and of later changes of the
names in a folder the first few. How many is drawn from a seed. On that disk the same command must end with the same
bytes, and compute again at most one span of those that were told to be finished.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.campaign import sample
from tests.faults.harness import RECORD, Outcome, Prepared, Task, cleared, command, leftovers, results
from tests.faults.tasks import draw

_SEGMENT = b'"type":"segment"'
MOMENTS = 300
"""Moments that are tried of a run, where it has more calls."""


@dataclass
class Call:
    """One recorded call: its kind, the inode and the place of a write, one or two paths, and the data."""

    kind: str
    inode: int
    offset: int
    path: Path
    other: Path
    data: bytes


def recorded(log: Path) -> list[Call]:
    """Read the record of a run."""
    calls, data, at = [], log.read_bytes(), 0
    while at < len(data):
        end = data.index(b"\n", at)
        kind, inode, offset, *lengths = data[at:end].split()
        at = end + 1
        parts = []
        for length in map(int, lengths):
            parts.append(data[at : at + length])
            at += length
        path, other = (Path(part.decode()) for part in parts[:2])
        calls.append(Call(kind.decode(), int(inode), int(offset), path, other, parts[2]))
    return calls


Write = tuple[int, bytes | None]
"""Where, and what; a length and None where the file is cut off."""


@dataclass
class Names:
    """The names of a disk: folders, and the file that each path means."""

    folders: set[Path] = field(default_factory=set)
    files: dict[Path, int] = field(default_factory=dict)

    def apply(self, kind: str, path: Path, other: Path, file: int) -> None:
        """Make one change. A new name of a file lasts by itself, whether or not the old one was ever flushed."""
        match kind:
            case "create":
                self.files[path] = file
            case "mkdir":
                self.folders.add(path)
            case "rmdir":
                self.folders.discard(path)
            case "unlink":
                self.files.pop(path, None)
            case "link":
                self.files[other] = file
            case "rename":
                self.files.pop(path, None)
                self.files[other] = file


class Disk:
    """What is on the disk, and what waits to be flushed, while the calls of a run are played."""

    def __init__(self) -> None:
        self._now, self._flushed = Names(), Names()
        self._contents: dict[int, bytearray] = defaultdict(bytearray)
        self._writes: dict[int, list[Write]] = defaultdict(list)
        self._changes: list[tuple[str, Path, Path, int]] = []
        self._open: dict[int, int] = {}
        self._files = 0
        self.told = 0
        """Finished spans that were told, and flushed."""

    def play(self, call: Call) -> None:
        """Play one call."""
        if call.kind in ("open", "truncate"):
            if call.path not in self._now.files:
                self._files += 1
                self._change("create", call.path, call.path, self._files)
            file = self._now.files[call.path]
            self._open[call.inode] = file
            if call.kind == "truncate":
                self._writes[file].append((0, None))
        elif call.kind in ("write", "cut"):
            data = call.data if call.kind == "write" else None
            self._writes[self._open[call.inode]].append((call.offset, data))
        elif call.kind == "sync":
            self._sync(call)
        else:
            self._change(call.kind, call.path, call.other, self._now.files.get(call.path, 0))

    def _change(self, kind: str, path: Path, other: Path, file: int) -> None:
        self._now.apply(kind, path, other, file)
        self._changes.append((kind, path, other, file))

    def _sync(self, call: Call) -> None:
        if call.path in self._now.folders or call.path not in self._now.files:
            mine = [change for change in self._changes if _folder(change) == call.path]
            self._changes = [change for change in self._changes if _folder(change) != call.path]
            for change in mine:
                self._flushed.apply(*change)
            return
        file = self._open.get(call.inode, self._now.files[call.path])
        for write in self._writes.pop(file, []):
            self.told += (write[1] or b"").count(_SEGMENT)
            _apply(self._contents[file], write)

    def cut(self, area: Path, seed: int) -> None:
        """Put on the real disk what would be there if the power were cut now; `area` is emptied first."""
        draw_ = random.Random(seed)
        names = Names(set(self._flushed.folders), dict(self._flushed.files))
        waiting: dict[Path, list[tuple[str, Path, Path, int]]] = defaultdict(list)
        for change in self._changes:
            waiting[_folder(change)].append(change)
        kept = {folder: draw_.randint(0, len(changes)) for folder, changes in sorted(waiting.items())}
        seen: dict[Path, int] = defaultdict(int)
        for change in self._changes:
            folder = _folder(change)
            seen[folder] += 1
            if seen[folder] <= kept[folder]:
                names.apply(*change)
        cleared(area)
        for folder in sorted(names.folders):
            if folder.parent.is_dir():
                folder.mkdir(exist_ok=True)
        for path, file in sorted(names.files.items()):
            if path.parent.is_dir():
                path.write_bytes(self._torn(file, draw_))

    def _torn(self, file: int, draw_: random.Random) -> bytes:
        data, writes = bytearray(self._contents[file]), self._writes.get(file, [])
        whole = draw_.randint(0, len(writes))
        for write in writes[:whole]:
            _apply(data, write)
        if whole < len(writes) and (last := writes[whole][1]):
            _apply(data, (writes[whole][0], last[: draw_.randint(0, len(last))]))
        return bytes(data)


def _folder(change: tuple[str, Path, Path, int]) -> Path:
    kind, path, other, _ = change
    return (other if kind in ("rename", "link") else path).parent


def _apply(contents: bytearray, write: Write) -> None:
    offset, data = write
    if data is None:
        del contents[offset:]
        contents.extend(bytes(max(0, offset - len(contents))))
        return
    at = len(contents) if offset < 0 else offset
    contents.extend(bytes(max(0, at - len(contents))))
    contents[at : at + len(data)] = data


def cuts(prepared: Prepared, task: Task, most: int, seed: int) -> Iterator[tuple[int, str | None]]:
    """Record one run of `task`; yield some of its moments and what was wrong after a cut there."""
    prepared.log.write_bytes(b"")  # emptied and not removed: the prepared process has it open
    area = cleared(prepared.area)
    shutil.rmtree(area)
    whole = prepared.run(command(task, area), mode=RECORD)
    assert whole.status == 0, (task.name, whole.status, whole.stderr)
    expected = results(area)
    calls = recorded(prepared.log)
    spans = sum(call.data.count(_SEGMENT) for call in calls if call.kind == "write")
    disk, wanted = Disk(), set(sample(len(calls), most))
    for number, call in enumerate(calls, 1):
        disk.play(call)
        if number in wanted:
            disk.cut(area, seed + number)
            kept = disk.told
            before = _told(area)
            again = prepared.run(command(task, area))
            lost = _told(area) - before - (spans - kept)
            said = f"{task.name} {number} ({call.kind} {call.path.name})"
            yield number, _wrong(said, again, area, expected, lost)


def _told(area: Path) -> int:
    return sum(path.read_bytes().count(_SEGMENT) for path in area.rglob("events.jsonl"))


def _wrong(said: str, again: Outcome, area: Path, expected: dict[str, str], lost: int) -> str | None:
    if again.status != 0:
        return f"{said}: ended with {again.status}: {again.stderr[-300:]}"
    found = results(area)
    if found != expected:
        names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        return f"{said}: other bytes: {', '.join(names[:4])}"
    if left := leftovers(area):
        return f"{said}: left over: {', '.join(left[:4])}"
    return f"{said}: {lost} finished spans were computed again" if lost > 1 else None


def main() -> int:
    """Try the moments of all tasks (or of those named); print what is wrong, and how many were right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--most", type=int, default=MOMENTS, help="moments of each task that are tried")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    out = (given.out or Path(tempfile.mkdtemp(prefix="power-"))).absolute()
    tasks = draw(out / "inputs")
    wrong = 0
    print(f"seed {given.seed}")
    with Prepared() as prepared:
        for name in given.tasks or tasks:
            found = [what for _, what in cuts(prepared, tasks[name], given.most, given.seed)]
            for what in filter(None, found):
                print(f"WRONG {what}", flush=True)
            right = found.count(None)
            print(f"{name}: power cut: {right} of {len(found)} right", flush=True)
            wrong += len(found) - right
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
