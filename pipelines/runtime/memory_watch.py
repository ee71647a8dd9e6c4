"""Memory of a run: measured, reported as events, held against the user's limit, recorded as CSV."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from memory.meter import Level, Meter, Reading
from memory.probe import probe_host
from memory.units import GIB
from pipelines.errors import NotEnoughMemory
from pipelines.jobs.events import Failed, Memory, Warned
from pipelines.jobs.job import Job
from pipelines.runtime.event_log import EventLog

_INTERVAL_SECONDS = 0.1
"""How often the tree is measured: often enough to act between the two levels of a limit."""
_PRESSURE_BYTES = 2 * GIB
_PRESSURE_FRACTION = 0.1
"""The machine is short of memory below 2 GiB available, or below a tenth of a small machine."""


class MemoryWatch:
    """Measures the process tree below `tree_root` while a job runs, in the meter's thread.

    At 90 % of the limit, `check` raises MemoryError once, so that the ladder steps down. At 97 % the job fails before
    the limit is exceeded: by calling `leave`, which ends the process, or else by NotEnoughMemory from `check`.
    """

    def __init__(
        self, job: Job, event_log: EventLog, tree_root: int, leave: Callable[[], None] | None = None
    ) -> None:
        self._job = job
        self._event_log = event_log
        self._leave = leave
        self._meter = Meter(tree_root, interval_seconds=_INTERVAL_SECONDS, on_reading=self._on_reading)
        self._limit_gb: float | None = None
        self._must_shrink = False
        self._over: NotEnoughMemory | None = None
        self._warned = False
        host = probe_host()
        self._low_bytes = min(_PRESSURE_BYTES, int(host.total_bytes * _PRESSURE_FRACTION))

    def __enter__(self) -> Self:
        self._meter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meter.__exit__(kind, error, trace)

    @property
    def host_bytes(self) -> int:
        """Host memory of the tree now."""
        return self._meter.latest.host_bytes if self._meter.latest else 0

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
            self._meter.watch(int(limit_gb * GIB), self._on_level)

    def check(self) -> None:
        """Raise MemoryError where the run should use less, NotEnoughMemory where it has to end."""
        if self._over:
            raise self._over
        if self._must_shrink:
            self._must_shrink = False
            raise MemoryError(f"out of memory: {self.host_bytes} bytes in use, close to the limit")

    def write(self, path: Path) -> None:
        """Write the readings so far as CSV."""
        self._meter.timeline.write_csv(path)

    def _on_reading(self, reading: Reading) -> None:
        peak = self._meter.peak or reading
        if self._event_log.is_due("memory"):
            self._event_log.emit(
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
            message = (
                f"Only {reading.host_available_bytes / GIB:.1f} GiB of memory are available on this machine; "
                "the job continues, but the system may kill it."
            )
            self._event_log.emit(Warned(job=self._job.id, code="memory_pressure", message=message))

    def _on_level(self, level: Level, reading: Reading) -> None:
        if level == "soft":
            self._must_shrink = True
            return
        self._over = error = NotEnoughMemory(
            f"The job used {reading.host_bytes / GIB:.2f} GiB and was about to exceed "
            f"the limit of {self._limit_gb:g} GiB.",
            f"Finished spans are kept; resume with --ram-limit-gb {reading.host_bytes * 1.25 / GIB:.1f} or more.",
        )
        if self._leave:
            self._event_log.emit(Failed.of(self._job.id, error))
            self._leave()
