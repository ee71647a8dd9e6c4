"""Prometheus metrics of the server. All families are made from one reading; nothing is kept between readings."""

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from pipelines.jobs.job import Job, State
from pipelines.scheduler.span_stats import BUCKETS, SpanCounts
from ui.server.monitor import Monitor
from ui.server.system_info import System

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The content type of the text of `render`."""


def render(monitor: Monitor, jobs_by_state: Mapping[str, int], spans: SpanCounts) -> str:
    """The metrics as text. Raises OSError where nothing was sampled yet and the disk cannot be probed."""
    registry = CollectorRegistry()
    registry.register(_SystemCollector(monitor.system(), jobs_by_state, spans))
    return generate_latest(registry).decode()


class JobCounts:
    """Jobs by state, counted in the jobs' folder at most every `seconds`.

    Counting reads the end of each job's journal, so that thousands take about a second; a count may be `seconds` old.
    Every state has a count, 0 where there is no such job. `clock` is for tests.
    """

    def __init__(
        self, jobs_dir: Path, *, seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs_dir = jobs_dir
        self._seconds = seconds
        self._clock = clock
        self._counted: tuple[float, Mapping[str, int]] | None = None

    def __call__(self) -> Mapping[str, int]:
        """The newest count."""
        now = self._clock()
        if self._counted is None or now - self._counted[0] >= self._seconds:
            self._counted = now, self._count()
        return self._counted[1]

    def _count(self) -> Mapping[str, int]:
        folders = (path.parent for path in self._jobs_dir.glob("*/job.json"))
        counts = Counter(Job(folder).state() for folder in folders)
        return {state: counts[state] for state in get_args(State)}


class _SystemCollector(Collector):
    """A `System` and the counts of a queue as families of metrics."""

    def __init__(self, system: System, jobs_by_state: Mapping[str, int], spans: SpanCounts) -> None:
        self._system = system
        self._span_counts = spans
        self._jobs_by_state = jobs_by_state

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._jobs()
        yield from self._memory()
        yield from self._counters()
        yield from self._spans()
        build = InfoMetricFamily("longtake_build", "What runs here.")
        build.add_metric((), {"version": self._system.version, "python": platform.python_version()})
        yield build

    def _jobs(self) -> Iterator[Metric]:
        system = self._system
        yield _gauge("longtake_jobs", "Jobs that are kept, by state.", "state", self._jobs_by_state)
        yield GaugeMetricFamily("longtake_queue_waiting", "Jobs that wait.", value=system.queue.waiting)
        yield GaugeMetricFamily("longtake_queue_running", "Jobs that run.", value=system.queue.running)
        states = Counter({"none": 0, "warm": 0, "busy": 0})
        states.update(worker.state for worker in system.workers)
        yield _gauge(
            "longtake_queue_workers", "Places for a job, by the state of the worker.", "state", states
        )
        yield GaugeMetricFamily(
            "longtake_frames_per_second",
            "Frames per second of the running jobs together, lately.",
            value=system.counters.frames_per_second,
        )

    def _memory(self) -> Iterator[Metric]:
        hardware, processes = self._system.hardware, self._system.processes
        host = {
            "used": hardware.host.used_bytes,
            "available": hardware.host.available_bytes,
            "limit": hardware.host.total_bytes,
        }
        yield _gauge("longtake_host_bytes", "Host memory of everyone, within the container.", "kind", host)
        ours = {
            "page": processes.page_bytes,
            "worker": processes.worker_bytes,
            "other": processes.other_bytes,
        }
        yield _gauge("longtake_process_bytes", "Host memory of our processes.", "process", ours)
        devices = GaugeMetricFamily("longtake_device_bytes", "Memory of a device.", labels=("device", "kind"))
        for device in hardware.devices:
            name = f"{device.kind}:{device.index}"
            devices.add_metric((name, "used"), device.total_bytes - device.free_bytes)
            devices.add_metric((name, "available"), device.free_bytes)
            devices.add_metric((name, "limit"), device.total_bytes)
        yield devices
        free = self._system.disk.free_bytes
        yield GaugeMetricFamily("longtake_disk_free_bytes", "Free on the disk of the jobs.", value=free)

    def _counters(self) -> Iterator[Metric]:
        counters = self._system.counters
        yield CounterMetricFamily(
            "longtake_worker_restarts", "Workers that died and were replaced.", value=counters.restarts
        )
        yield CounterMetricFamily(
            "longtake_degradations",
            "Times that a job went on with less memory.",
            value=counters.degradations,
        )
        finished = CounterMetricFamily(
            "longtake_jobs_finished", "Jobs that ended here, by how.", labels=("ending",)
        )
        for ending, count in counters.finished.items():
            finished.add_metric((ending,), count)
        yield finished

    def _spans(self) -> Iterator[Metric]:
        """What workers compute together: by these a cluster decides how many it wants."""
        spans = self._span_counts
        yield GaugeMetricFamily(
            "longtake_spans_waiting", "Spans that no worker computes yet.", value=spans.waiting
        )
        yield GaugeMetricFamily("longtake_spans_running", "Spans that workers compute.", value=spans.running)
        yield _gauge("longtake_workers", "Workers of running jobs, by state.", "state", spans.workers)
        upto = [
            ("+Inf" if bound == float("inf") else str(bound), sum(spans.seconds[: i + 1]))
            for i, bound in enumerate(BUCKETS)
        ]
        yield HistogramMetricFamily(
            "longtake_span_seconds",
            "How long a worker took for a span.",
            buckets=upto,
            sum_value=spans.seconds_sum,
        )
        retries = CounterMetricFamily(
            "longtake_span_retries",
            "Spans that were begun again, by what became of a worker.",
            labels=("why",),
        )
        for why, count in spans.retries.items():
            retries.add_metric((why,), count)
        yield retries


def _gauge(name: str, help_text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
