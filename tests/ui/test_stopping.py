"""A server that is told to go, or is killed, with jobs running and waiting: gone in time, and nothing is lost."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil
import pytest
from gradio_client import Client, handle_file

from pipelines.jobs.job import Job

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180
LIMIT_SECONDS = 10
"""What is promised after SIGTERM."""

StartApp = Callable[..., Any]
Until = Callable[[Callable[[], Any]], None]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute, 640 x 360, 30 frames a second."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    source = "testsrc2=size=640x360:rate=30:duration=60"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True, timeout=300)
    return path


@pytest.fixture(scope="module")
def undisturbed(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The scores of a run that nobody disturbed."""
    jobs = tmp_path_factory.mktemp("undisturbed")
    command_line("score", str(long_clip), f"--jobs-dir={jobs}")
    (job,) = Job.all(jobs)
    return (job.folder / "scores.csv").read_bytes()


def command_line(*arguments: str) -> None:
    command = [sys.executable, "-m", "pipelines", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_SECONDS)


def running(served: Any, clip: Path, jobs_dir: Path, until: Until) -> tuple[Job, Job]:
    """A job that has finished a first span and goes on, and one that waits behind it."""
    client = Client(served.url, verbose=False)
    client.predict(file=handle_file(clip), api_name="/submit")
    (first,) = Job.all(jobs_dir)
    client.predict(file=handle_file(clip), end=1, api_name="/submit")
    until(first.count_finished)
    (second,) = [job for job in Job.all(jobs_dir) if job != first]
    return first, second


def test_a_signal_ends_it_in_time_and_the_jobs_can_be_resumed(
    start_app: StartApp, until: Until, long_clip: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    served = start_app()
    first, second = running(served, long_clip, tmp_path / "jobs", until)
    everyone = served.family()
    assert len(everyone) > 1, "there is a worker"
    served.process.terminate()
    assert served.process.wait(LIMIT_SECONDS) == 0
    assert not psutil.wait_procs(everyone, 0)[1], "nobody is left"
    assert first.state() == "paused" and second.state() in ("queued", "interrupted")
    command_line("resume", f"--jobs-dir={tmp_path / 'jobs'}")
    assert (first.state(), second.state()) == ("done", "done")
    assert (first.folder / "scores.csv").read_bytes() == undisturbed


def test_a_killed_server_leaves_no_worker_and_the_next_one_goes_on(
    start_app: StartApp, until: Until, long_clip: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    served = start_app()
    first, _ = running(served, long_clip, tmp_path / "jobs", until)
    everyone = served.family()
    served.process.kill()
    assert not psutil.wait_procs(everyone, PATIENCE_SECONDS)[1], "the worker has left too"
    assert first.state() in ("paused", "interrupted")
    client = Client(start_app().url, verbose=False)
    assert client.predict(file=handle_file(long_clip), api_name="/score")[0]["state"] == "done"
    assert (first.folder / "scores.csv").read_bytes() == undisturbed


def test_an_idle_server_takes_its_warm_worker_along(start_app: StartApp, clip: Path) -> None:
    served = start_app()
    Client(served.url, verbose=False).predict(file=handle_file(clip), api_name="/score")
    everyone = served.family()
    assert len(everyone) > 1, "the worker is kept warm"
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(LIMIT_SECONDS) == 0
    assert not psutil.wait_procs(everyone, 0)[1]
