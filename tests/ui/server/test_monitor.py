"""The server's eye on itself: what it samples, what it keeps, what it tells to whom."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest

from memory.devices import Device, NoDevice
from memory.probe import Disk, Hardware, Host
from memory.units import GIB, MIB
from pipelines.scheduler.queue import JobQueue
from pipelines.scheduler.stats import Counters
from pipelines.workers.runner import WorkerState
from ui.i18n.units import size
from ui.server import monitor as monitoring
from ui.server.leak_check import (
    SETTLING_READINGS,
    TOLERANCE_BYTES,
    Baseline,
    MemoryReading,
    WorkerMemory,
)
from ui.server.monitor import HISTORY_SAMPLES, Monitor
from ui.server.snapshot import Snapshot, preset_now, take_snapshot, usable_cores
from ui.server.system_info import ProcessNow, System

CARD = Device("cuda", 0, "RTX 4070", "GPU-1", 12 * GIB, 4 * GIB, others_bytes=2 * GIB, utilisation_percent=83)


@dataclass
class Queue:
    """Stands for a job queue: what a monitor reads of one."""

    jobs_dir: Path = Path("/secret/jobs")
    running: Sequence[object] = ()
    waiting: Sequence[object] = ()
    workers: Sequence[WorkerState] = (WorkerState(),)
    counters: Counters = field(default_factory=Counters)


def look(page: int = 100 * MIB, worker: int = 0, devices: tuple[Device, ...] = ()) -> Snapshot:
    held = [ProcessNow(pid=1, name="python", role="page", host_bytes=page)]
    if worker:
        held.append(ProcessNow(pid=7, name="python-worker", role="worker", host_bytes=worker))
    hardware = Hardware(
        Host(16 * GIB, 10 * GIB, 64 * GIB, in_container=True), devices, NoDevice("No driver.")
    )
    return Snapshot(hardware, Disk(100 * GIB, 40 * GIB), tuple(held))


class Machine:
    """A machine whose next look and time a test sets."""

    def __init__(self) -> None:
        self.now, self.look, self.asked = 1000.0, look(), 0

    def __call__(self, jobs_dir: Path, worker_pid: int | None) -> Snapshot:
        self.asked += 1
        return self.look

    def clock(self) -> float:
        return self.now


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def monitor(queue: Queue, machine: Machine) -> Monitor:
    return Monitor(queue, probe=machine, clock=machine.clock)


def test_a_sample_tells_what_everyone_and_what_we_hold(monitor: Monitor, machine: Machine) -> None:
    machine.look = look(100 * MIB, 300 * MIB, (CARD, replace(CARD, index=1, free_bytes=GIB)))
    sample = monitor.sample()
    assert (sample.seconds, sample.host_total_bytes) == (1000.0, 16 * GIB)
    assert sample.host_used_bytes == 6 * GIB
    assert sample.ours_bytes == 400 * MIB
    assert (sample.device_used_bytes, sample.device_total_bytes) == (19 * GIB, 24 * GIB)


def test_only_the_last_hour_is_kept(monitor: Monitor, machine: Machine) -> None:
    for second in range(HISTORY_SAMPLES + 5):
        machine.now = float(second)
        monitor.sample()
    kept = monitor.samples()
    assert len(kept) == HISTORY_SAMPLES == 3600 / monitoring.PERIOD_SECONDS
    assert (kept[0].seconds, kept[-1].seconds) == (5.0, HISTORY_SAMPLES + 4)


def test_questions_do_not_look_at_the_machine_again(monitor: Monitor, machine: Machine) -> None:
    for _ in range(10):
        monitor.system()
    assert machine.asked == 1


def test_the_server_is_told_in_full(monitor: Monitor, queue: Queue, machine: Machine) -> None:
    machine.look = look(100 * MIB, 300 * MIB, (CARD,))
    queue.running, queue.waiting = [object()], [object(), object()]
    queue.workers = [WorkerState("busy", 7, "builtin", 3)]
    queue.counters = Counters(12.5, 1, 2, {"done": 4})
    monitor.sample()
    machine.now += 60
    told = monitor.system()
    (device,) = told.hardware.devices
    assert (device.ours_bytes, device.others_bytes, device.utilisation_percent) == (6 * GIB, 2 * GIB, 83)
    assert (told.processes.page_bytes, told.processes.worker_bytes) == (100 * MIB, 300 * MIB)
    assert (told.worker.state, told.worker.engine, told.worker.jobs_run, told.worker.seconds) == (
        "busy",
        "builtin",
        3,
        60.0,
    )
    assert (told.queue.running, told.queue.waiting) == (1, 2)
    assert told.counters.model_dump() == {
        "frames_per_second": 12.5,
        "restarts": 1,
        "degradations": 2,
        "finished": {"done": 4},
    }
    assert (told.preset.vram, told.preset.host) == ("12gb", "16gb")
    assert System.model_validate_json(told.model_dump_json()) == told


def test_a_worker_is_as_long_idle_as_nothing_changed(
    monitor: Monitor, queue: Queue, machine: Machine
) -> None:
    queue.workers = [WorkerState("busy", 7, jobs_run=1)]
    monitor.sample()
    machine.now += 30
    queue.workers = [replace(queue.workers[0], state="warm")]
    assert monitor.system().worker.seconds == 0
    monitor.sample()
    machine.now += 8
    assert monitor.system().worker.seconds == 8
    queue.workers = [replace(queue.workers[0], pid=8)]
    assert monitor.system().worker.seconds == 0


def test_the_real_queue_can_be_watched(tmp_path: Path) -> None:
    queue = JobQueue(tmp_path)
    try:
        told = Monitor(queue).system(private=True)
    finally:
        queue.close()
    assert (told.worker.state, told.queue.running, told.queue.waiting) == ("none", 0, 0)
    assert told.processes.page_bytes > MIB
    assert told.disk.folder == str(tmp_path)


def test_process_ids_names_and_paths_are_for_the_person_at_this_machine(
    monitor: Monitor, queue: Queue, machine: Machine
) -> None:
    machine.look, queue.workers = look(worker=300 * MIB), [WorkerState("warm", 4242, "builtin", 1)]
    public, private = monitor.system().model_dump_json(), monitor.system(private=True).model_dump_json()
    for secret in ("/secret/jobs", "4242", "python-worker"):
        assert secret not in public
        assert secret in private


def test_a_limit_on_memory_is_seen_by_the_presets(queue: Queue, machine: Machine) -> None:
    limited = Monitor(queue, ram_limit_gb=8, probe=machine, clock=machine.clock)
    assert limited.system().preset.host == "8gb"
    assert limited.system().hardware.host.total_bytes == 16 * GIB


def test_the_thread_samples_until_it_is_closed_and_survives_a_disk_that_is_gone(queue: Queue) -> None:
    looks = iter([look(), OSError("gone"), look()])
    enough = threading.Event()

    def flaky(*_: object) -> Snapshot:
        found = next(looks, None)
        if isinstance(found, OSError):
            raise found
        if found is None:
            enough.set()
        return found or look()

    monitor = Monitor(queue, period_seconds=0.001, probe=flaky)
    monitor.start()
    assert len(monitor.samples()) >= 1, "the first sample is there at once"
    assert enough.wait(100)
    monitor.close()
    count = len(monitor.samples())
    assert count >= 2
    assert "system monitor" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child of its own."""
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE);"
        "print(flush=True); input(); p.communicate(b'\\n')"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    yield process
    process.communicate(b"\n")


def test_real_processes_are_told_apart(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (grandchild,) = psutil.Process(child.pid).children()
    found = take_snapshot(tmp_path / "not" / "yet", [child.pid])
    roles = {process.pid: process.role for process in found.processes}
    assert (roles[os.getpid()], roles[child.pid], roles[grandchild.pid]) == ("page", "worker", "worker")
    assert found.held("worker") > MIB and found.held("page") > MIB
    assert all(process.name for process in found.processes)
    assert found.disk.free_bytes > 0
    roles = {process.pid: process.role for process in take_snapshot(tmp_path, []).processes}
    assert (roles[os.getpid()], roles[child.pid], roles[grandchild.pid]) == ("page", "other", "other")


def test_a_worker_that_is_gone_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert take_snapshot(tmp_path, [process.pid]).held("worker") == 0


# -- cores and tiers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
    ],
)
def test_a_containers_quota_counts_as_cores(
    files: Mapping[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert usable_cores(tmp_path) == cores


def test_a_machine_without_a_gpu_has_the_preset_none() -> None:
    told = preset_now(look().hardware)
    assert (told.vram, told.host) == ("none", "16gb")
    assert "Without a GPU" in told.reason
    assert "12gb" in preset_now(look(devices=(CARD,)).hardware).reason


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 MB"),
        (640 * MIB, "640 MB"),
        (1023 * MIB, "1.00 GB"),
        (3 * GIB // 2, "1.50 GB"),
        (12 * GIB, "12.0 GB"),
    ],
)
def test_sizes_for_people(size_bytes: int, shown: str) -> None:
    assert size(size_bytes) == shown


# -- the baseline --------------------------------------------------------------------------------------------

IDLE = MemoryReading(idle=True, jobs=0, page_bytes=100 * MIB)
BUSY = replace(IDLE, idle=False)


def after(*moments: MemoryReading) -> Baseline:
    """The baseline after these readings, each of those at rest taken as often as it takes to settle."""
    baseline = Baseline()
    for moment in moments:
        for _ in range(SETTLING_READINGS if moment.idle else 1):
            baseline = baseline.after(moment)
    return baseline


def warm(host: int, jobs: int, pid: int = 7, device: int = 0, engine: str = "builtin") -> MemoryReading:
    worker = WorkerMemory(host, device)
    return replace(IDLE, jobs=jobs, worker=worker, worker_pids=(pid,), worker_jobs=jobs, engine=engine)


def jobs_of(*levels_mib: int, device: bool = False) -> list[MemoryReading]:
    """Jobs of one worker, after each of which it holds this much at rest."""
    levels = [level * MIB for level in levels_mib]
    held = [(300 * MIB, level) if device else (level, 0) for level in levels]
    return [moment for n, (host, more) in enumerate(held, 1) for moment in (BUSY, warm(host, n, device=more))]


def test_a_first_job_alone_says_nothing_of_the_worker() -> None:
    assert after(BUSY, warm(300 * MIB, 1)).returned is None


def test_nothing_is_said_before_a_job_has_ended() -> None:
    assert after(IDLE, IDLE).returned is None
    assert after(IDLE, BUSY).returned is None
    assert after(IDLE).summary().sentence.startswith("Not known yet")


@pytest.mark.parametrize(
    ("grown", "returned"), [(-MIB, True), (TOLERANCE_BYTES, True), (TOLERANCE_BYTES + 1, None)]
)
def test_the_page_is_compared_with_itself_before_the_first_job(grown: int, returned: bool | None) -> None:
    """One job is no evidence of a leak, however much is held after it."""
    baseline = after(IDLE, BUSY, replace(IDLE, jobs=1, page_bytes=IDLE.page_bytes + grown))
    assert baseline.returned is returned
    assert ("All memory was released" in baseline.summary().sentence) is bool(returned)


def test_a_page_that_grows_with_each_job_leaks() -> None:
    grown = [replace(IDLE, jobs=n, page_bytes=(100 + 60 * n) * MIB) for n in range(5)]
    assert after(*grown[:3]).returned is True and after(*grown[:4]).returned is None
    baseline = after(*grown)
    assert baseline.returned is False
    assert "The page holds 340 MB; before the first job it held 100 MB." in baseline.summary().sentence


def test_a_warm_worker_is_no_leak() -> None:
    assert after(IDLE, BUSY, warm(900 * MIB, 1)).returned is True


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("a_job", [45, 90, 500])
def test_a_worker_that_holds_more_after_each_of_several_jobs_leaks(a_job: int, device: bool) -> None:
    levels = [300 + a_job * n for n in range(6)]
    assert after(IDLE, *jobs_of(*levels[:3], device=device)).returned is not False, "three jobs may be steps"
    baseline = after(IDLE, *jobs_of(*levels, device=device))
    assert baseline.returned is False
    told = baseline.summary()
    assert told.worker_jobs == 5
    assert "The idle worker holds" in told.sentence and "Release worker memory" in told.sentence


def test_a_slow_leak_is_found_in_the_end() -> None:
    verdicts = {n: after(*jobs_of(*(300 + 8 * k for k in range(n)))).returned for n in (10, 17, 18, 40)}
    assert verdicts == {10: True, 17: True, 18: False, 40: False}
    assert len(after(*jobs_of(*(300 + 8 * k for k in range(40)))).host.settled) == 9, "bounded"


@pytest.mark.parametrize(
    "levels",
    [
        (100, 101, 101, 101, 106, 105, 102, 103, 118, 118, 118, 118, 133, 138, 140, 142, 151),  # as measured
        (100, 400, 400, 401, 400, 403),  # another library
        (100, 160, 500, 900, 903, 899, 905),  # and larger videos
        (900, 300, 700, 300, 900, 300, 900),  # some videos leave more than others
        (100, 101, 700, 701),
    ],
)
def test_steps_that_end_are_no_leak(levels: tuple[int, ...]) -> None:
    for count in range(1, len(levels) + 1):
        assert after(IDLE, *jobs_of(*levels[:count])).returned is not False


def test_more_after_two_jobs_is_not_called_anything_yet() -> None:
    baseline = after(IDLE, *jobs_of(300, 600))
    assert baseline.returned is None
    assert baseline.summary().sentence.startswith("Not known yet")


def test_a_level_is_the_least_that_is_held_at_rest() -> None:
    """Right after a job much may still be held: what it settles at counts, and one reading is none."""
    baseline = after(IDLE, BUSY, warm(900 * MIB, 1), warm(300 * MIB, 1))
    assert baseline.summary().worker_after_bytes == 300 * MIB
    hasty = Baseline().after(warm(900 * MIB, 1))
    assert hasty.summary().worker_after_bytes is None
    for n in range(2, 9):
        hasty = hasty.after(BUSY).after(warm((900 + 200 * n) * MIB, n))
    assert hasty.returned is None
    hasty = hasty.after(warm(2500 * MIB, 8))
    assert (hasty.summary().worker_first_bytes, hasty.summary().worker_jobs) == (2500 * MIB, 0)


def test_a_new_engine_begins_a_new_comparison() -> None:
    """Each engine loads what it needs, on purpose; only jobs after its first one can show a leak."""
    engines = ["builtin", "flow", "flowwarp", "liveportrait", "qalign", "propainter"]
    jobs = [warm(300 * MIB * n, n, engine=engine) for n, engine in enumerate(engines, 1)]
    baseline = after(IDLE, *jobs)
    assert baseline.returned is True
    assert baseline.summary().worker_jobs == 0
    again = after(IDLE, *jobs, *(warm((1800 + 90 * n) * MIB, 6 + n) for n in range(1, 6)))
    assert again.returned is False, "an engine that ran before is compared with the level before"


def test_another_worker_is_compared_with_itself() -> None:
    moments = [moment for n in range(2, 9) for moment in (BUSY, warm(400 * MIB * n, n, pid=n))]
    baseline = after(IDLE, *moments)
    assert baseline.returned is True


def test_without_a_worker_the_page_alone_is_compared() -> None:
    baseline = after(IDLE, BUSY, warm(300 * MIB, 1), BUSY, warm(900 * MIB, 2), replace(IDLE, jobs=2))
    assert baseline.returned is True
    assert baseline.summary().worker_after_bytes is None


def test_a_server_that_began_with_a_job_can_still_compare_its_worker() -> None:
    baseline = after(BUSY, warm(300 * MIB, 1), BUSY, warm(310 * MIB, 2))
    assert baseline.returned is True
    assert baseline.summary().page_before_bytes is None


def test_memory_that_does_not_come_back_is_logged_once(
    queue: Queue, machine: Machine, monitor: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    def run(job: int, worker: int) -> None:
        queue.workers = [WorkerState("warm", 7, "builtin", job)]
        queue.counters = Counters(finished={"done": job})
        machine.look = look(worker=worker)
        for _ in range(SETTLING_READINGS):
            monitor.sample()

    for job in range(1, 5):
        run(job, job * 100 * MIB)
    assert not caplog.records, "jobs may differ"
    for job in range(5, 10):
        run(job, job * 100 * MIB)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "Memory use grows with each job" in record.getMessage()
    assert monitor.system().baseline.returned is False


def test_the_monitor_follows_jobs_to_the_verdict(monitor: Monitor, queue: Queue, machine: Machine) -> None:
    monitor.sample(), monitor.sample()
    queue.running, queue.workers = [object()], [WorkerState("busy", 7)]
    machine.look = look(worker=2 * GIB)
    monitor.sample()
    assert monitor.system().baseline.returned is None
    queue.running, queue.workers = [], [WorkerState("warm", 7, "builtin", 1)]
    queue.counters = Counters(finished={"done": 1})
    machine.look = look(worker=300 * MIB)
    monitor.sample()
    assert monitor.system().baseline.returned is None, "it may still be freeing memory"
    monitor.sample()
    told = monitor.system().baseline
    assert told.returned is True
    assert (told.page_before_bytes, told.worker_after_bytes) == (100 * MIB, 300 * MIB)


def test_a_reading_during_which_a_job_came_counts_for_nothing(queue: Queue) -> None:
    def slow(*_: object) -> Snapshot:
        queue.running = [object()]
        return look(page=GIB)

    monitor = Monitor(queue, probe=slow)
    monitor.sample()
    assert monitor.system().baseline.page_before_bytes is None


def test_looking_brings_no_heavy_library() -> None:
    heavy = {"torch", "cv2", "av", "skimage", "matplotlib"}
    code = "import sys, ui.server.metrics, ui.render.system; print(*sys.modules)"
    root = Path(__file__).parents[3]
    shown = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not heavy & set(shown.stdout.split())
