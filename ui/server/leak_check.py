"""A check that memory is freed after jobs: a pure fold over readings.

A warm worker keeps what it loaded on purpose, so there are two comparisons: the page with itself before the first
job, and a worker with itself after its own first job.
"""

from dataclasses import dataclass, replace

from memory.units import MIB
from ui.i18n.words import LIVE
from ui.server.system_info import BaselineNow, size

TOLERANCE_BYTES = 128 * MIB
"""A worker settles up to 60 MiB above its first job (allocator, charts: 14 equal jobs); kept frames are hundreds."""


@dataclass(frozen=True)
class WorkerMemory:
    """Memory of a worker and its child processes, in bytes."""

    host_bytes: int
    device_bytes: int

    def least(self, other: "WorkerMemory") -> "WorkerMemory":
        """The lower value of each."""
        return WorkerMemory(
            min(self.host_bytes, other.host_bytes),
            min(self.device_bytes, other.device_bytes),
        )

    def grew(self, first: "WorkerMemory") -> bool:
        """Whether this is more than `first` by more than the tolerance."""
        host, device = self.host_bytes - first.host_bytes, self.device_bytes - first.device_bytes
        return max(host, device) > TOLERANCE_BYTES


@dataclass(frozen=True)
class MemoryReading:
    """One reading. `idle`: no job runs or waits; `jobs`: how many have ended; `worker` is None without one."""

    idle: bool
    jobs: int
    page_bytes: int
    worker: WorkerMemory | None = None
    worker_pid: int | None = None
    worker_jobs: int = 0


@dataclass(frozen=True)
class Baseline:
    """The comparison so far. Holds two numbers for the page and two readings of one worker."""

    started: bool = False
    page_before_bytes: int | None = None
    page_after_bytes: int | None = None
    worker_pid: int | None = None
    first_jobs: int = 0
    jobs: int = 0
    first: WorkerMemory | None = None
    now: WorkerMemory | None = None

    def after(self, reading: MemoryReading) -> "Baseline":
        """The baseline after one more reading; readings while a job waits or runs are not compared."""
        if not reading.idle:
            return replace(self, started=True)
        baseline = replace(self, started=self.started or reading.jobs > 0)
        if baseline.started:
            baseline = replace(baseline, page_after_bytes=reading.page_bytes)
        else:
            baseline = replace(baseline, page_before_bytes=reading.page_bytes)
        return baseline._with_worker(reading)

    def _with_worker(self, reading: MemoryReading) -> "Baseline":
        if reading.worker is None or not reading.worker_jobs:
            return replace(self, worker_pid=None, first=None, now=None)
        if self.first is None or reading.worker_pid != self.worker_pid:
            return replace(
                self,
                worker_pid=reading.worker_pid,
                first_jobs=reading.worker_jobs,
                jobs=reading.worker_jobs,
                first=reading.worker,
                now=reading.worker,
            )
        # A worker may still be freeing memory right after a job: the least value until the next job counts.
        still_first = reading.worker_jobs == self.first_jobs
        first = self.first.least(reading.worker) if still_first else self.first
        return replace(self, first=first, now=reading.worker, jobs=reading.worker_jobs)

    @property
    def returned(self) -> bool | None:
        """Whether memory came back, within the tolerance; None while nothing can be compared."""
        verdicts = [verdict for verdict in (self._page(), self._worker()) if verdict is not None]
        return all(verdicts) if verdicts else None

    def _page(self) -> bool | None:
        if self.page_before_bytes is None or self.page_after_bytes is None:
            return None
        return self.page_after_bytes - self.page_before_bytes <= TOLERANCE_BYTES

    def _worker(self) -> bool | None:
        if self.first is None or self.now is None or self.jobs == self.first_jobs:
            return None
        return not self.now.grew(self.first)

    def summary(self) -> BaselineNow:
        """The baseline as a model, with the verdict as an English sentence."""
        summary = BaselineNow(
            returned=self.returned,
            page_before_bytes=self.page_before_bytes,
            page_after_bytes=self.page_after_bytes,
            worker_first_bytes=self.first.host_bytes if self.first else None,
            worker_after_bytes=self.now.host_bytes if self.now else None,
            worker_first_device_bytes=self.first.device_bytes if self.first else None,
            worker_after_device_bytes=self.now.device_bytes if self.now else None,
            worker_jobs=self.jobs - self.first_jobs if self.first else 0,
        )
        return summary.model_copy(update={"sentence": sentence(summary)[0]})


def sentence(baseline: BaselineNow) -> tuple[str, str]:
    """The verdict and the numbers behind it, in English and Chinese."""
    verdict = {None: "unknown", True: "returned", False: "grown"}[baseline.returned]
    sentences = [LIVE[f"system.baseline.{verdict}"]]
    page = baseline.page_before_bytes, baseline.page_after_bytes
    if page[0] is not None and page[1] is not None:
        sentences.append(_filled("system.baseline.page", before=size(page[0]), after=size(page[1])))
    worker = baseline.worker_first_bytes, baseline.worker_after_bytes
    if worker[0] is not None and worker[1] is not None and baseline.worker_jobs:
        numbers = {"before": size(worker[0]), "after": size(worker[1]), "jobs": f"{baseline.worker_jobs:,}"}
        sentences.append(_filled("system.baseline.worker", **numbers))
    device = baseline.worker_first_device_bytes, baseline.worker_after_device_bytes
    if device[0] is not None and device[1] and baseline.worker_jobs:
        sentences.append(_filled("system.baseline.device", before=size(device[0]), after=size(device[1])))
    return " ".join(english for english, _ in sentences), "".join(chinese for _, chinese in sentences)


def _filled(key: str, **values: str) -> tuple[str, str]:
    english, chinese = LIVE[key]
    return english.format(**values), chinese.format(**values)
