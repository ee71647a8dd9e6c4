"""What becomes of a worker process that does not behave."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from memory.slot import Slot
from pipelines.jobs import events
from pipelines.jobs.events import Outputs
from pipelines.jobs.job import Job
from pipelines.runtime.neighbours import Beside, Neighbour
from pipelines.settings import ScoreSettings
from pipelines.workers.main import serve
from pipelines.workers.process import WorkerProcess
from pipelines.workers.runner import WorkerState
from pipelines.workers.supervisor import run_through

from ..conftest import Bench


def worker_that(code: str, **more: float) -> WorkerProcess:
    worker = WorkerProcess(**more)
    worker._process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    return worker


def test_a_worker_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.workers.process.STOP_SECONDS", 0.1)
    worker = worker_that("import threading; threading.Event().wait()")
    process = worker._process
    worker.let_go()
    assert process is not None and process.poll() == -9
    assert worker.worker == WorkerState()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; sys.stdin.readline(); sys.exit(7)", "ended with exit status 7"),
        ("import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 11)", "was killed by signal 11"),
        ("print('no event'); import sys; sys.stdin.readline(); sys.exit(3)", "ended with exit status 3"),
    ],
)
def test_a_worker_that_dies_is_told_how(tmp_path: Path, code: str, says: str) -> None:
    death = worker_that(code).run(Job(tmp_path / "0123456789abcdef"), lambda event: None)
    assert death is not None and says in death


def test_what_a_worker_tells_is_heard_and_its_state_is_known(tmp_path: Path, planned: events.Planned) -> None:
    job = Job(tmp_path / "0123456789abcdef")
    plan = planned.model_copy(update={"job": job.id, "engine": "builtin"})
    told = [events.Started(job=job.id, worker_pid=1), plan, events.Done(job=job.id, outputs=Outputs())]
    others = events.Done(job="another", outputs=Outputs())
    lines = [event.model_dump_json() for event in (told[0], others, *told[1:])]
    worker = worker_that(
        f"import sys\nfor _ in sys.stdin: print(*{lines!r}, 'no event', sep='\\n', flush=True)"
    )
    heard: list[events.Event] = []
    states: list[str] = []

    def hear(event: events.Event) -> None:
        heard.append(event)
        states.append(worker.worker.state)

    try:
        assert worker.run(job, hear) is None
        assert heard == told, "its own events, each of them, and nothing else"
        assert states == ["busy"] * 3
        assert (worker.worker.state, worker.worker.engine, worker.worker.jobs_run) == ("warm", "builtin", 1)
        assert worker.run(job, hear) is None
        assert worker.worker.jobs_run == 2
    finally:
        worker.let_go()
    assert worker.worker == WorkerState()


def test_a_worker_that_was_started_tells_since_when_and_one_that_died_idle_is_none(tmp_path: Path) -> None:
    before, worker = time.time(), WorkerProcess()
    process = worker._ensure_started()
    try:
        now = worker.worker
        assert now.pid == process.pid and before <= now.since <= time.time()
        assert (now.state, now.jobs_run, now.engine) == ("warm", 0, "")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        assert worker.worker == WorkerState()
    finally:
        worker.let_go()


@pytest.fixture
def planned() -> events.Planned:
    facts = events.Facts(
        name="clip.mp4",
        container="mp4",
        codec="h264",
        width=160,
        height=120,
        frames=40,
        seconds=1.6,
        frame_rate="25/1",
        variable_frame_rate=False,
        rotation=0,
        sound=None,
        damage=None,
    )
    sizes = dict.fromkeys(events.Planned.model_fields, 1)
    words = {
        "type": "planned",
        "facts": facts,
        "engine": "",
        "risk": "low",
        "reason": "",
        "preset": "",
        "job": "",
    }
    return events.Planned.model_validate({**sizes, **words, "preset_reason": ""})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "name, ours, asked", [("MALLOC_ARENA_MAX", "2", "5"), ("OMP_WAIT_POLICY", "PASSIVE", "ACTIVE")]
)
def test_threads_of_a_worker_share_heaps_and_wait_quietly_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, name: str, ours: str, asked: str
) -> None:
    for value, given in ((None, ours), (asked, asked)):
        if value:
            monkeypatch.setenv(name, value)
        worker = WorkerProcess()
        process = worker._ensure_started()
        told = b""
        while not told and process.poll() is None:  # it has none while it becomes another program
            told = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert f"{name}={given}".encode() in told.split(b"\0")
        worker.let_go()


def test_jobs_after_which_a_worker_holds_more_say_nothing_of_it(bench: Bench, tmp_path: Path) -> None:
    """What a worker keeps on purpose (libraries, a warm network) is no news for the person who asked for a job."""
    clips = [tmp_path / f"{number}.mp4" for number in range(3)]
    for clip in clips:
        clip.write_bytes(clip.name.encode())
    settings = ScoreSettings(engine="builtin")
    # A folder's name may have a line break in it.
    jobs = [Job.create(tmp_path / "jo\nbs", "score", (clip,), settings, 1) for clip in clips]
    kept: list[bytearray] = []
    heard: list[events.Event] = []
    ended = threading.Event()

    def keep(frame: int) -> None:
        if frame == 5:
            kept.append(bytearray(b"x") * (80 << 20))

    def echo(event: events.Event) -> None:
        heard.append(event)
        if sum(isinstance(each, events.ENDINGS) for each in heard) == len(jobs):
            ended.set()

    def commands() -> Iterator[bytes]:
        yield from (json.dumps(os.fsdecode(job.folder)).encode() + b"\n" for job in jobs)
        ended.wait()

    bench.stage.before = keep
    serve(commands(), tree_root=os.getpid(), echo=echo)
    assert len(kept) == len(jobs)
    assert [event.type for event in heard if isinstance(event, (events.Warned, *events.ENDINGS))] == [
        "done"
    ] * 3


_SILENT = "import sys, threading; sys.stdin.readline(); threading.Event().wait()"


def test_a_worker_that_makes_no_progress_is_replaced(tmp_path: Path) -> None:
    worker = worker_that(_SILENT, stuck_seconds=0.2)
    process = worker._process
    death = worker.run(Job(tmp_path / "0123456789abcdef"), lambda event: None)
    assert death is not None and "made no progress" in death
    assert process is not None and process.poll() == -9 and worker.worker == WorkerState()


def test_a_stopped_worker_is_replaced_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, pathlib, signal, subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait()']); "
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid)); "
        "sys.stdin.readline(); os.kill(os.getpid(), signal.SIGSTOP)"
    )
    worker = worker_that(code, stuck_seconds=0.2)
    while not (pid.exists() and pid.read_text()):
        threading.Event().wait(0.01)
    child = psutil.Process(int(pid.read_text()))
    death = worker.run(Job(tmp_path / "0123456789abcdef"), lambda event: None)
    assert death is not None and "made no progress" in death
    assert not psutil.wait_procs([child], timeout=300)[1]


def test_a_silent_worker_that_is_asked_to_stop_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.workers.process.QUIET_SECONDS", 0.2)
    bench.job.request("cancel")
    left = bench.job.folder / "segments/part-4194305-0a-x"
    left.parent.mkdir()
    left.touch()
    heard: list[events.Event] = []
    run_through(bench.job, worker_that(_SILENT), heard.append, closed=lambda: False)
    assert [event.type for event in heard] == ["cancelled"]
    assert isinstance(bench.job.journal.last_state(), events.CancelledEvent) and not left.exists()


# -- beside others ---------------------------------------------------------------------------------------------


def test_a_worker_is_told_who_runs_beside_it_before_its_job_and_as_they_change(tmp_path: Path) -> None:
    job = Job(tmp_path / "0123456789abcdef")
    back = events.Queued(job=job.id, task="score", name="a", waits_for="room").model_dump_json()
    code = (
        "import sys\nfor line in sys.stdin:\n"
        " sys.stderr.write(line)\n"
        f" if line.startswith('\"'): print({back!r}, flush=True)"
    )
    said = tmp_path / "said"
    worker = WorkerProcess()
    with said.open("wb") as errors:
        worker._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        heard: list[events.Event] = []
        worker.meet([Neighbour(pid=7, host_bytes=5)])
        worker.meet([Neighbour(pid=7, host_bytes=5)])
        assert worker.run(job, heard.append) is None, "it has not died: the job is given back"
        worker.meet([])
        worker.let_go()
    assert [event.type for event in heard] == ["queued"]
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    pids = [
        [each["pid"] for each in line["neighbours"]] if isinstance(line, dict) else "job" for line in lines
    ]
    assert pids == [[7], [7], "job", []]


def test_a_worker_that_sees_another_device_is_another_process() -> None:
    worker = WorkerProcess()
    here, there = (Slot(f"cuda:{number}", (("CUDA_VISIBLE_DEVICES", str(number)),)) for number in range(2))
    try:
        worker.move_to(here)
        first = worker._ensure_started()
        worker.move_to(here)
        assert worker._ensure_started() is first
        worker.move_to(there)
        second = worker._ensure_started()
        assert second is not first and first.poll() is not None
        assert psutil.Process(second.pid).environ()["CUDA_VISIBLE_DEVICES"] == "1"
    finally:
        worker.let_go()


def test_what_is_said_of_others_is_no_job(bench: Bench) -> None:
    heard: list[events.Event] = []
    ended = threading.Event()

    def echo(event: events.Event) -> None:
        heard.append(event)
        if isinstance(event, (events.Queued, *events.ENDINGS)):
            ended.set()

    def commands() -> Iterator[bytes]:
        yield Beside(neighbours=(Neighbour(pid=os.getppid(), disk_bytes=10**18),)).model_dump_json().encode()
        yield json.dumps(os.fsdecode(bench.job.folder)).encode() + b"\n"
        ended.wait(60)

    serve(commands(), tree_root=os.getpid(), echo=echo)
    assert heard[-1].type == "queued" and not any(isinstance(event, events.Planned) for event in heard)
