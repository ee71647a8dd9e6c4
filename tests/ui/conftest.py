"""A page over a job queue whose runner is a script of events: quick, and without a decoder."""

import copy
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import imageio_ffmpeg
import pytest
from PIL import Image

from pipelines import events
from pipelines.events import Event, Facts, Outputs, Planned
from pipelines.jobs import Job
from pipelines.queue import JobQueue

Script = Callable[[Job], Iterator[Event]]


REPORT: dict[str, Any] = {
    "summary": {
        "frames": 40,
        "mean_sharpness": 0.7,
        "blurred": {"frames": 0, "ratio": 0.0, "interval_count": 0, "intervals": []},
        "frozen": {"frames": 0, "ratio": 0.0, "run_count": 0, "runs": []},
        "cuts": {"count": 0, "frames": []},
        "motion": {"mean": 0.1, "jerkiness": 0.2},
        "exposure": {"under": 0.0, "over": 0.0},
        "smoothness": {"score": 1.0, "threshold": 0.1, "artifact_frames": 0},
    }
}


class ScriptedRunner:
    """Runs a job by telling the events of a script; between two it looks whether the job is to be cancelled."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.ran: list[str] = []
        self._closed = threading.Event()

    def run(self, job: Job) -> str | None:
        self.ran.append(job.id)
        with job.runner():
            for event in self.script(job):
                if self._closed.is_set():
                    return None
                if job.requested():
                    job.journal.append(events.CancelledEvent(job=job.id))
                    return None
                job.journal.append(event)
        return None

    def let_go(self) -> None:
        self._closed.set()


def _planned(job: str = "", **changes: object) -> Planned:
    facts = Facts(
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
    plan = Planned(
        job=job,
        facts=facts,
        engine="builtin",
        frames=40,
        frames_kept=0,
        window_frames=3,
        batch_frames=8,
        predicted_host_bytes=200 * 2**20,
        predicted_device_bytes=0,
        budget_host_bytes=2**30,
        budget_device_bytes=0,
        disk_bytes=2**20,
        risk="low",
        reason="Three frames at a time fit well.",
        preset="none",
        preset_reason="No GPU was found.",
    )
    return plan.model_copy(update=changes)


def _progress(job: str, done: int, total: int = 40, value: float | None = None) -> events.Progress:
    return events.Progress(
        job=job,
        stage="score",
        done=done,
        total=total,
        frames_per_second=25.0,
        eta_seconds=(total - done) / 25,
        frame=done - 1,
        value=value,
    )


def _memory(job: str, now: int, peak: int) -> events.Memory:
    return events.Memory(
        job=job,
        host_bytes=now,
        host_peak_bytes=peak,
        host_available_bytes=2**32,
        device_bytes=0,
        device_peak_bytes=0,
    )


def _good_run(job: Job) -> Iterator[Event]:
    """A short run that goes well and leaves its files."""
    yield events.Started(job=job.id, worker_pid=1)
    yield _planned(job.id)
    for done in range(1, 41):
        yield _progress(job.id, done, value=0.5 + done / 100)
        yield _memory(job.id, done * 2**20, done * 2**20)
    report, scores = job.folder / "report.json", job.folder / "scores.csv"
    report.write_text(json.dumps(REPORT))
    scores.write_text("frame,sharpness\n0,0.5\n")
    picture, worst = job.folder / "report.png", job.folder / "worst-00000007.jpg"
    for path in (picture, worst):
        Image.new("RGB", (8, 8)).save(path)
    outputs = Outputs(report=report, scores=scores, picture=picture, worst=(worst,))
    yield events.Done(job=job.id, outputs=outputs)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """40 frames of a drawn picture, 160 x 120 at 25 a second."""
    path = tmp_path / "clip.mp4"
    source = "testsrc2=size=160x120:rate=25:duration=1.6"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True, timeout=60)
    return path


@pytest.fixture
def make_queue(tmp_path: Path) -> Iterator[Callable[[Script], JobQueue]]:
    """Makes a queue whose jobs follow a script; closed at the end."""
    made: list[JobQueue] = []

    def make(script: Script) -> JobQueue:
        made.append(JobQueue(tmp_path / "jobs", runner=ScriptedRunner(script)))
        return made[-1]

    yield make
    for queue in made:
        queue.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Serves a page in this process and returns its address; closed at the end."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "jobs" / "cache"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    served: list[gr.Blocks] = []

    def launch(page: gr.Blocks, **options: Any) -> str:
        served.append(page)
        _, url, _ = page.launch(
            prevent_thread_lock=True, quiet=True, ssr_mode=False, show_error=False, **options
        )
        return url

    yield launch
    for page in served:
        page.close(verbose=False)


@pytest.fixture
def plan() -> Planned:
    return _planned()


@pytest.fixture
def report() -> dict[str, Any]:
    return copy.deepcopy(REPORT)


@pytest.fixture
def good_run() -> Script:
    return _good_run


@pytest.fixture
def endless() -> Script:
    """A run that goes on until it is asked to stop."""

    def run(job: Job) -> Iterator[Event]:
        yield events.Started(job=job.id, worker_pid=1)
        yield _planned(job.id)
        while job.requested() is None:
            threading.Event().wait(0.05)
        yield _progress(job.id, 1)

    return run


@pytest.fixture
def progress() -> Callable[..., events.Progress]:
    return _progress
