"""Disk that visitors take before they have a job: uploads as they come and as they lie there, stills, faces, masks.

Each visitor has a quota, all share what the jobs leave of the disk, and whoever wants more has to give something up
that nobody has used for a while. Jobs never make room for what is no job's.
"""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from memory.units import GIB, MIB
from pipelines.errors import OverLimit, Value
from pipelines.jobs import trash
from ui.limits.ledger import Ledger
from ui.server.policy import Policy

UNUSED_SECONDS = 600.0
"""What nobody has used for this long makes room for something new: somebody who still fills in a form uses it."""
_IN_USE_SECONDS = 60.0
"""What was used so lately may be read just now."""
_MEASURED_SECONDS = 1.0
"""How long a measurement of the jobs folder holds, where nothing was added by us: it walks through all files."""
MOST_FILES = 1000
"""Files of one visitor: a file of one byte takes a block, an inode and a line of the ledger, too."""
_SPARE_BYTES = 256 * MIB
"""Disk that uploads leave free where the server has no limit: jobs, journals and the system have to go on."""


class NoRoom(OverLimit):
    """There is no room for what a visitor sends; `is_final` where there never will be."""

    def __init__(
        self, message: str, hint: str, key: str, /, *, is_final: bool = False, **values: Value
    ) -> None:
        super().__init__(message, hint, key, **values)
        self.is_final = is_final


class Room:
    """The disk of one server as its visitors share it before their jobs. Thread-safe.

    A file counts for everybody who put it there until a job keeps it (as a hard link); then it counts with the job.
    """

    def __init__(self, jobs_dir: Path, policy: Policy, *, clock: Callable[[], float] = time.time) -> None:
        self._jobs_dir = jobs_dir.absolute()
        self._cache = self._jobs_dir / "cache"
        self._policy = policy
        self._clock = clock
        self.ledger = Ledger(self._jobs_dir / "uploads.jsonl", self._cache, clock=clock)
        self._lock = threading.RLock()
        self._coming: Counter[str] = Counter()
        self._parts: set[Path] = set()
        self._measured: tuple[float, int] | None = None

    @contextmanager
    def arrival(self, visitor: str) -> Iterator["Arrival"]:
        """Take something in for `visitor`: the room it was granted and its parts are given back at the end."""
        arrival = Arrival(self, visitor)
        try:
            yield arrival
        finally:
            arrival.end()

    def check(self, visitor: str) -> None:
        """Raise NoRoom where `visitor` may put nothing more there."""
        with self._lock:
            self._check(visitor, 1)

    def spare(self, needed_bytes: int) -> int:
        """Erase files of visitors that are not in use, longest unused first, until so much is free; return how much."""
        with self._lock:
            return self._free(needed_bytes, _IN_USE_SECONDS)

    # -- for arrivals ------------------------------------------------------------------------------------------

    def grant(self, visitor: str, more_bytes: int, whole_bytes: int) -> None:
        """Grant so many bytes more to something that comes and has `whole_bytes` with them. Raises NoRoom."""
        most = _bytes(self._policy.visitor_max_gb)
        if most is not None and whole_bytes > most:
            raise NoRoom(
                f"{_size(whole_bytes)} would be more than the {_size(most)} that one visitor may keep here.",
                "Cut the file or encode it smaller.",
                "room.file",
                size_bytes=whole_bytes,
                most_bytes=most,
                is_final=True,
            )
        with self._lock:
            self._check(visitor, more_bytes)
            self._coming[visitor] += more_bytes

    def begin(self, part: Path) -> None:
        """Count `part` as granted: a file that is being written."""
        self._parts.add(part)  # without the lock: it is called where nothing may wait

    def settle(self, visitor: str, granted_bytes: int, parts: Iterable[Path]) -> None:
        """Take back what was granted, and erase those of `parts` that are still there."""
        for part in parts:
            part.unlink(missing_ok=True)
        with self._lock:
            self._coming[visitor] -= granted_bytes
            self._coming += Counter()  # without those at zero
            self._parts.difference_update(parts)
            self._measured = None

    # -- arithmetic --------------------------------------------------------------------------------------------

    def _check(self, visitor: str, more_bytes: int) -> None:
        most = _bytes(self._policy.visitor_max_gb)
        wanted = self._coming[visitor] + more_bytes
        held = self._held(visitor)
        if most is not None and held + wanted > most:
            held -= self._free_of(visitor, held + wanted - most, UNUSED_SECONDS)
            if held + wanted > most:
                raise NoRoom(
                    f"Your uploads take up {_size(held + wanted - more_bytes)}, and this would be "
                    f"{_size(more_bytes)} more; one visitor may keep {_size(most)}.",
                    f"Start their jobs, or wait: what is not used for {UNUSED_SECONDS / 60:.0f} minutes makes room.",
                    "room.share",
                    held_bytes=held + wanted - more_bytes,
                    needed_bytes=more_bytes,
                    most_bytes=most,
                    minutes=round(UNUSED_SECONDS / 60),
                )
        self._check_number(visitor)
        self._check_disk(more_bytes)

    def _check_number(self, visitor: str) -> None:
        files = self.ledger.files(visitor)
        for file, used in islice(files.items(), max(0, len(files) + 1 - MOST_FILES)):
            if used >= self._clock() - UNUSED_SECONDS:
                raise NoRoom(
                    f"You have {len(files)} files here, as many as one visitor may.",
                    f"What is not used for {UNUSED_SECONDS / 60:.0f} minutes makes room.",
                    "room.files",
                    files=len(files),
                    minutes=round(UNUSED_SECONDS / 60),
                )
            self._erase(visitor, file)

    def _check_disk(self, more_bytes: int) -> None:
        coming = self._coming.total()
        left = shutil.disk_usage(self._jobs_dir).free - _SPARE_BYTES - more_bytes
        if (most := _bytes(self._policy.jobs_max_gb)) is not None:
            left = min(left, most - self._used() - coming - more_bytes)
        if left < 0 and self._free(-left, UNUSED_SECONDS) < -left:
            raise NoRoom(
                f"The server's disk is full: jobs and uploads leave {_size(max(0, left + more_bytes))}, and this "
                f"takes {_size(more_bytes)}.",
                "Try again in a few minutes, or delete jobs that you need no more.",
                "room.disk",
                free_bytes=max(0, left + more_bytes),
                needed_bytes=more_bytes,
            )

    def _used(self) -> int:
        """What is on the disk, without the parts of what is coming."""
        now = time.monotonic()
        if self._measured is None or now - self._measured[0] > _MEASURED_SECONDS:
            parts = trash.disk_bytes(list(self._parts))
            self._measured = now, trash.disk_bytes([self._jobs_dir]) - parts
        return self._measured[1]

    def _held(self, visitor: str) -> int:
        return sum(map(_own_bytes, self.ledger.files(visitor)))

    # -- making room -------------------------------------------------------------------------------------------

    def _free(self, needed_bytes: int, unused_seconds: float) -> int:
        """Erase what nobody put there, then the oldest of whoever holds most, and so on; return the bytes freed."""
        freed = self._free_nobodys(needed_bytes, unused_seconds)
        held = Counter({visitor: self._held(visitor) for visitor in self.ledger.visitors()})
        while held and freed < needed_bytes:
            ((visitor, _),) = held.most_common(1)
            gone = self._free_of(visitor, 1, unused_seconds)
            freed += gone
            held[visitor] -= gone
            if not gone:
                del held[visitor]
        return freed

    def _free_of(self, visitor: str, needed_bytes: int, unused_seconds: float) -> int:
        freed = 0
        for file, used in self.ledger.files(visitor).items():
            if freed >= needed_bytes or used >= self._clock() - unused_seconds:
                break
            # What a job keeps would free nothing.
            if _own_bytes(file):
                freed += self._erase(visitor, file)
        return freed

    def _free_nobodys(self, needed_bytes: int, unused_seconds: float) -> int:
        known = {file for visitor in self.ledger.visitors() for file in self.ledger.files(visitor)}
        files = trash.unchanged_since(trash.served_files(self._jobs_dir), self._clock() - unused_seconds)
        freed = 0
        for file in files:
            if freed >= needed_bytes:
                break
            if file not in known and file not in self._parts and (size := _own_bytes(file)):
                file.unlink(missing_ok=True)
                freed += size
        self._measured = None
        return freed

    def _erase(self, visitor: str, file: Path) -> int:
        """Take `file` from `visitor`, and from the disk where it is nobody else's; return what it counted for."""
        size = _own_bytes(file)
        if self.ledger.forget(visitor, file):
            with suppress(OSError):
                file.unlink()
                file.parent.rmdir()
            self._measured = None
        return size


class Arrival:
    """Something that comes, such as an upload: what it was granted so far, and the files it is written to."""

    def __init__(self, room: Room, visitor: str) -> None:
        self._room = room
        self._visitor = visitor
        self._granted_bytes = 0
        self._parts: list[Path] = []

    def grant(self, more_bytes: int) -> None:
        """Let so many bytes more come. Raises NoRoom."""
        self._room.grant(self._visitor, more_bytes, self._granted_bytes + more_bytes)
        self._granted_bytes += more_bytes

    def begin(self, part: Path) -> None:
        """Write to `part`, which is erased at the end unless it was renamed."""
        self._parts.append(part)
        self._room.begin(part)

    def keep(self, files: Iterable[Path]) -> None:
        """Record what has arrived."""
        self._room.ledger.add(self._visitor, files)

    def end(self) -> None:
        """Give back what was granted and not needed."""
        granted, self._granted_bytes = self._granted_bytes, 0
        self._room.settle(self._visitor, granted, self._parts)


def _own_bytes(file: Path) -> int:
    """The size of a file that has no other name, 0 for others and where there is none."""
    try:
        found = file.lstat()
    except OSError:
        return 0
    return found.st_size if found.st_nlink == 1 else 0


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else int(gib * GIB)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB else f"{size_bytes / MIB:.1f} MiB"
