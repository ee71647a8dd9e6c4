"""`python app.py` as a process: light, quiet, and gone when it is told to go."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from gradio_client import Client, handle_file

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90
MIB = 2**20

Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the app and waits until it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*flags: str) -> tuple[subprocess.Popen[bytes], str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable,
            "app.py",
            f"--server-port={port}",
            f"--jobs-dir={tmp_path / 'jobs'}",
            *flags,
        ]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        started.append(process)
        url = f"http://127.0.0.1:{port}/"
        until(lambda: process.poll() is not None or answers(url))
        assert process.poll() is None, "the app ended"
        return process, url

    yield run
    for process in started:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url + "config", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited too long"


def tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_pages_process_is_light_and_has_no_torch_even_after_a_job(start: Start, clip: Path) -> None:
    process, url = start()
    assert psutil.Process(process.pid).memory_info().rss <= 250 * MIB
    out = Client(url, verbose=False).predict(file=handle_file(clip), api_name="/score")
    assert out[0]["state"] == "done"
    loaded = libraries(process.pid)
    assert "/numpy/" in loaded, "what is loaded can be seen"
    assert "/torch/" not in loaded and "/cv2/" not in loaded and "/av/" not in loaded


def test_a_real_job_ends_with_report_picture_and_worst_frames(start: Start, clip: Path) -> None:
    _, url = start("--ram-limit-gb=2")
    status, *_, report, picture, worst, files = Client(url, verbose=False).predict(
        file=handle_file(clip), api_name="/score"
    )
    assert status["state"] == "done" and status["done"] == status["total"] == 40
    assert status["host_limit_bytes"] <= 2 * 2**30
    assert "lt-report" in report and Path(picture).stat().st_size > 1000 and worst
    assert {"report.json", "scores.csv", "report.png"} <= {Path(path).name for path in files}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_leaves_no_worker(
    start: Start, clip: Path, number: signal.Signals
) -> None:
    process, url = start()
    Client(url, verbose=False).predict(file=handle_file(clip), api_name="/score")
    everyone = tree(process)
    assert len(everyone) > 1, "the worker is kept warm"
    os.kill(process.pid, number)
    assert process.wait(PATIENCE_SECONDS) == 0
    _, alive = psutil.wait_procs(everyone, PATIENCE_SECONDS)
    assert not alive


def test_a_flag_that_does_not_exist_is_one_line_and_exit_2() -> None:
    run = subprocess.run(
        [sys.executable, "app.py", "--colour=red"], cwd=ROOT, capture_output=True, timeout=PATIENCE_SECONDS
    )
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1 and b"--colour" in run.stderr


def test_a_port_that_is_taken_is_exit_2_and_says_which(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "app.py", f"--server-port={port}", f"--jobs-dir={tmp_path}"],
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
    assert run.returncode == 2
    assert str(port).encode() in run.stderr and b"Traceback" not in run.stderr
