"""Memory of a run: measured, reported as events, held against the user's limit, recorded as CSV."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from memory.ladder import LimitPassed
from memory.meter import Level, Meter, Reading
from memory.peaks import PeakMarks
from memory.probe import probe_host
from memory.units import GIB
from pipelines.errors import NotEnoughMemory, Sentence
from pipelines.jobs.events import Event, Failed, Memory, Warned
from pipelines.jobs.job import Job
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.neighbours import Neighbours, Taken
from pipelines.storage.atomic import atomic_write

_INTERVAL_SECONDS = 0.1
"""How often the tree is measured: often enough to act between the two levels of a limit."""
_PRESSURE_BYTES = 2 * GIB
_PRESSURE_FRACTION = 0.1
"""The machine is short of memory below 2 GiB available, or below a tenth of a small machine."""


class MemoryWatch:
    """Measures the process tree below `tree_root`, without the `neighbours`, while a job runs, in the meter's thread.

    At 90 % of the limit, `check` raises MemoryError once, so that the ladder steps down. At 97 % the job fails before
    the limit is exceeded: by calling `leave`, which ends the process, or else by NotEnoughMemory from `check`.

    A peak shorter than the time between two readings shows in a process's high-water mark. The first one over the limit
    makes `check` raise LimitPassed, so that the same is tried once with less; the second ends the job.

    The limit holds for the job and its neighbours together. Close to it those act that hold more than they planned, and
    such a job does not fail: `give_back` is called before `leave`, so that it goes on when others have ended.
    """

    def __init__(
        self,
        job: Job,
        event_log: EventLog,
        tree_root: int,
        leave: Callable[[], None] | None = None,
        neighbours: Neighbours | None = None,
        give_back: Callable[[], None] | None = None,
    ) -> None:
        self._job = job
        self._event_log = event_log
        self._leave = leave
        self._give_back = give_back
        self._tree_root = tree_root
        self._neighbours = Neighbours() if neighbours is None else neighbours
        self._meter = Meter(
            tree_root,
            interval_seconds=_INTERVAL_SECONDS,
            on_reading=self._on_reading,
            leave_out=lambda: self._neighbours.pids,
        )
        self.planned_bytes = 0
        """What the job has planned to hold, with what is measured here besides its own processes."""
        self._peaks: PeakMarks | None = None
        self._limit_gb: float | None = None
        self._passed_bytes = 0
        self._must_shrink = False
        self._over: NotEnoughMemory | None = None
        self._warned = False
        host = probe_host()
        self._low_bytes = min(_PRESSURE_BYTES, int(host.total_bytes * _PRESSURE_FRACTION))

    def __enter__(self) -> Self:
        self._meter.__enter__()
        if self._meter.tree:
            self._peaks = PeakMarks(self._meter.tree)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meter.__exit__(kind, error, trace)

    @property
    def host_bytes(self) -> int:
        """Host memory of the tree now."""
        return self._meter.latest.host_bytes if self._meter.latest else 0

    def taken(self) -> Taken:
        """What the neighbours take of the memory. Measures them."""
        tree = self._meter.tree
        page = tree.latest.get(self._tree_root) if tree and self._tree_root != os.getpid() else None
        return self._neighbours.taken(page.held_bytes if page else 0)

    @property
    def peak_host_bytes(self) -> int:
        """Largest host memory of the tree so far."""
        return self._meter.peak.host_bytes if self._meter.peak else 0

    @property
    def peak_device_bytes(self) -> int:
        """Largest device memory of the tree so far."""
        return self._meter.peak.device_bytes if self._meter.peak else 0

    def need_less(self) -> None:
        """Let the next `check` raise MemoryError, so that the ladder steps down."""
        self._must_shrink = True

    def keep_below(self, limit_gb: float | None) -> None:
        """Enforce the user's limit from now on; None is no limit."""
        if limit_gb is not None:
            self._limit_gb = limit_gb
            self._meter.watch(int(limit_gb * GIB), self._on_level, self._beside)

    def check(self) -> None:
        """Raise MemoryError where the run should use less, NotEnoughMemory where it has to end."""
        if self._over:
            raise self._over
        if self._must_shrink:
            self._must_shrink = False
            raise MemoryError(f"out of memory: {self.host_bytes} bytes in use, close to the limit")
        if peak := self._peak_over_limit():
            self._retry_with_less(peak)

    def check_passed(self) -> None:
        """Raise NotEnoughMemory where the limit was passed by work that cannot be repeated with less.

        Takes one more reading.
        """
        self._meter.sample()
        if self._over:
            raise self._over
        if peak := self._peak_over_limit():
            raise self._too_much(peak)

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yield code and sentence for each limit that was, or may have been, passed by a run that went on."""
        limit = self._limit_gb
        if limit is None:
            return
        if self._passed_bytes:
            yield (
                "limit_passed",
                Sentence(
                    f"For a moment the job held {_gib(self._passed_bytes)}, over the limit of {limit:g} GiB. The same "
                    "was computed again with less, and stayed below it. Raise --ram-limit-gb if it may hold that much.",
                    "limit_passed",
                    peak_bytes=self._passed_bytes,
                    limit_bytes=int(limit * GIB),
                ),
            )
        elif self._peaks and self._peaks.sum_bytes > limit * GIB:
            yield (
                "limit_reached",
                Sentence(
                    f"The highest marks of the job's processes add up to {_gib(self._peaks.sum_bytes)}, over the "
                    f"limit of {limit:g} GiB. They need not have been reached at the same time.",
                    "limit_reached",
                    peak_bytes=self._peaks.sum_bytes,
                    limit_bytes=int(limit * GIB),
                ),
            )

    def write(self, path: Path) -> None:
        """Write the readings so far as CSV."""
        with atomic_write(path) as part:
            self._meter.timeline.write_csv(part)

    def _beside(self) -> tuple[int, int]:
        if not self._neighbours:
            return 0, 0
        return self._neighbours.held_bytes(), self.planned_bytes

    def _peak_over_limit(self) -> int:
        """The high-water mark of a process that alone held more than the limit; 0 where there is none."""
        if self._limit_gb is None or self._peaks is None:
            return 0
        peak = self._peaks.highest_bytes()
        return peak if peak > self._limit_gb * GIB else 0

    def _retry_with_less(self, peak_bytes: int) -> None:
        if self._passed_bytes or not self._peaks:
            raise self._too_much(peak_bytes)
        self._passed_bytes = peak_bytes
        self._peaks.restart()
        raise LimitPassed(f"{peak_bytes} bytes were held for a moment, over the limit")

    def _too_much(self, peak_bytes: int) -> NotEnoughMemory:
        return NotEnoughMemory(
            f"For a moment the job held {_gib(peak_bytes)}, over the limit of {self._limit_gb:g} GiB.",
            "Finished spans are kept; resume with "
            f"--ram-limit-gb {math.ceil(peak_bytes / 0.9 / GIB * 10) / 10:.1f} or more, or choose a lower --quality.",
            "memory.limit_passed",
            peak_bytes=peak_bytes,
            limit_bytes=int((self._limit_gb or 0) * GIB),
        )

    def _tell(self, event: Event) -> None:
        """Tell a reading where that can be done: a full disk must not end the thread that watches the memory."""
        with suppress(OSError):
            self._event_log.emit(event)

    def _on_reading(self, reading: Reading) -> None:
        if self._peaks:
            self._peaks.note()
        peak = self._meter.peak or reading
        if self._event_log.is_due("memory"):
            self._tell(
                Memory(
                    job=self._job.id,
                    host_bytes=reading.host_bytes,
                    host_peak_bytes=peak.host_bytes,
                    host_available_bytes=reading.host_available_bytes,
                    device_bytes=reading.device_bytes,
                    device_peak_bytes=peak.device_bytes,
                )
            )
        if reading.host_available_bytes < self._low_bytes and not self._warned:
            self._warned = True
            message = Sentence(
                f"Only {reading.host_available_bytes / GIB:.1f} GiB of memory are available on this machine; "
                "the job continues, but the system may kill it.",
                "memory_low",
                left_bytes=reading.host_available_bytes,
            )
            self._tell(Warned.of(self._job.id, "memory_pressure", message))

    def _on_level(self, level: Level, reading: Reading) -> None:
        if level == "soft":
            self._must_shrink = True
            return
        if self._neighbours and self._leave and self._give_back:
            self._give_back()
            self._leave()
            return
        self._over = error = NotEnoughMemory(
            f"The job used {reading.host_bytes / GIB:.2f} GiB and was about to exceed "
            f"the limit of {self._limit_gb:g} GiB.",
            f"Finished spans are kept; resume with --ram-limit-gb {reading.host_bytes * 1.25 / GIB:.1f} or more.",
            "memory.limit_passed",
            peak_bytes=reading.host_bytes,
            limit_bytes=int((self._limit_gb or 0) * GIB),
        )
        if self._leave:
            self._event_log.emit(Failed.of(self._job.id, error))
            self._leave()


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB"
