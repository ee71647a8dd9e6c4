"""The page as an API: named parameters, full statuses, and jobs that outlive their listeners."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from pipelines import events
from pipelines.events import Event
from pipelines.jobs import Job
from pipelines.queue import JobQueue
from pipelines.settings import ScoreSettings
from ui import forms
from ui.listening import views
from ui.page import build
from ui.view import Status

MakeQueue = Callable[[Callable[[Job], Iterator[Event]]], JobQueue]
Serve = Callable[[gr.Blocks], str]
Script = Callable[[Job], Iterator[Event]]

PATIENCE_SECONDS = 60


@pytest.fixture
def client(make_queue: MakeQueue, serve: Serve, good_run: Script, tmp_path: Path) -> Client:
    return Client(
        serve(build(make_queue(good_run))), verbose=False, download_files=str(tmp_path / "downloads")
    )


class Held:
    """A script that tells a few events and then waits to be let go; it looks for a request meanwhile."""

    def __init__(self, first: Callable[[str], list[Event]]) -> None:
        self.go = threading.Event()
        self.told = threading.Event()
        self._first = first

    def __call__(self, job: Job) -> Iterator[Event]:
        yield from self._first(job.id)
        self.told.set()
        while not self.go.wait(0.02):
            if job.requested():
                # The runner looks between events.
                yield events.Warned(job=job.id, code="stopping", message="stopping")
        yield events.Done(job=job.id, outputs=events.Outputs())


@pytest.fixture
def held() -> Held:
    return Held(lambda id: [events.Started(job=id, worker_pid=1)])


def test_one_endpoint_is_published_with_the_settings_as_named_parameters(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(endpoints) == ["/score"]
    parameters = {p["parameter_name"]: p for p in endpoints["/score"]["parameters"]}
    assert list(parameters) == ["file", *forms.field_names(ScoreSettings)]
    assert parameters["window"]["parameter_default"] == 3
    assert parameters["quality"]["parameter_default"] == "balanced"
    assert not parameters["file"]["parameter_has_default"]


def test_a_run_tells_full_statuses_and_ends_with_its_files(client: Client, clip: Path) -> None:
    job = client.submit(file=handle_file(clip), window=5, end=1.5, api_name="/score")
    final = job.result(timeout=PATIENCE_SECONDS)
    statuses = [out[0] for out in job.outputs()]
    assert all(set(status) == set(Status.model_fields) for status in statuses)
    last = statuses[-1]
    assert (last["state"], last["done"], last["total"], last["name"]) == ("done", 40, 40, "clip.mp4")
    assert last["outputs"] == ["report.json", "scores.csv", "report.png", "worst-00000007.jpg"]
    assert last["host_peak_bytes"] == 40 * 2**20 and last["host_predicted_bytes"] == 200 * 2**20
    *_, picture, worst, files = final
    assert [Path(path).name for path in files] == ["report.json", "scores.csv", "report.png"]
    assert Path(picture).is_file() and [shown["caption"] for shown in worst] == ["Frame / 帧 7"]
    assert Path(files[1]).read_text().startswith("frame,sharpness")


def test_settings_reach_the_job(client: Client, clip: Path, tmp_path: Path) -> None:
    out = client.predict(file=handle_file(clip), window=7, start=0.5, api_name="/score")
    settings = Job.find(tmp_path / "jobs", out[0]["job"]).record().settings
    assert (settings.model_dump()["window"], settings.start, settings.end) == (7, 0.5, None)


def test_the_job_reads_a_kept_file_and_not_the_cache(client: Client, clip: Path, tmp_path: Path) -> None:
    out = client.predict(file=handle_file(clip), api_name="/score")
    (given,) = Job.find(tmp_path / "jobs", out[0]["job"]).record().inputs
    assert given.path.is_relative_to(tmp_path / "jobs" / "uploads")


def test_a_setting_that_is_refused_is_an_error_in_both_languages(client: Client, clip: Path) -> None:
    with pytest.raises(AppError, match=r"end \(1 s\) must come after start \(2 s\).*请求的参数.*bad_input"):
        client.predict(file=handle_file(clip), start=2, end=1, api_name="/score")


def test_no_file_is_an_error_and_the_next_visitor_is_served(client: Client, clip: Path) -> None:
    with pytest.raises(AppError, match="There is no video"):
        client.predict(file=None, api_name="/score")
    assert client.predict(file=handle_file(clip), api_name="/score")[0]["state"] == "done"


def test_a_job_that_fails_is_an_error_after_a_last_full_status(
    make_queue: MakeQueue, serve: Serve, clip: Path
) -> None:
    def fails(job: Job) -> Iterator[Event]:
        path = job.record().inputs[0].path
        yield events.Failed(
            job=job.id, code="damaged_video", message=f"{path} ends early.", hint="Salvage it."
        )

    client = Client(serve(build(make_queue(fails))), verbose=False)
    job = client.submit(file=handle_file(clip), api_name="/score")
    with pytest.raises(AppError, match=r"clip.mp4 ends early. Salvage it. / .*damaged_video") as told:
        job.result(timeout=PATIENCE_SECONDS)
    assert "uploads" not in str(told.value), "where files lie is not told"
    assert job.outputs()[-1][0]["code"] == "damaged_video"


def test_the_servers_limit_holds_whatever_a_visitor_asks(
    make_queue: MakeQueue, serve: Serve, good_run: Script, clip: Path, tmp_path: Path
) -> None:
    client = Client(serve(build(make_queue(good_run), ram_limit_gb=2)), verbose=False)
    kept = []
    for window, asked in ((3, None), (5, 8), (7, 1)):
        out = client.predict(file=handle_file(clip), window=window, ram_limit_gb=asked, api_name="/score")
        kept.append(Job.find(tmp_path / "jobs", out[0]["job"]).record().settings.ram_limit_gb)
    assert kept == [2, 2, 1]


def test_rest_takes_named_parameters(client: Client, clip: Path) -> None:
    with clip.open("rb") as file:
        (path,) = httpx.post(f"{client.src}gradio_api/upload", files={"files": (clip.name, file)}).json()
    data = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{client.src}gradio_api/call/v2/score", json={"file": data, "window": 9}).json()
    stream = httpx.get(f"{client.src}gradio_api/call/score/{call['event_id']}", timeout=PATIENCE_SECONDS).text
    last = [line for line in stream.splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: "))[0]["state"] == "done"


def test_a_file_that_was_not_uploaded_is_not_read(client: Client) -> None:
    data = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{client.src}gradio_api/call/v2/score", json={"file": data}).json()
    stream = httpx.get(f"{client.src}gradio_api/call/score/{call['event_id']}", timeout=PATIENCE_SECONDS).text
    assert "event: error" in stream and "root:" not in stream


def test_nothing_of_the_jobs_folder_is_served(client: Client, clip: Path, tmp_path: Path) -> None:
    out = client.predict(file=handle_file(clip), api_name="/score")
    folder = tmp_path / "jobs" / out[0]["job"]
    for path in (
        folder / "job.json",
        folder / "report.json",
        *(tmp_path / "jobs" / "uploads").rglob("*.mp4"),
    ):
        assert path.exists()
        assert httpx.get(f"{client.src}gradio_api/file={path}").status_code == 403


def test_a_client_that_leaves_stops_no_job_and_no_listener_is_left(
    make_queue: MakeQueue, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    client = Client(serve(build(queue)), verbose=False)
    call = client.submit(file=handle_file(clip), api_name="/score")
    next(iter(call))  # a first view: somebody listens
    (job,) = Job.all(queue.jobs_dir)
    (listener,) = listeners(job)
    assert held.told.wait(PATIENCE_SECONDS)
    call.cancel()
    listener.join(PATIENCE_SECONDS)
    assert not listener.is_alive()
    assert queue.holds(job) and job.state() == "running" and job.requested() is None
    held.go.set()
    assert (
        Client(client.src, verbose=False).predict(file=handle_file(clip), api_name="/score")[0]["state"]
        == "done"
    )


def listeners(job: Job) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"listener {job.id}"]


def test_two_visitors_with_the_same_question_share_one_run(
    make_queue: MakeQueue, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    url = serve(build(queue))
    calls = [Client(url, verbose=False).submit(file=handle_file(clip), api_name="/score") for _ in range(2)]
    assert held.told.wait(PATIENCE_SECONDS)
    held.go.set()
    assert [call.result(timeout=PATIENCE_SECONDS)[0]["state"] for call in calls] == ["done", "done"]
    assert len(queue.runner.ran) == 1  # type: ignore[attr-defined]


def test_a_cancelled_job_says_so_and_is_no_error(
    make_queue: MakeQueue, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    call = Client(serve(build(queue)), verbose=False).submit(file=handle_file(clip), api_name="/score")
    assert held.told.wait(PATIENCE_SECONDS)
    (job,) = Job.all(queue.jobs_dir)
    queue.stop(job, "cancel")
    assert call.result(timeout=PATIENCE_SECONDS)[0]["state"] == "cancelled"


def test_a_flood_of_events_is_told_in_few_views(make_queue: MakeQueue, clip: Path, progress: Any) -> None:
    def flood(job: Job) -> Iterator[Event]:
        for done in range(1, 3001):
            yield progress(job.id, done, 3000, value=float(done))
        yield events.Done(job=job.id, outputs=events.Outputs())

    queue = make_queue(flood)
    job = queue.submit("score", clip, ScoreSettings())

    async def listen() -> list[Any]:
        return [view async for view in views(queue, job)]

    seen = asyncio.run(listen())
    assert len(seen) < 300
    assert seen[-1].status.state == "done" and seen[-1].status.done == 3000


def test_an_error_while_listening_reaches_the_visitor(
    make_queue: MakeQueue, good_run: Script, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = make_queue(good_run)
    job = queue.submit("score", clip, ScoreSettings())

    def broken(*_: object, **__: object) -> Iterator[Event]:
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(queue, "listen", broken)

    async def listen() -> None:
        async for _ in views(queue, job):
            pass

    with pytest.raises(OSError, match="Input/output error"):
        asyncio.run(listen())
