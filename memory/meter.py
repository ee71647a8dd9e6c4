"""Measure the memory of a process tree: readings, peak, timeline and limits."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal, Self

import psutil

from memory.devices import device_reader
from memory.probe import probe_host
from memory.timeline import PeakTimeline, Reading

_log = logging.getLogger(__name__)

SOFT, HARD = 0.90, 0.97
"""Fractions of a limit at which to free memory and at which to stop."""

Level = Literal["soft", "hard"]
OnReading = Callable[[Reading], None]

__all__ = [
    "HARD",
    "SOFT",
    "Level",
    "Meter",
    "PeakTimeline",
    "Reading",
    "_tree_reader",
    "tree_bytes",
    "watch",
]


class Meter:
    """Samples the memory of a process and its descendants.

    As a context manager it samples in its own thread; as an iterator it yields readings until `stop` or until the
    process has ended. Use one or the other. Peaks are exact over the samples; the timeline holds at most 1,000 points.
    """

    def __init__(
        self,
        pid: int | None = None,
        *,
        interval_seconds: float = 0.25,
        on_reading: OnReading | None = None,
        read: Callable[[], Reading | None] | None = None,
    ) -> None:
        """`read` returns a reading, or None when the process has ended; tests replace it."""
        self._read = read or _tree_reader(os.getpid() if pid is None else pid)
        self._interval_seconds = interval_seconds
        self._listeners: list[OnReading] = [on_reading] if on_reading else []
        self._failed: list[OnReading] = []
        self._read_failed = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._latest: Reading | None = None
        self._peak: Reading | None = None
        self.timeline = PeakTimeline()

    def watch(self, limit_bytes: int, handler: Callable[[Level, Reading], None]) -> None:
        """Call `handler` when host memory comes close to a limit: see `watch` in this module."""
        self._listeners.append(watch(limit_bytes, handler))

    def sample(self) -> Reading | None:
        """Take an additional reading now; None where the process has ended."""
        reading = self._take()
        if reading is not None:
            for listener in self._listeners:
                self._notify(listener, reading)
        return reading

    @property
    def latest(self) -> Reading | None:
        """The latest reading."""
        return self._latest

    @property
    def peak(self) -> Reading | None:
        """The most used and the least left over all samples; the time is that of the first."""
        return self._peak

    def stop(self) -> None:
        """Stop sampling after the current reading."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Reading]:
        while not self._stopped.is_set():
            reading = self.sample()
            if reading is None:
                return
            yield reading
            self._stopped.wait(self._interval_seconds)

    def __enter__(self) -> Self:
        self.sample()  # the baseline, taken before the caller continues
        self._thread = threading.Thread(target=self._run, name="memory-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self._try_sample()

    def _take(self) -> Reading | None:
        with self._lock:
            reading = self._read()
            if reading is not None:
                self._latest = reading
                self._peak = reading.worst(self._peak or reading)
                self.timeline.add(reading)
        return reading

    def _notify(self, listener: OnReading, reading: Reading) -> None:
        """Call a listener. A failure is logged once and must not keep other listeners from enforcing a limit."""
        try:
            listener(reading)
        except Exception as error:  # noqa: BLE001 - a listener may raise anything
            if listener not in self._failed:
                self._failed.append(listener)
                _log.error("a listener to memory readings failed", exc_info=error)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_seconds):
            if not self._try_sample():
                return

    def _try_sample(self) -> bool:
        """Take a reading; False where the process has ended. A failure is logged once, and sampling continues."""
        try:
            return self.sample() is not None
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            if not self._read_failed:
                self._read_failed = True
                _log.error("memory could not be read", exc_info=error)
            return True


def watch(limit_bytes: int, handler: Callable[[Level, Reading], None]) -> OnReading:
    """Make a listener that calls `handler` with "soft" at 90 % of a host limit and with "hard" at 97 %.

    Each level is reported once, and again only after memory has been below it. Raises ValueError where the limit is not
    positive.
    """
    if limit_bytes <= 0:
        raise ValueError(f"a memory limit must be positive, not {limit_bytes} bytes")
    reached: set[Level] = set()
    marks: tuple[tuple[Level, float], ...] = (("soft", SOFT), ("hard", HARD))

    def on_reading(reading: Reading) -> None:
        for level, fraction in marks:
            if reading.host_bytes < fraction * limit_bytes:
                reached.discard(level)
            elif level not in reached:
                reached.add(level)
                handler(level, reading)

    return on_reading


def _tree_reader(pid: int) -> Callable[[], Reading | None]:
    """Return a function that measures process `pid` and its descendants, or returns None when it has ended."""
    started = time.monotonic()
    held_on_devices = device_reader()

    def read() -> Reading | None:
        held = tree_bytes(pid)
        if not held:
            return None
        return Reading(
            time.monotonic() - started,
            sum(held.values()),
            probe_host().available_bytes,
            held_on_devices(held),
        )

    return read


def tree_bytes(pid: int) -> dict[int, int]:
    """Host bytes of process `pid` and of each descendant, by process id; empty where it has ended.

    Proportional set size where the system reports it (shared pages count once), else resident set size. Processes that
    end meanwhile are left out.
    """
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    sizes = ((process.pid, _process_bytes(process)) for process in processes)
    return {each: size for each, size in sizes if size}


def _process_bytes(process: psutil.Process) -> int:
    """Bytes of one process; 0 for one that has ended or is a zombie."""
    try:
        try:
            full = process.memory_full_info()
            return int(getattr(full, "pss", full.rss))
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except psutil.Error:
        return 0
