"""A check that memory is freed after jobs: a pure fold over readings.

A warm worker keeps what it loaded on purpose, and a larger video or another library is a step up that ends. So what
is compared are levels: the least that a process holds at rest after a job. A leak is growth that goes on over several
jobs. The page is compared with itself before the first job, a worker with itself after the first job of its newest
engine.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from memory.units import MIB
from ui.i18n.catalogue import CATALOGUES, ENGLISH, Catalogue
from ui.i18n.units import size
from ui.server.system_info import BaselineNow

TOLERANCE_BYTES = 128 * MIB
"""Growth that is no leak, however it came: 17 ordinary jobs of three tasks raised a worker by 51 MiB (measured)."""
SETTLING_READINGS = 2
"""Readings at rest before a level counts: a process may still be freeing memory when the first one is taken."""
SEVERAL_LEVELS = 5
"""Fewest levels from which growth can be told from steps: one more than steps are left out."""
_RECENT_LEVELS = 8
"""Latest levels that are searched for steady growth; a leak of 7 MiB a job shows within them."""
_STEPS = 3
"""Largest steps that are left out of the growth: say, another library, a larger video and a longer one."""
_STEADY_BYTES = 24 * MIB
"""Growth that may remain without these steps; allocators moved levels by 5 MiB between equal jobs (measured)."""

Verdict = Literal["unknown", "returned", "undecided", "grown"]


@dataclass(frozen=True)
class WorkerMemory:
    """Memory of a worker and its child processes, in bytes."""

    host_bytes: int
    device_bytes: int


@dataclass(frozen=True)
class MemoryReading:
    """One reading. `idle`: no job runs or waits; `jobs`: how many have ended; `worker` is None without one."""

    idle: bool
    jobs: int
    page_bytes: int
    worker: WorkerMemory | None = None
    worker_pids: tuple[int, ...] = ()
    worker_jobs: int = 0
    engine: str = ""


@dataclass(frozen=True)
class Levels:
    """Levels of one process, in bytes: the first, and the latest in order. Holds at most nine."""

    jobs: int = -1
    readings: int = 0
    least_bytes: int = 0
    earlier: tuple[int, ...] = ()
    first_jobs: int = -1
    """How many jobs had ended at the first level."""

    def after(self, jobs: int, held_bytes: int) -> "Levels":
        """The levels after a reading at rest, at which `jobs` had ended."""
        if jobs == self.jobs:
            return replace(self, readings=self.readings + 1, least_bytes=min(self.least_bytes, held_bytes))
        return Levels(jobs, 1, held_bytes, self.settled, self.first_jobs if self.settled else jobs)

    @property
    def settled(self) -> tuple[int, ...]:
        """The levels that count."""
        if self.readings < SETTLING_READINGS:
            return self.earlier
        levels = (*self.earlier, self.least_bytes)
        return levels if len(levels) <= _RECENT_LEVELS + 1 else (levels[0], *levels[-_RECENT_LEVELS:])

    @property
    def first(self) -> int | None:
        """The first level."""
        return self.settled[0] if self.settled else None

    @property
    def latest(self) -> int | None:
        """The latest level."""
        return self.settled[-1] if self.settled else None

    @property
    def verdict(self) -> Verdict:
        """Whether memory came back; undecided where more is held, but not yet after several jobs."""
        levels = self.settled
        if len(levels) < 2:
            return "unknown"
        if levels[-1] - levels[0] <= TOLERANCE_BYTES:
            return "returned"
        if len(levels) < SEVERAL_LEVELS:
            return "undecided"
        steps = sorted(after - before for before, after in pairwise(levels[-_RECENT_LEVELS:]))
        return "grown" if sum(steps[:-_STEPS]) > _STEADY_BYTES else "returned"


@dataclass(frozen=True)
class Baseline:
    """The comparison so far, of the page and of the worker, or of the same several together."""

    started: bool = False
    page: Levels = field(default_factory=Levels)
    worker_pids: tuple[int, ...] = ()
    engines: frozenset[str] = frozenset()
    host: Levels = field(default_factory=Levels)
    device: Levels = field(default_factory=Levels)

    def after(self, reading: MemoryReading) -> "Baseline":
        """The baseline after one more reading; readings while a job waits or runs are not compared."""
        if not reading.idle:
            return replace(self, started=True)
        started = self.started or reading.jobs > 0
        baseline = replace(self, started=started)
        # Without a level from before the first job there is nothing to compare the page with.
        if not started or self.page.readings:
            baseline = replace(baseline, page=self.page.after(reading.jobs, reading.page_bytes))
        return baseline._with_worker(reading)

    def _with_worker(self, reading: MemoryReading) -> "Baseline":
        worker, jobs = reading.worker, reading.worker_jobs
        if worker is None or not jobs:
            return replace(self, worker_pids=(), engines=frozenset(), host=Levels(), device=Levels())
        known = self.engines if reading.worker_pids == self.worker_pids else frozenset()
        baseline = self
        if reading.engine not in known:
            baseline = replace(self, host=Levels(), device=Levels())
        return replace(
            baseline,
            worker_pids=reading.worker_pids,
            engines=known | {reading.engine},
            host=baseline.host.after(jobs, worker.host_bytes),
            device=baseline.device.after(jobs, worker.device_bytes),
        )

    @property
    def returned(self) -> bool | None:
        """Whether memory came back; None while that cannot be told."""
        verdicts = {self.page.verdict, self.host.verdict, self.device.verdict}
        if "grown" in verdicts:
            return False
        return True if "returned" in verdicts and "undecided" not in verdicts else None

    def summary(self) -> BaselineNow:
        """The baseline as a model, with the verdict as an English sentence."""
        summary = BaselineNow(
            returned=self.returned,
            page_before_bytes=self.page.first,
            page_after_bytes=self.page.latest if len(self.page.settled) > 1 else None,
            worker_first_bytes=self.host.first,
            worker_after_bytes=self.host.latest,
            worker_first_device_bytes=self.device.first,
            worker_after_device_bytes=self.device.latest,
            worker_jobs=self.host.jobs - self.host.first_jobs if self.host.settled else 0,
        )
        return summary.model_copy(update={"sentence": sentence(summary, CATALOGUES[ENGLISH])})


def sentence(baseline: BaselineNow, catalogue: Catalogue) -> str:
    """The verdict and the numbers behind it, in the language of `catalogue`."""

    def text(key: str, **values: str) -> str:
        return catalogue.text("live", f"system.baseline.{key}").format(**values)

    verdict = {None: "unknown", True: "returned", False: "grown"}[baseline.returned]
    sentences = [text(verdict)]
    page = baseline.page_before_bytes, baseline.page_after_bytes
    if page[0] is not None and page[1] is not None:
        sentences.append(text("page", before=size(page[0]), after=size(page[1])))
    worker = baseline.worker_first_bytes, baseline.worker_after_bytes
    if worker[0] is not None and worker[1] is not None and baseline.worker_jobs:
        numbers = {"before": size(worker[0]), "after": size(worker[1]), "jobs": f"{baseline.worker_jobs:,}"}
        sentences.append(text("worker", **numbers))
    device = baseline.worker_first_device_bytes, baseline.worker_after_device_bytes
    if device[0] is not None and device[1] and baseline.worker_jobs:
        sentences.append(text("device", before=size(device[0]), after=size(device[1])))
    return catalogue.text("joints", "between").join(sentences)
