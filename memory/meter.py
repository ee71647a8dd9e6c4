"""Measure the memory of a process tree: readings, peak, timeline and limits."""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import TracebackType
from typing import Literal, Self

from memory.devices import device_reader
from memory.probe import probe_host
from memory.process_tree import ProcessTree, tree_bytes
from memory.timeline import PeakTimeline, Reading

_log = logging.getLogger(__name__)

SOFT, HARD = 0.90, 0.97
"""Fractions of a limit at which to free memory and at which to stop."""

_AVAILABLE_SECONDS = 1.0
"""How often the machine's available memory is read, which takes several files; only warnings depend on it."""

Level = Literal["soft", "hard"]
OnReading = Callable[[Reading], None]

__all__ = [
    "HARD",
    "SOFT",
    "Level",
    "LimitWatch",
    "Meter",
    "PeakTimeline",
    "Reading",
    "tree_bytes",
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
        leave_out: Callable[[], Collection[int]] = frozenset,
        read: Callable[[], Reading | None] | None = None,
        read_exactly: Callable[[], Reading | None] | None = None,
    ) -> None:
        """`read` returns a reading, or None when the process has ended; tests replace it.

        `leave_out` names descendants that are somebody else's. `read_exactly` returns a reading that is certain, at a
        higher cost; it confirms what comes close to a limit.
        """
        if read is None:
            reader = _TreeReader(os.getpid() if pid is None else pid, leave_out)
            self.tree: ProcessTree | None = reader.tree
            read, read_exactly = reader.read, partial(reader.read, exact=True)
        else:
            self.tree = None
        self._read = read
        self._read_exactly = read_exactly
        self._interval_seconds = interval_seconds
        self._listeners: list[OnReading] = [on_reading] if on_reading else []
        self._watches: list[LimitWatch] = []
        self._failed: list[OnReading] = []
        self._read_failed = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._latest: Reading | None = None
        self._peak: Reading | None = None
        self.timeline = PeakTimeline()

    def watch(
        self,
        limit_bytes: int,
        handler: Callable[[Level, Reading], None],
        beside: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """Call `handler` when host memory comes close to a limit: see `LimitWatch`."""
        self._watches.append(LimitWatch(limit_bytes, handler, beside))

    def sample(self) -> Reading | None:
        """Take an additional reading now; None where the process has ended."""
        reading = self._take()
        if reading is not None:
            listeners: list[OnReading] = [*self._listeners, *self._watches]
            for listener in listeners:
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
            is_news = reading is not None and any(each.is_news(reading) for each in self._watches)
            if is_news and self._read_exactly:
                # Estimates between readings of PSS may be too high, and a limit ends the job.
                reading = self._read_exactly()
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


class LimitWatch:
    """Listener that reports when host memory comes close to a limit, or has passed it.

    It calls `handler` with "soft" at 90 % and with "hard" at 97 %. Each level is reported once, and again only after
    memory has been below it.

    Where a limit holds for several together, `beside` returns what the others hold now, and the share of this one: who
    holds no more than its share is not at fault, and nothing is reported of it.
    """

    def __init__(
        self,
        limit_bytes: int,
        handler: Callable[[Level, Reading], None],
        beside: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """Raises ValueError where the limit is not positive."""
        if limit_bytes <= 0:
            raise ValueError(f"a memory limit must be positive, not {limit_bytes} bytes")
        self._limit_bytes = limit_bytes
        self._handler = handler
        self._beside = beside
        self._reached: set[Level] = set()

    def is_news(self, reading: Reading) -> bool:
        """Whether `reading` would be reported."""
        return any(level not in self._reached for level in self._levels(reading))

    def __call__(self, reading: Reading) -> None:
        """Report the levels that `reading` has reached and the one before had not."""
        levels = self._levels(reading)
        news = [level for level in levels if level not in self._reached]
        self._reached = set(levels)
        for level in news:
            self._handler(level, reading)

    def _levels(self, reading: Reading) -> list[Level]:
        marks: tuple[tuple[Level, float], ...] = (("soft", SOFT), ("hard", HARD))
        others, share = self._beside()
        if share and reading.host_bytes <= share:
            return []
        return [
            level for level, fraction in marks if reading.host_bytes + others >= fraction * self._limit_bytes
        ]


class _TreeReader:
    """Readings of a process tree and of what it holds on devices."""

    def __init__(self, pid: int, leave_out: Callable[[], Collection[int]]) -> None:
        self.tree = ProcessTree(pid, leave_out=leave_out)
        self._started = time.monotonic()
        self._held_on_devices = device_reader()
        self._available_bytes = 0
        self._available_due = -1e9

    def read(self, *, exact: bool = False) -> Reading | None:
        """Measure now; None where the process has ended. `exact` reads PSS (see `memory.process_tree`)."""
        held = self.tree.read(exact=exact)
        if not held:
            return None
        now = time.monotonic()
        if now >= self._available_due:
            self._available_bytes = probe_host().available_bytes
            self._available_due = now + _AVAILABLE_SECONDS
        return Reading(
            now - self._started,
            sum(each.held_bytes for each in held.values()),
            self._available_bytes,
            self._held_on_devices(held),
        )
