"""The server's eye on itself: one thread that samples every few seconds and keeps the last hour.

Everyone who wants to know how the server is (page, API, metrics) reads the newest sample; nobody's question
makes the machine be looked at again, so many questions cost no more than none.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.scheduler.stats import Counters
from pipelines.workers.runner import WorkerState
from ui.server.leak_check import Baseline, Held, Moment
from ui.server.snapshot import Snapshot, hardware_now, look_at, preset_now
from ui.server.system_info import (
    CountersNow,
    DiskNow,
    HostNow,
    ProcessesNow,
    QueueNow,
    System,
    WorkerNow,
    version,
)

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
HISTORY_SAMPLES = 720
"""The last hour."""


class QueueSeen(Protocol):
    """What a monitor needs of a job queue."""

    @property
    def jobs_dir(self) -> Path: ...  # noqa: D102
    @property
    def running(self) -> object | None: ...  # noqa: D102
    @property
    def waiting(self) -> Sequence[object]: ...  # noqa: D102
    @property
    def worker(self) -> WorkerState: ...  # noqa: D102
    @property
    def counters(self) -> Counters: ...  # noqa: D102


@dataclass(frozen=True)
class Sample:
    """One point of the last hour. `seconds` is the monitor's clock, sizes are bytes, devices are summed up."""

    seconds: float
    host_total_bytes: int
    host_used_bytes: int
    ours_bytes: int
    device_total_bytes: int
    device_used_bytes: int


class Monitor:
    """Samples the server in a thread of its own, once it is started. Holds `HISTORY_SAMPLES` small objects.

    `ram_limit_gb` is what no job may pass: presets see the machine so. `look` and `clock` are replaced by tests.
    """

    def __init__(
        self,
        queue: QueueSeen,
        *,
        ram_limit_gb: float | None = None,
        period_seconds: float = PERIOD_SECONDS,
        look: Callable[[Path, int | None], Snapshot] = look_at,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._ram_limit_gb = ram_limit_gb
        self._period_seconds = period_seconds
        self._look, self._clock = look, clock
        self._samples: deque[Sample] = deque(maxlen=HISTORY_SAMPLES)
        self._latest: Snapshot | None = None
        self._baseline = Baseline()
        self._worker_seen, self._worker_since = WorkerState(), clock()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take the first sample and begin to take them on time."""
        self._try_sample()
        self._thread = threading.Thread(target=self._run, name="system monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what was sampled can still be read."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def sample(self) -> Sample:
        """Take a sample now. Raises OSError where the disk of the jobs cannot be asked."""
        with self._lock:
            worker, idle = self._queue.worker, self._idle()
            look = self._look(self._queue.jobs_dir, worker.pid)
            if _turn(worker) != _turn(self._worker_seen):
                self._worker_seen, self._worker_since = worker, self._clock()
            # A job that came or went meanwhile makes it a reading of neither.
            if idle == self._idle():
                self._baseline = self._baseline.after(self._moment(look, worker, idle))
            host = HostNow.of(look.hardware.host)
            devices = look.hardware.devices
            sample = Sample(
                seconds=self._clock(),
                host_total_bytes=host.total_bytes,
                host_used_bytes=host.used_bytes,
                ours_bytes=sum(process.host_bytes for process in look.processes),
                device_total_bytes=sum(device.total_bytes for device in devices),
                device_used_bytes=sum(device.total_bytes - device.free_bytes for device in devices),
            )
            self._samples.append(sample)
            self._latest = look
        return sample

    def samples(self) -> tuple[Sample, ...]:
        """The last hour, oldest first."""
        with self._lock:
            return tuple(self._samples)

    def system(self, *, private: bool = False) -> System:
        """The server as of the newest sample; queue, worker and counters as of now.

        Process ids, process names and the path of the jobs are told with `private` alone: to the person at this
        machine. Raises OSError where nothing was sampled yet and the disk cannot be asked.
        """
        if self._latest is None:
            self.sample()
        with self._lock:
            look, baseline = self._latest, self._baseline
        assert look is not None
        return System(
            version=version(),
            hardware=hardware_now(look.hardware),
            preset=preset_now(look.hardware.limited(self._ram_limit_gb)),
            disk=DiskNow(
                total_bytes=look.disk.total_bytes,
                free_bytes=look.disk.free_bytes,
                folder=str(self._queue.jobs_dir) if private else None,
            ),
            processes=ProcessesNow(
                page_bytes=look.held("page"),
                worker_bytes=look.held("worker"),
                other_bytes=look.held("other"),
                each=look.processes if private else None,
            ),
            worker=self._worker(private),
            queue=QueueNow(running=int(self._queue.running is not None), waiting=len(self._queue.waiting)),
            counters=self._counters(),
            baseline=baseline.tell(),
        )

    def _worker(self, private: bool) -> WorkerNow:
        worker = self._queue.worker
        seen = _turn(worker) == _turn(self._worker_seen)
        return WorkerNow(
            state=worker.state,
            engine=worker.engine,
            jobs_run=worker.jobs_run,
            seconds=max(0.0, self._clock() - self._worker_since) if seen else 0.0,
            pid=worker.pid if private else None,
        )

    def _counters(self) -> CountersNow:
        counted = self._queue.counters
        return CountersNow(
            frames_per_second=counted.frames_per_second,
            restarts=counted.restarts,
            degradations=counted.degradations,
            finished=dict(counted.finished),
        )

    def _idle(self) -> bool:
        return self._queue.running is None and not self._queue.waiting

    def _moment(self, look: Snapshot, worker: WorkerState, idle: bool) -> Moment:
        there = worker.pid is not None and look.held("worker") > 0
        return Moment(
            idle=idle,
            jobs=sum(self._queue.counters.finished.values()),
            page_bytes=look.held("page"),
            worker=Held(look.held("worker"), look.device_bytes) if there else None,
            worker_pid=worker.pid,
            worker_jobs=worker.jobs_run,
        )

    def _run(self) -> None:
        while not self._stopped.wait(self._period_seconds):
            self._try_sample()

    def _try_sample(self) -> None:
        try:
            self.sample()
        except OSError as error:
            log.warning("the system could not be looked at: %s", error)


def _turn(worker: WorkerState) -> tuple[object, ...]:
    """What changes when a worker begins to be busy, or idle, or is another one."""
    return worker.state, worker.pid, worker.jobs_run
