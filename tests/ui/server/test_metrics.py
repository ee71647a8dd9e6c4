"""What Prometheus reads, read back by its own parser."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from memory.devices import Device
from memory.probe import Disk, Hardware, Host
from memory.units import GIB
from pipelines.jobs import events
from pipelines.jobs.job import Job, State
from pipelines.scheduler.span_stats import BUCKETS, SpanCounts
from pipelines.scheduler.stats import Counters
from pipelines.workers.runner import WorkerState
from ui.server.metrics import JobCounts, render
from ui.server.monitor import Monitor
from ui.server.snapshot import Snapshot
from ui.server.system_info import ProcessNow, version

Labels = frozenset[tuple[str, str]]
SPANS = SpanCounts(
    waiting=37,
    running=2,
    workers={"starting": 0, "idle": 1, "busy": 2},
    seconds=(4, 1, *[0] * (len(BUCKETS) - 3), 1),
    seconds_sum=1000.5,
    retries={"killed": 3},
)


class Queue:
    """Stands for a job queue that has been through something."""

    jobs_dir = Path("jobs")
    running = (object(), object())
    waiting = (object(), object())
    workers = (WorkerState("busy", 7, "builtin", 2), WorkerState("busy", 9), WorkerState())
    counters = Counters(98.5, 3, 4, {"done": 5, "failed": 1})


def look(jobs_dir: Path, workers: Sequence[int]) -> Snapshot:
    card = Device("cuda", 0, 'RTX "4070"\n', "GPU-1", 12 * GIB, 4 * GIB)
    processes = (
        ProcessNow(pid=1, name="python", role="page", host_bytes=100),
        ProcessNow(pid=7, name="python", role="worker", host_bytes=200),
        ProcessNow(pid=8, name="ffmpeg", role="worker", host_bytes=30),
    )
    return Snapshot(
        Hardware(Host(16 * GIB, 10 * GIB, 16 * GIB), (card,)), Disk(100 * GIB, 40 * GIB), processes
    )


def read(text: str) -> Mapping[str, Mapping[Labels, float]]:
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, f"{family.name} says nothing of itself"
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def labelled(**labels: str) -> Labels:
    return frozenset(labels.items())


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(Queue(), probe=look)


def test_everything_is_told(monitor: Monitor) -> None:
    told = read(render(monitor, {"done": 12, "running": 0}, SPANS))
    assert told["longtake_jobs"] == {labelled(state="done"): 12, labelled(state="running"): 0}
    assert told["longtake_queue_waiting"] == told["longtake_queue_running"] == {labelled(): 2}
    states = {
        state: told["longtake_queue_workers"][labelled(state=state)] for state in ("none", "warm", "busy")
    }
    assert states == {"none": 1, "warm": 0, "busy": 2}
    assert told["longtake_frames_per_second"] == {labelled(): 98.5}
    assert told["longtake_host_bytes"] == {
        labelled(kind="used"): 6 * GIB,
        labelled(kind="available"): 10 * GIB,
        labelled(kind="limit"): 16 * GIB,
    }
    assert told["longtake_process_bytes"][labelled(process="page")] == 100
    assert told["longtake_process_bytes"][labelled(process="worker")] == 230
    assert told["longtake_device_bytes"] == {
        labelled(device="cuda:0", kind="used"): 8 * GIB,
        labelled(device="cuda:0", kind="available"): 4 * GIB,
        labelled(device="cuda:0", kind="limit"): 12 * GIB,
    }
    assert told["longtake_disk_free_bytes"] == {labelled(): 40 * GIB}
    assert told["longtake_worker_restarts_total"] == {labelled(): 3}
    assert told["longtake_degradations_total"] == {labelled(): 4}
    assert told["longtake_jobs_finished_total"] == {
        labelled(ending="done"): 5,
        labelled(ending="failed"): 1,
    }
    assert told["longtake_spans_waiting"] == {labelled(): 37}
    assert told["longtake_spans_running"] == {labelled(): 2}
    assert told["longtake_workers"][labelled(state="busy")] == 2
    assert told["longtake_span_seconds_bucket"][labelled(le="1.0")] == 4
    assert told["longtake_span_seconds_bucket"][labelled(le="600.0")] == 5
    assert told["longtake_span_seconds_bucket"][labelled(le="+Inf")] == 6
    assert told["longtake_span_seconds_count"] == {labelled(): 6}
    assert told["longtake_span_seconds_sum"] == {labelled(): 1000.5}
    assert told["longtake_span_retries_total"] == {labelled(why="killed"): 3}
    ((labels, value),) = told["longtake_build_info"].items()
    assert dict(labels)["version"] == version() and value == 1


def test_nothing_is_told_twice_or_kept_between_two_readings(monitor: Monitor) -> None:
    first = render(monitor, {"done": 12}, SpanCounts())
    second = render(monitor, {}, SpanCounts())
    assert 'longtake_jobs{state="done"}' in first
    assert 'longtake_jobs{state="done"}' not in second
    assert first.count("# TYPE longtake_host_bytes gauge") == 1


def test_no_name_of_a_process_or_path_is_told(monitor: Monitor) -> None:
    text = render(monitor, {}, SpanCounts())
    assert "ffmpeg" not in text and "jobs_dir" not in text


@pytest.fixture
def jobs_dir(tmp_path: Path) -> Path:
    for name, ending in (("a", events.CancelledEvent(job="a")), ("b", events.Paused(job="b")), ("c", None)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "job.json").write_text("{}")
        Job(folder).journal.append(events.Started(job=name, worker_pid=1))
        if ending:
            Job(folder).journal.append(ending)
    (tmp_path / "uploads").mkdir()
    return tmp_path


def test_jobs_are_counted_by_state_and_no_state_is_missing(jobs_dir: Path) -> None:
    counts = JobCounts(jobs_dir)()
    assert set(counts) == set(get_args(State))
    assert {state: count for state, count in counts.items() if count} == {
        "cancelled": 1,
        "paused": 1,
        "interrupted": 1,
    }


def test_jobs_are_counted_again_only_after_a_while(jobs_dir: Path) -> None:
    now = 0.0
    counts = JobCounts(jobs_dir, seconds=30, clock=lambda: now)
    assert counts()["paused"] == 1
    Job(jobs_dir / "c").journal.append(events.Paused(job="c"))
    now = 29.9
    assert counts()["paused"] == 1
    now = 30.0
    assert counts()["paused"] == 2


def test_a_folder_without_jobs_is_no_error(tmp_path: Path) -> None:
    assert not any(JobCounts(tmp_path / "none")().values())
