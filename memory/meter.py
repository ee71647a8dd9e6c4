"""What a tree of processes holds while it runs: readings, peak, timeline, and whether it gave all back."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import psutil

from memory.devices import device_reader
from memory.probe import probe_host
from memory.timeline import PeakTimeline, Reading
from memory.units import GIB

_log = logging.getLogger(__name__)

SOFT, HARD = 0.90, 0.97
"""Fractions of a limit: at the first one gives back what one can, at the second one stops."""

Level = Literal["soft", "hard"]
OnReading = Callable[[Reading], None]

__all__ = [
    "HARD",
    "SOFT",
    "Leak",
    "Level",
    "Meter",
    "PeakTimeline",
    "Reading",
    "_tree_reader",
    "tree_bytes",
    "watch",
]


@dataclass(frozen=True)
class Leak:
    """What was not given back after a job, in bytes above where it started."""

    host_bytes: int
    device_bytes: int
    sentence: str


class Meter:
    """Samples a process and everything below it.

    Two uses of the same readings: as a context manager it samples in a thread of its own; iterated, it
    yields each reading to the caller, until `stop` or until the process is gone. It is one or the other.

    Peaks are exact over the samples; the timeline holds at most 1,000 points.
    """

    def __init__(
        self,
        pid: int | None = None,
        *,
        interval_seconds: float = 0.25,
        on_reading: OnReading | None = None,
        read: Callable[[], Reading | None] | None = None,
    ) -> None:
        """`read` gives a reading or None when there is nothing left to read; tests replace it."""
        self._read = read or _tree_reader(os.getpid() if pid is None else pid)
        self._interval_seconds = interval_seconds
        self._listeners: list[OnReading] = [on_reading] if on_reading else []
        self._failed: list[OnReading] = []
        self._unread = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._first: Reading | None = None
        self._latest: Reading | None = None
        self._peak: Reading | None = None
        self.timeline = PeakTimeline()

    def watch(self, limit_bytes: int, handler: Callable[[Level, Reading], None]) -> None:
        """Call `handler` when the host bytes come near a limit: see `watch` in this module."""
        self._listeners.append(watch(limit_bytes, handler))

    def sample(self) -> Reading | None:
        """Take a reading now, besides those that are taken on time; None where the process is gone."""
        reading = self._take()
        if reading is not None:
            for listener in self._listeners:
                self._tell(listener, reading)
        return reading

    @property
    def latest(self) -> Reading | None:
        """The newest reading."""
        return self._latest

    @property
    def peak(self) -> Reading | None:
        """Over all samples the most that was held and the least that was left; the time is the first's."""
        return self._peak

    def check_baseline(self, tolerance_bytes: int = 64 << 20) -> Leak | None:
        """What is still held beyond the first reading; None where all but `tolerance_bytes` came back.

        Reads once more, without telling listeners. What a first job loads for good (libraries, a warm
        network) is no leak: start the meter after it.
        """
        first, now = self._first, self._take()
        if first is None or now is None:
            return None
        host, device = now.host_bytes - first.host_bytes, now.device_bytes - first.device_bytes
        parts = [
            f"{grown / GIB:.2f} GiB of {kind} memory"
            for kind, grown in (("host", host), ("device", device))
            if grown > tolerance_bytes
        ]
        if not parts:
            return None
        sentence = f"After the job {' and '.join(parts)} more is held than before it: something leaks."
        return Leak(max(0, host), max(0, device), sentence)

    def stop(self) -> None:
        """End the readings; the one that is being taken is finished."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Reading]:
        while not self._stopped.is_set():
            reading = self.sample()
            if reading is None:
                return
            yield reading
            self._stopped.wait(self._interval_seconds)

    def __enter__(self) -> Self:
        self.sample()  # the baseline: taken before the caller goes on
        self._thread = threading.Thread(target=self._run, name="memory-meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()
        self._sampled()

    def _take(self) -> Reading | None:
        with self._lock:
            reading = self._read()
            if reading is not None:
                self._first = self._first or reading
                self._latest = reading
                self._peak = reading.worst(self._peak or reading)
                self.timeline.add(reading)
        return reading

    def _tell(self, listener: OnReading, reading: Reading) -> None:
        """Call a listener. One that fails is reported, once, and must not keep the others from a limit."""
        try:
            listener(reading)
        except Exception as error:  # noqa: BLE001 - a listener may raise anything
            if listener not in self._failed:
                self._failed.append(listener)
                _log.error("a listener to memory readings failed", exc_info=error)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_seconds):
            if not self._sampled():
                return

    def _sampled(self) -> bool:
        """Take a reading; False where the process is gone. One that fails is reported, once: the watch goes on."""
        try:
            return self.sample() is not None
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            if not self._unread:
                self._unread = True
                _log.error("memory could not be read", exc_info=error)
            return True


def watch(limit_bytes: int, handler: Callable[[Level, Reading], None]) -> OnReading:
    """A listener that calls `handler` with "soft" at 90 % of a host limit and with "hard" at 97 %.

    Each is called once, and again only after the level was left. Raises ValueError where the limit is not
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
    """A function that reads what process `pid` and its descendants hold, or None when it is gone."""
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
    """Host bytes of process `pid` and of each descendant, by process id; empty where it is gone.

    Proportional set size where the system tells it (pages that processes share are counted once), else
    resident set size. Processes that vanish meanwhile are left out.
    """
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    sizes = ((process.pid, _process_bytes(process)) for process in processes)
    return {each: size for each, size in sizes if size}


def _process_bytes(process: psutil.Process) -> int:
    """Bytes of one process; 0 for one that is gone or a zombie."""
    try:
        try:
            full = process.memory_full_info()
            return int(getattr(full, "pss", full.rss))
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except psutil.Error:
        return 0
