"""Host memory of a process and its descendants, read ten times a second at little cost.

The proportional set size (PSS: shared pages count once) is what a tree really holds, but the kernel walks every page to
compute it: about 20 ms per GB. The resident set size (RSS) is a counter. So PSS is read now and then, and in between a
process counts with its last PSS plus what its RSS has grown by since. Until the next PSS that counts too much where
the new pages are shared (a fork, a library that another process has loaded too), and too little where shared pages were
given back. `exact=True` reads PSS at once, for decisions that must be right.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import psutil

from memory.units import KIB

_PSS_SECONDS = 1.0
"""Least time between two readings of PSS."""
_PSS_SHARE = 0.003
"""Most of one core that reading PSS may take: 20 ms for a process of 1 GB means every 7 s, 2 ms every second."""
_CHILDREN_SECONDS = 0.3
"""Time between two searches for new children: a file per thread, which would be the largest cost at each reading."""


@dataclass(frozen=True)
class Held:
    """Host memory of one process.

    `peak_bytes` is its high-water mark of RSS since it started, as its system keeps it, 0 where it keeps none.
    """

    held_bytes: int
    resident_bytes: int
    peak_bytes: int = 0

    @property
    def shared_bytes(self) -> int:
        """What RSS counts and other processes hold as well."""
        return max(0, self.resident_bytes - self.held_bytes)


@dataclass(frozen=True)
class _Counters:
    """What a system says of a process at once: address space, RSS and its high-water mark."""

    size_bytes: int
    resident_bytes: int
    peak_bytes: int


class _System(Protocol):
    """Readings of single processes; None for one that has ended."""

    def children(self, pid: int) -> list[int] | None: ...
    def counters(self, pid: int) -> _Counters | None: ...
    def proportional(self, pid: int) -> int | None: ...


class ProcessTree:
    """Measures process `pid` and its descendants. Holds three numbers per process.

    `leave_out` names descendants that are somebody else's, with their own. `root` stands for `/`, so that tests can
    simulate a system in a folder; without `/proc` there, psutil is asked.
    """

    def __init__(
        self,
        pid: int,
        *,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
        leave_out: Callable[[], Collection[int]] = frozenset,
    ) -> None:
        self._pid = pid
        self._leave_out = leave_out
        self._system = _system(root)
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._pids: dict[int, int | None] = {}
        self._children_due = -1e9
        self._exact_due = -1e9
        self._exact: dict[int, Held] = {}
        self._left_out: set[int] = set()
        self.latest: dict[int, Held] = {}
        """The last reading, by process id."""

    def read(self, *, exact: bool = False) -> dict[int, Held]:
        """Measure now: each process by its id; empty where the root has ended. `exact` reads PSS of all of them."""
        now = self._clock()
        if exact or now >= self._children_due or not self._pids:
            self._pids = dict(self._walk())
            self._left_out.intersection_update(self._pids)
            self._children_due = now + _CHILDREN_SECONDS
        exact = exact or now >= self._exact_due
        begin = self._cpu_clock()
        found = {pid: held for pid in self._pids if (held := self._held(pid, exact)) is not None}
        if exact:
            self._exact_due = now + max(_PSS_SECONDS, (self._cpu_clock() - begin) / _PSS_SHARE)
        self._exact = {pid: held for pid, held in self._exact.items() if pid in found}
        self.latest = found if self._pid in found else {}
        return self.latest

    def _walk(self) -> Iterator[tuple[int, int | None]]:
        """Yield the process and its descendants, each with its parent."""
        others = self._leave_out()
        waiting: list[tuple[int, int | None]] = [(self._pid, None)]
        while waiting:
            pid, parent = waiting.pop()
            children = self._system.children(pid)
            if children is not None:
                yield pid, parent
                waiting += [(child, pid) for child in children if child != pid and child not in others]

    def _held(self, pid: int, exact: bool) -> Held | None:
        counters = self._system.counters(pid)
        if counters is None or counters.resident_bytes == 0:  # A zombie holds nothing.
            return None
        known = self._exact.get(pid)
        if known is None and self._is_parents_copy(pid, counters):
            return None
        resident = counters.resident_bytes
        if exact or known is None:
            pss = self._system.proportional(pid)
            known = Held(resident if pss is None else min(pss, resident), resident)
            self._exact[pid] = known
        held = min(resident, max(0, known.held_bytes + resident - known.resident_bytes))
        return replace(known, held_bytes=held, resident_bytes=resident, peak_bytes=counters.peak_bytes)

    def _is_parents_copy(self, pid: int, counters: _Counters) -> bool:
        """Whether a new process may still be between fork and exec: until then its memory is its parent's.

        It is left out once, and counts from the next reading on as whatever it is then.
        """
        parent = self._pids[pid]
        if parent is None or not self.latest or pid in self._left_out:
            return False
        of_parent = self._system.counters(parent)
        if of_parent is None or of_parent.size_bytes != counters.size_bytes:
            return False
        self._left_out.add(pid)
        return True


class _Linux:
    """Reads `/proc`."""

    def __init__(self, proc: Path) -> None:
        self._proc = os.fspath(proc)
        # A kernel may be built without lists of children.
        self._lists_children = (proc / f"self/task/{_first_task(proc)}/children").exists()

    def children(self, pid: int) -> list[int] | None:
        """Read the children of all threads."""
        if not self._lists_children:
            return _children_by_psutil(pid)
        tasks = f"{self._proc}/{pid}/task"
        try:
            names = [entry.name for entry in os.scandir(tasks)]
        except OSError:
            return None
        found: list[int] = []
        for name in names:
            found += map(int, (_read(f"{tasks}/{name}/children") or b"").split())
        return found

    def counters(self, pid: int) -> _Counters | None:
        """Read `status`, as cheap as `statm` and with the high-water mark."""
        text = _read(f"{self._proc}/{pid}/status")
        if text is None:
            return None
        return _Counters(*(_kib(text, key) * KIB for key in (b"\nVmSize:", b"\nVmRSS:", b"\nVmHWM:")))

    def proportional(self, pid: int) -> int | None:
        """Read PSS; None where it may not be read."""
        text = _read(f"{self._proc}/{pid}/smaps_rollup")
        if text:
            return _kib(text, b"\nPss:") * KIB
        with suppress(psutil.Error, AttributeError):
            return int(psutil.Process(pid).memory_full_info().pss)  # Linux before 4.14
        return None


class _Psutil:
    """Asks psutil, where there is no `/proc`."""

    def children(self, pid: int) -> list[int] | None:
        """Ask for the children."""
        return _children_by_psutil(pid)

    def counters(self, pid: int) -> _Counters | None:
        """Ask for RSS, and for the peak where the system keeps one."""
        try:
            info = psutil.Process(pid).memory_info()
        except psutil.Error:
            return None
        # Windows keeps the peaks of the working set, which is what `rss` is there, and of committed memory.
        peak = getattr(info, "peak_wset", 0) or getattr(info, "peak_pagefile", 0)
        if not peak and pid == os.getpid():
            peak = _peak_by_getrusage()
        return _Counters(info.vms, info.rss, peak)

    def proportional(self, pid: int) -> int | None:
        """Return None: only Linux divides shared pages."""
        return None


def tree_bytes(pid: int) -> dict[int, int]:
    """Host bytes of process `pid` and of each descendant, by process id; empty where it has ended.

    Proportional set size where the system reports it (shared pages count once), else resident set size. Processes that
    end meanwhile are left out.
    """
    return {each: held.held_bytes for each, held in ProcessTree(pid).read(exact=True).items()}


def own_peak_bytes(root: Path = Path("/")) -> int:
    """The high-water mark of this process's RSS, 0 where the system keeps none; cheap enough for every frame."""
    counters = _system(root).counters(os.getpid())
    return counters.peak_bytes if counters else 0


def reset_own_peak() -> bool:
    """Set this process's high-water mark back to its present RSS; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_bytes(b"5")
    except OSError:
        return False
    return True


def _system(root: Path) -> _System:
    proc = root / "proc"
    return _Linux(proc) if (proc / "self/status").exists() else _Psutil()


def _first_task(proc: Path) -> str:
    try:
        return next(entry.name for entry in os.scandir(proc / "self/task"))
    except (OSError, StopIteration):
        return ""


def _children_by_psutil(pid: int) -> list[int] | None:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return None


def _peak_by_getrusage() -> int:
    """The peak that `getrusage` reports, in bytes on macOS; 0 where there is no such call."""
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _read(path: str) -> bytes | None:
    """Read a small file of `/proc` by three system calls; None where it is gone or may not be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(descriptor, 16 * KIB)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _kib(text: bytes, key: bytes) -> int:
    """The number behind `key`; 0 where it is missing, as in kernel threads and zombies."""
    at = text.find(key)
    return int(text[at + len(key) :].split(None, 1)[0]) if at >= 0 else 0
