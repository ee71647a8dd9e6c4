"""What the README says to programs is true: its examples run as they stand, and a job is the same to all of them."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file

from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui.server.policy import Policy

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:7860"
GRADIO_CLIENT = "@gradio/client@2.7.0"
PATIENCE_SECONDS = 180

Script = Callable[[Job], Iterator[Event]]
Serve = Callable[..., str]
PageOver = Callable[..., gr.Blocks]
MakeQueue = Callable[..., JobQueue]


@pytest.fixture
def url(make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script) -> str:
    """A page whose jobs are a script, without the slash at the end."""
    return serve(page_over(make_queue(good_run))).rstrip("/")


def example(language: str, url: str, readme: str = "README.md") -> str:
    """The one block of the README in `language` that asks the server, which is at `url` here."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / readme).read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if ADDRESS in block]
    return str(block).replace(ADDRESS, url)


def run(command: list[str], folder: Path) -> str:
    """What a program prints to stdout; it must end well."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_runs_as_it_stands(url: str, clip: Path) -> None:
    *_, last, files = run([sys.executable, "-c", example("python", url)], clip.parent).splitlines()
    assert last.split()[:3] == ["done", "40", "40"]
    assert "scores.csv" in files and "report.json" in files


def test_the_python_example_shows_errors(url: str, clip: Path) -> None:
    wrong = example("python", url).replace('"high"', '"best"')
    done = subprocess.run(
        [sys.executable, "-c", wrong],
        cwd=clip.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode
    assert "best" in done.stderr.splitlines()[-1]
    assert "NameError" not in done.stderr


def test_the_javascript_example_runs_as_it_stands(
    url: str, clip: Path, node_modules: Callable[[str], Path]
) -> None:
    (clip.parent / "node_modules").symlink_to(node_modules(GRADIO_CLIENT))
    (clip.parent / "score.mjs").write_text(example("javascript", url))
    out = run(["node", "score.mjs"], clip.parent)
    last = out[out.rindex("done") :]
    assert last.startswith("done 40 40 [")
    assert f"{url}/gradio_api/file=" in last and "/scores.csv" in last


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on PATH")


@needs_curl
def test_the_curl_example_runs_as_it_stands(url: str, clip: Path) -> None:
    status, files = ending(run(["bash", "-euo", "pipefail", "-c", example("bash", url)], clip.parent))
    assert (status["state"], status["done"], status["name"]) == ("done", 40, "clip.mp4")
    assert [file["orig_name"] for file in files] == status["outputs"]


def ending(stream: str) -> Any:
    """The data of the last message, which says that all is told."""
    event, data = stream.strip().split("\n\n")[-1].splitlines()
    assert event == "event: complete", stream
    return json.loads(data.removeprefix("data: "))


@pytest.mark.parametrize("language", ["python", "javascript", "bash"])
def test_both_readmes_have_the_same_examples(language: str) -> None:
    assert example(language, "") == example(language, "", "README.zh.md")


@needs_curl
def test_a_job_is_followed_stopped_and_fetched_by_whoever_has_its_key(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, clip: Path
) -> None:
    stopped = []

    def run_until_stopped_once(job: Job) -> Iterator[Event]:
        told = good_run(job)
        yield next(told)
        while not stopped and job.requested() is None:
            threading.Event().wait(0.02)
        stopped.append(job.id)
        yield from told

    url = serve(page_over(make_queue(run_until_stopped_once), Policy(local=False))).rstrip("/")
    uploaded = curl(f"{url}/gradio_api/upload", "-F", f"files=@{clip}")
    file = {"path": json.loads(uploaded)[0], "meta": {"_type": "gradio.FileData"}}
    (asked,) = call(url, "submit", file=file, task="score", end=1.5)
    named = {"job": asked["job"], "key": asked["key"]}
    assert asked["state"] in ("queued", "running")

    other = Client(url, verbose=False).submit(**named, follow=True, api_name="/job")
    assert next(iter(other))[0]["job"] == asked["job"]
    call(url, "cancel", **named)
    assert other.result(timeout=PATIENCE_SECONDS)[0]["state"] == "cancelled"
    call(url, "resume", **named)
    status, files = call(url, "job", **named, follow=True)
    assert status["state"] == "done"
    (scores,) = [file["url"] for file in files if file["orig_name"] == "scores.csv"]
    assert curl(scores).startswith("frame,sharpness")
    assert call(url, "jobs") == [[]], "who has no key and asked for nothing sees nothing"


def call(url: str, name: str, **parameters: Any) -> Any:
    """An endpoint's last answer, by curl alone."""
    asked = curl(f"{url}/gradio_api/call/v2/{name}", "--json", json.dumps(parameters))
    return ending(curl(f"{url}/gradio_api/call/{name}/{json.loads(asked)['event_id']}"))


def curl(*arguments: str) -> str:
    return run(["curl", "-sSfN", *arguments], ROOT)


def test_the_page_and_the_command_line_give_the_same_bytes(
    page_over: PageOver, serve: Serve, clip: Path, tmp_path: Path
) -> None:
    queue = JobQueue(tmp_path / "jobs")
    try:
        client = Client(serve(page_over(queue)), verbose=False)
        status, files = client.predict(file=handle_file(clip), window=5, api_name="/score")
    finally:
        queue.close()
    command = [sys.executable, "-m", "pipelines", "score", str(clip), "--window=5"]
    run([*command, f"--jobs-dir={tmp_path / 'others'}"], ROOT)
    (job,) = Job.all(tmp_path / "others")
    assert job.id == status["job"], "the same question has the same name"
    by_name = {Path(file).name: Path(file) for file in files}
    assert by_name["scores.csv"].read_bytes() == (job.folder / "scores.csv").read_bytes()
    page, shell = (
        json.loads(path.read_text()) for path in (by_name["report.json"], job.folder / "report.json")
    )
    assert page["summary"] == shell["summary"]
