"""Monitoring of the server: one thread that samples every few seconds and keeps the last hour.

Page, API and metrics read the newest sample; no request probes the machine again, so the cost does not grow with the
number of requests.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.scheduler.stats import Counters
from pipelines.workers.runner import WorkerState
from ui.server.leak_check import Baseline, MemoryReading, WorkerMemory
from ui.server.snapshot import Snapshot, hardware_now, preset_now, take_snapshot
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


class MonitoredQueue(Protocol):
    """What a monitor needs of a job queue."""

    @property
    def jobs_dir(self) -> Path: ...  # noqa: D102
    @property
    def running(self) -> Sequence[object]: ...  # noqa: D102
    @property
    def waiting(self) -> Sequence[object]: ...  # noqa: D102
    @property
    def workers(self) -> Sequence[WorkerState]: ...  # noqa: D102
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

    `ram_limit_gb` is the limit of every job: presets are chosen as for such a machine. `probe` and `clock` are for
    tests.
    """

    def __init__(
        self,
        queue: MonitoredQueue,
        *,
        ram_limit_gb: float | None = None,
        period_seconds: float = PERIOD_SECONDS,
        probe: Callable[[Path, Collection[int]], Snapshot] = take_snapshot,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._ram_limit_gb = ram_limit_gb
        self._period_seconds = period_seconds
        self._probe, self._clock = probe, clock
        self._samples: deque[Sample] = deque(maxlen=HISTORY_SAMPLES)
        self._latest: Snapshot | None = None
        self._baseline = Baseline()
        self._seen = [(_phase(worker), clock()) for worker in queue.workers]
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take the first sample, then sample at each period in a thread."""
        self._try_sample()
        self._thread = threading.Thread(target=self._run, name="system monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what was sampled can still be read."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def sample(self) -> Sample:
        """Take a sample now. Raises OSError where the disk of the jobs cannot be probed."""
        with self._lock:
            workers, idle = self._queue.workers, self._idle()
            snapshot = self._probe(self._queue.jobs_dir, [worker.pid for worker in workers if worker.pid])
            for place, worker in enumerate(workers):
                if _phase(worker) != self._seen[place][0]:
                    self._seen[place] = _phase(worker), self._clock()
            # A job that began or ended meanwhile makes the reading neither idle nor busy: it is not compared.
            if idle == self._idle():
                self._compare(self._reading(snapshot, workers, idle))
            host = HostNow.of(snapshot.hardware.host)
            devices = snapshot.hardware.devices
            sample = Sample(
                seconds=self._clock(),
                host_total_bytes=host.total_bytes,
                host_used_bytes=host.used_bytes,
                ours_bytes=sum(process.host_bytes for process in snapshot.processes),
                device_total_bytes=sum(device.total_bytes for device in devices),
                device_used_bytes=sum(device.total_bytes - device.free_bytes for device in devices),
            )
            self._samples.append(sample)
            self._latest = snapshot
        return sample

    def samples(self) -> tuple[Sample, ...]:
        """The last hour, oldest first."""
        with self._lock:
            return tuple(self._samples)

    def system(self, *, private: bool = False) -> System:
        """The server as of the newest sample; queue, worker and counters as of now.

        Process ids, process names and the path of the jobs are included only where `private`, for the server's
        owner. Raises OSError where nothing was sampled yet and the disk cannot be probed.
        """
        if self._latest is None:
            self.sample()
        with self._lock:
            snapshot, baseline = self._latest, self._baseline
        assert snapshot is not None
        workers = self._workers(private)
        return System(
            version=version(),
            hardware=hardware_now(snapshot.hardware),
            preset=preset_now(snapshot.hardware.limited(self._ram_limit_gb)),
            disk=DiskNow(
                total_bytes=snapshot.disk.total_bytes,
                free_bytes=snapshot.disk.free_bytes,
                folder=str(self._queue.jobs_dir) if private else None,
            ),
            processes=ProcessesNow(
                page_bytes=snapshot.held("page"),
                worker_bytes=snapshot.held("worker"),
                other_bytes=snapshot.held("other"),
                each=snapshot.processes if private else None,
            ),
            worker=workers[0],
            workers=workers,
            queue=QueueNow(running=len(self._queue.running), waiting=len(self._queue.waiting)),
            counters=self._counters(),
            baseline=baseline.summary(),
        )

    def _compare(self, reading: MemoryReading) -> None:
        """Add a reading to the baseline; memory that does not come back is logged once, until it does."""
        told, self._baseline = self._baseline.returned is False, self._baseline.after(reading)
        if self._baseline.returned is False and not told:
            log.warning("memory after jobs: %s", self._baseline.summary().sentence)

    def _workers(self, private: bool) -> tuple[WorkerNow, ...]:
        return tuple(
            WorkerNow(
                state=worker.state,
                engine=worker.engine,
                jobs_run=worker.jobs_run,
                seconds=max(0.0, self._clock() - since) if _phase(worker) == phase else 0.0,
                pid=worker.pid if private else None,
            )
            for worker, (phase, since) in zip(self._queue.workers, self._seen, strict=True)
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
        return not self._queue.running and not self._queue.waiting

    def _reading(self, snapshot: Snapshot, workers: Sequence[WorkerState], idle: bool) -> MemoryReading:
        """A reading of all processes; workers of several places are compared as one."""
        pids = tuple(worker.pid for worker in workers if worker.pid)
        alive = bool(pids) and snapshot.held("worker") > 0
        return MemoryReading(
            idle=idle,
            jobs=sum(self._queue.counters.finished.values()),
            page_bytes=snapshot.held("page"),
            worker=WorkerMemory(snapshot.held("worker"), snapshot.device_bytes) if alive else None,
            worker_pids=pids,
            worker_jobs=sum(worker.jobs_run for worker in workers),
            engine=" ".join(worker.engine for worker in workers if worker.pid),
        )

    def _run(self) -> None:
        while not self._stopped.wait(self._period_seconds):
            self._try_sample()

    def _try_sample(self) -> None:
        try:
            self.sample()
        except OSError as error:
            log.warning("the system could not be sampled: %s", error)


def _phase(worker: WorkerState) -> tuple[object, ...]:
    """A value that changes whenever the worker becomes busy or idle, or is replaced."""
    return worker.state, worker.pid, worker.jobs_run
