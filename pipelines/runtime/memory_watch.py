"""A run's eye on memory: events for the listeners, the user's limit, the record of it all."""

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
_PRESSURE_BYTES = 2 * GIB
_PRESSURE_FRACTION = 0.1


class MemoryWatch:
    """Measures the process tree below `tree_root` while a job runs, in a thread of the meter's.

    A tree that comes to 90 % of a limit is told to need less (`check` raises MemoryError once, so the ladder moves).
    At 97 % the job fails before the limit is passed: `leave` ends the process where one is given, otherwise the
    next `check` raises NotEnoughMemory.
    """

    def __init__(
        self, job: Job, teller: EventLog, tree_root: int, leave: Callable[[], None] | None = None
    ) -> None:
        self._job = job
        self._teller = teller
        self._leave = leave
        self._meter = Meter(tree_root, interval_seconds=_INTERVAL_SECONDS, on_reading=self._on_reading)
        self._limit_gb: float | None = None
        self._pressed = False
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
        """What the tree holds now."""
        return self._meter.latest.host_bytes if self._meter.latest else 0

    @property
    def peak_host_bytes(self) -> int:
        """The most that the tree held so far."""
        return self._meter.peak.host_bytes if self._meter.peak else 0

    @property
    def peak_device_bytes(self) -> int:
        """The most that the tree held on devices so far."""
        return self._meter.peak.device_bytes if self._meter.peak else 0

    def need_less(self) -> None:
        """Let the next `check` move the ladder."""
        self._pressed = True

    def keep_below(self, limit_gb: float | None) -> None:
        """Watch over the user's limit from now on."""
        if limit_gb is not None:
            self._limit_gb = limit_gb
            self._meter.watch(int(limit_gb * GIB), self._on_level)

    def check(self) -> None:
        """Raise MemoryError where less should be held, NotEnoughMemory where the job must end."""
        if self._over:
            raise self._over
        if self._pressed:
            self._pressed = False
            raise MemoryError(f"out of memory: {self.host_bytes} bytes are held, near the limit")

    def write(self, path: Path) -> None:
        """Write the readings so far as CSV."""
        self._meter.timeline.write_csv(path)

    def leak(self) -> str | None:
        """One sentence where the tree holds notably more than at the start; for a process that ran a job before."""
        leak = self._meter.check_baseline()
        return leak.sentence if leak else None

    def _on_reading(self, reading: Reading) -> None:
        peak = self._meter.peak or reading
        if self._teller.is_due("memory"):
            self._teller.tell(
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
                f"The machine has {reading.host_available_bytes / GIB:.1f} GiB of memory left; "
                "the job goes on, but may be ended by the system."
            )
            self._teller.tell(Warned(job=self._job.id, code="memory_pressure", message=message))

    def _on_level(self, level: Level, reading: Reading) -> None:
        if level == "soft":
            self._pressed = True
            return
        self._over = error = NotEnoughMemory(
            f"The job held {reading.host_bytes / GIB:.2f} GiB and would have passed "
            f"the limit of {self._limit_gb:g} GiB.",
            f"Finished spans are kept; resume with --ram-limit-gb {reading.host_bytes * 1.25 / GIB:.1f} or more.",
        )
        if self._leave:
            self._teller.tell(Failed.of(self._job.id, error))
            self._leave()
