"""The API: named parameters, full statuses, and jobs that outlive their listeners."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from memory.units import MIB
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import AnimateSettings, InpaintSettings, ScoreSettings
from ui.components import forms
from ui.jobs.service import JobService
from ui.jobs.stream import views
from ui.jobs.view import Status
from ui.page import build
from ui.server.monitor import Monitor
from ui.server.policy import Policy

PageOver = Callable[..., gr.Blocks]
MakeQueue = Callable[[Callable[[Job], Iterator[Event]]], JobQueue]
Serve = Callable[[gr.Blocks], str]
Script = Callable[[Job], Iterator[Event]]

PATIENCE_SECONDS = 180


@pytest.fixture
def client(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, tmp_path: Path
) -> Client:
    return Client(
        serve(page_over(make_queue(good_run))), verbose=False, download_files=str(tmp_path / "downloads")
    )


class Held:
    """A script that tells a few events and then waits to be let go; it looks for a request meanwhile."""

    def __init__(self, first: Callable[[str], list[Event]]) -> None:
        self.go = threading.Event()
        self.told = threading.Event()
        self.asked = threading.Event()
        self._first = first

    def __call__(self, job: Job) -> Iterator[Event]:
        yield from self._first(job.id)
        self.told.set()
        while not self.go.wait(0.02):
            if job.requested():
                self.asked.set()
                # The runner looks between events.
                yield events.Warned(job=job.id, code="stopping", message="stopping")
        yield events.Done(job=job.id, outputs=events.Outputs())


@pytest.fixture
def held() -> Held:
    return Held(lambda id: [events.Started(job=id, worker_pid=1)])


ENDPOINTS = {
    "/score", "/inpaint", "/track", "/mask_preview", "/animate", "/animate_preview", "/submit", "/estimate", "/inspect",
    "/job", "/jobs", "/cancel", "/pause", "/resume", "/delete", "/system", "/pose",
}  # fmt: skip


def test_the_endpoints_are_published_with_the_settings_as_named_parameters(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == ENDPOINTS
    names = forms.field_names(ScoreSettings)
    asked = {name: [p["parameter_name"] for p in endpoints[name]["parameters"]] for name in ENDPOINTS}
    assert asked["/score"] == ["file", *names]
    assert asked["/inpaint"] == ["file", "mask", *forms.field_names(InpaintSettings)]
    assert asked["/animate"] == ["source", "driving", *forms.field_names(AnimateSettings)]
    assert asked["/animate"] == asked["/animate_preview"]
    assert asked["/submit"] == asked["/estimate"]
    assert asked["/submit"][:3] == ["file", "mask", "task"] and set(names) < set(asked["/submit"])
    assert asked["/job"] == ["job", "key", "follow"]
    assert asked["/cancel"] == asked["/resume"] == ["job", "key"]
    assert asked["/jobs"] == asked["/system"] == []
    parameters = {p["parameter_name"]: p for p in endpoints["/score"]["parameters"]}
    assert parameters["window"]["parameter_default"] == 3
    assert parameters["quality"]["parameter_default"] == "balanced"
    assert not parameters["file"]["parameter_has_default"]
    for name in names:
        sentence = ScoreSettings.model_fields[name].description or ""
        assert sentence in parameters[name]["label"], "each parameter is explained"


def test_parameters_and_answers_have_their_own_types_and_labels(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, endpoint in endpoints.items():
        for each in (*endpoint["parameters"], *endpoint["returns"]):
            kind, label = each["python_type"]["type"], each["label"]
            assert kind and "str | float | bool" not in kind and kind != "Any", (name, label)
            assert not label.startswith("parameter_"), name
        for parameter in endpoint["parameters"]:
            assert parameter["parameter_default"] != "" or parameter["python_type"]["type"] == "str", (
                name,
                parameter,
            )
            assert "sample_file" not in json.dumps(parameter["example_input"], default=str), name
    animate = {p["parameter_name"]: p for p in endpoints["/animate"]["parameters"]}
    assert "ortrait" in animate["source"]["label"]
    end = animate["end"]
    assert (end["python_type"]["type"], end["parameter_default"], end["parameter_has_default"]) == (
        "float | None",
        None,
        True,
    )
    returned = {name: endpoint["returns"][0]["python_type"]["type"] for name, endpoint in endpoints.items()}
    assert (
        returned["/score"].startswith("dict(job: str, ") and "eta_seconds: float | None" in returned["/score"]
    )
    assert returned["/jobs"].startswith("list[dict(job: str, ")
    assert "frame_rate: str" in returned["/inspect"] and "risk: str" in returned["/estimate"]


def test_a_run_tells_full_statuses_and_ends_with_its_files(client: Client, clip: Path) -> None:
    job = client.submit(file=handle_file(clip), window=5, end=1.5, api_name="/score")
    final = job.result(timeout=PATIENCE_SECONDS)
    statuses = [out[0] for out in job.outputs()]
    assert all(set(status) == set(Status.model_fields) for status in statuses)
    last = statuses[-1]
    assert (last["state"], last["done"], last["total"], last["name"]) == ("done", 40, 40, "clip.mp4")
    names = ["report.json", "scores.csv", "report.png", "worst-00000007.jpg"]
    assert last["outputs"] == names
    assert last["host_peak_bytes"] == 40 * MIB and last["host_predicted_bytes"] == 200 * MIB
    _, files = final
    assert [Path(path).name for path in files] == names
    assert Path(files[1]).read_text().startswith("frame,sharpness")


def test_settings_reach_the_job(client: Client, clip: Path, tmp_path: Path) -> None:
    out = client.predict(file=handle_file(clip), window=7, start=0.5, api_name="/score")
    settings = Job.find(tmp_path / "jobs", out[0]["job"]).record().settings
    assert (settings.model_dump()["window"], settings.start, settings.end) == (7, 0.5, None)


def test_the_job_reads_a_kept_file_and_not_the_cache(client: Client, clip: Path, tmp_path: Path) -> None:
    out = client.predict(file=handle_file(clip), api_name="/score")
    (given,) = Job.find(tmp_path / "jobs", out[0]["job"]).record().inputs
    assert given.path.is_relative_to(tmp_path / "jobs" / "uploads")


def test_a_setting_that_is_refused_is_an_error_with_its_code(client: Client, clip: Path) -> None:
    with pytest.raises(AppError, match=r"end \(1 s\) must come after start \(2 s\).*\[bad_input"):
        client.predict(file=handle_file(clip), start=2, end=1, api_name="/score")


def test_no_file_is_an_error_and_the_next_visitor_is_served(client: Client, clip: Path) -> None:
    with pytest.raises(AppError, match="There is no video"):
        client.predict(file=None, api_name="/score")
    assert client.predict(file=handle_file(clip), api_name="/score")[0]["state"] == "done"


def test_a_job_that_fails_is_an_error_after_a_last_full_status(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, clip: Path
) -> None:
    def fails(job: Job) -> Iterator[Event]:
        path = job.record().inputs[0].path
        yield events.Failed(
            job=job.id, code="damaged_video", message=f"{path} ends early.", hint="Salvage it."
        )

    client = Client(serve(page_over(make_queue(fails))), verbose=False)
    job = client.submit(file=handle_file(clip), api_name="/score")
    with pytest.raises(AppError, match=r"clip.mp4 ends early. Salvage it. \[damaged_video") as told:
        job.result(timeout=PATIENCE_SECONDS)
    assert "uploads" not in str(told.value), "where files lie is not told"
    assert job.outputs()[-1][0]["code"] == "damaged_video"


def test_the_servers_limit_holds_whatever_a_visitor_asks(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, clip: Path, tmp_path: Path
) -> None:
    client = Client(serve(page_over(make_queue(good_run), Policy(ram_limit_gb=2))), verbose=False)
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
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    client = Client(serve(page_over(queue)), verbose=False)
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
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    url = serve(page_over(queue))
    calls = [Client(url, verbose=False).submit(file=handle_file(clip), api_name="/score") for _ in range(2)]
    for call in calls:
        next(iter(call))  # a first view: both listen before the job can end
    held.go.set()
    assert [call.result(timeout=PATIENCE_SECONDS)[0]["state"] for call in calls] == ["done", "done"]
    assert len(queue._places.all[0].runner.ran) == 1  # type: ignore[attr-defined]


def test_a_cancelled_job_says_so_and_is_no_error(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    call = Client(serve(page_over(queue)), verbose=False).submit(file=handle_file(clip), api_name="/score")
    assert held.told.wait(PATIENCE_SECONDS)
    (job,) = Job.all(queue.jobs_dir)
    queue.stop(job, "cancel")
    assert call.result(timeout=PATIENCE_SECONDS)[0]["state"] == "cancelled"


# -- jobs that are asked for and left ------------------------------------------------------------------------


def test_a_job_can_be_left_and_picked_up_again(client: Client, clip: Path) -> None:
    asked = client.predict(file=handle_file(clip), task="score", window=5, api_name="/submit")
    assert set(asked) == set(Status.model_fields) and asked["state"] in ("queued", "running", "done")
    status, files = client.predict(job=asked["job"], key="", follow=True, api_name="/job")
    assert (status["state"], status["job"], status["key"]) == ("done", asked["job"], asked["key"])
    assert "scores.csv" in [Path(file).name for file in files]
    again, files = client.predict(job=asked["job"], key="", follow=False, api_name="/job")
    assert again == status and len(files) == 4
    (entry,) = client.predict(api_name="/jobs")
    assert (entry["job"], entry["state"], entry["name"]) == (asked["job"], "done", "clip.mp4")


def test_a_job_is_paused_resumed_cancelled_and_deleted_by_name(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    client = Client(serve(page_over(queue)), verbose=False)
    job = client.predict(file=handle_file(clip), task="score", api_name="/submit")["job"]
    assert held.told.wait(PATIENCE_SECONDS)

    def ask(what: str) -> Any:
        return client.predict(job=job, key="", api_name=f"/{what}")

    def end() -> str:
        return str(client.predict(job=job, key="", follow=True, api_name="/job")[0]["state"])

    with pytest.raises(AppError, match="bad_input"):
        ask("delete")
    ask("cancel")
    assert end() == "cancelled"
    held.go.set()
    assert ask("resume")["state"] in ("queued", "running", "done")
    assert end() == "done"
    assert ask("delete")["state"] == "done"
    assert client.predict(api_name="/jobs") == [] and not Job(queue.jobs_dir / job).folder.exists()
    with pytest.raises(AppError, match="no_such_job"):
        ask("resume")


def test_an_interrupted_job_is_told_and_not_started_by_looking_at_it(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, clip: Path, tmp_path: Path
) -> None:
    job = Job.create(tmp_path / "jobs", "score", (clip,), ScoreSettings(), 1)
    job.journal.append(events.Queued(job=job.id, task="score", name="clip.mp4"))
    job.journal.append(events.Started(job=job.id, worker_pid=1))
    queue = make_queue(good_run)
    client = Client(serve(page_over(queue)), verbose=False)
    status, files = client.predict(job=job.id, key="", follow=True, api_name="/job")
    assert status["state"] == "interrupted" and not files and not queue._places.all[0].runner.ran  # type: ignore[attr-defined]
    client.predict(job=job.id, key="", api_name="/resume")
    assert client.predict(job=job.id, key="", follow=True, api_name="/job")[0]["state"] == "done"


def test_a_job_that_is_not_there_is_no_path(client: Client) -> None:
    ids = ("", "0" * 16, "../uploads", "/etc/passwd", "..", "<b>x</b>")
    for id, name in product(ids, ("job", "cancel", "resume", "delete")):
        follow = {"follow": False} if name == "job" else {}
        with pytest.raises(AppError, match="no_such_job"):
            client.predict(job=id, key="", **follow, api_name=f"/{name}")


def test_visitors_see_their_own_jobs_alone_unless_they_have_the_key(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, clip: Path
) -> None:
    url = serve(page_over(make_queue(good_run), Policy(local=False)))
    ann, bob = Client(url, verbose=False), Client(url, verbose=False)
    asked = ann.predict(file=handle_file(clip), task="score", api_name="/submit")
    assert [entry["job"] for entry in ann.predict(api_name="/jobs")] == [asked["job"]]
    assert bob.predict(api_name="/jobs") == []
    for name in ("cancel", "pause", "resume", "delete"):
        for key in ("", "0" * 24):
            with pytest.raises(AppError, match="no_such_job"):
                bob.predict(job=asked["job"], key=key, api_name=f"/{name}")
    with pytest.raises(AppError, match="no_such_job"):
        bob.predict(job=asked["job"], key="", follow=False, api_name="/job")
    assert bob.predict(job=asked["job"], key=asked["key"], follow=True, api_name="/job")[0]["state"] == "done"


def test_in_local_mode_everybody_is_the_same_person(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, clip: Path
) -> None:
    url = serve(page_over(make_queue(good_run)))
    asked = Client(url, verbose=False).predict(file=handle_file(clip), task="score", api_name="/submit")
    (entry,) = Client(url, verbose=False).predict(api_name="/jobs")
    assert entry["job"] == asked["job"]


def test_a_job_that_two_asked_for_stays_when_one_deletes_it(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, clip: Path
) -> None:
    url = serve(page_over(make_queue(good_run), Policy(local=False)))
    ann, bob = Client(url, verbose=False), Client(url, verbose=False)
    for client in (ann, bob):
        asked = client.predict(file=handle_file(clip), api_name="/score")[0]
    with pytest.raises(AppError, match=r"Several visitors.*bad_input"):
        Client(url, verbose=False).predict(job=asked["job"], key=asked["key"], api_name="/delete")
    ann.predict(job=asked["job"], key="", api_name="/delete")
    assert ann.predict(api_name="/jobs") == [] and len(bob.predict(api_name="/jobs")) == 1
    bob.predict(job=asked["job"], key="", api_name="/delete")
    with pytest.raises(AppError, match="no_such_job"):
        bob.predict(job=asked["job"], key=asked["key"], follow=False, api_name="/job")


# -- before a run --------------------------------------------------------------------------------------------


def test_a_video_is_inspected_and_a_run_estimated(client: Client, clip: Path) -> None:
    facts = client.predict(file=handle_file(clip), api_name="/inspect")
    assert (facts["width"], facts["height"], facts["frames"], facts["frame_rate"]) == (160, 120, 40, "25")
    plan = client.predict(file=handle_file(clip), task="score", end=1, api_name="/estimate")
    assert plan["frames"] == 25 and plan["facts"] == facts and plan["risk"] == "low" and plan["reason"]
    assert client.predict(api_name="/jobs") == []


@pytest.mark.parametrize("name", ["submit", "estimate"])
def test_a_task_that_is_not_there_is_an_error(client: Client, clip: Path, name: str) -> None:
    with pytest.raises((AppError, ValueError), match="levitate"):
        client.predict(file=handle_file(clip), task="levitate", api_name=f"/{name}")


def test_a_setting_or_a_mask_of_another_task_is_refused(client: Client, clip: Path) -> None:
    with pytest.raises(AppError, match=r"box is no setting of score.*bad_input"):
        client.predict(file=handle_file(clip), task="score", box="1,2,3,4@0", api_name="/submit")
    with pytest.raises(AppError, match=r"window is no setting of inpaint.*bad_input"):
        client.predict(file=handle_file(clip), task="inpaint", window=5, api_name="/estimate")
    with pytest.raises(AppError, match=r"takes no mask.*bad_input"):
        client.predict(file=handle_file(clip), mask=handle_file(clip), task="score", api_name="/submit")
    with pytest.raises(AppError, match=r"takes no driving.*bad_input"):
        client.predict(file=handle_file(clip), driving=handle_file(clip), task="score", api_name="/submit")
    with pytest.raises(AppError, match=r"no driving video.*bad_input"):
        client.predict(file=handle_file(clip), task="animate", api_name="/estimate")


def test_a_removal_is_asked_for_by_name(client: Client, clip: Path, tmp_path: Path) -> None:
    hints = {"box": "10,10,40,40@0 12,10,40,40@20", "point": "30,30@0 !5,5@0"}
    status, _ = client.predict(file=handle_file(clip), **hints, mask_dilation=6, api_name="/inpaint")
    asked = Job.find(tmp_path / "jobs", status["job"]).record().settings
    assert isinstance(asked, InpaintSettings) and status["task"] == "inpaint"
    assert asked.box == ("10,10,40,40@0", "12,10,40,40@20") and asked.point == ("30,30@0", "!5,5@0")
    looked, _ = client.predict(file=handle_file(clip), box="10,10,40,40@0", start=1, api_name="/mask_preview")
    asked = Job.find(tmp_path / "jobs", looked["job"]).record().settings
    assert looked["task"] == "track" and (asked.start, asked.end) == (1.0, 3.0)
    masked, _ = client.predict(file=handle_file(clip), mask=handle_file(clip), api_name="/inpaint")
    inputs = Job.find(tmp_path / "jobs", masked["job"]).record().inputs
    assert len(inputs) == 2 and masked["job"] != status["job"]
    with pytest.raises(AppError, match="bad_input"):
        client.predict(file=handle_file(clip), box="over there", api_name="/inpaint")


def test_the_machine_is_told(client: Client) -> None:
    system = client.predict(api_name="/system")
    assert system["hardware"]["host"]["total_bytes"] > 0 and system["queue"] == {"running": 0, "waiting": 0}


def test_what_others_must_not_know_of_the_machine_is_not_told(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, good_run: Script, tmp_path: Path
) -> None:
    url = serve(page_over(make_queue(good_run), Policy(local=False)))
    assert str(tmp_path) not in json.dumps(Client(url, verbose=False).predict(api_name="/system"))


# -- what the policy allows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"max_file_gb": 1e-6}, "larger than"),
        ({"max_megapixels": 0.01}, "megapixels"),
        ({"max_minutes": 0.01}, "minutes"),
        ({"jobs_max_gb": 1e-7}, "would write"),
    ],
)
def test_more_than_the_server_allows_is_refused_with_the_number(
    make_queue: MakeQueue,
    page_over: PageOver,
    serve: Serve,
    good_run: Script,
    clip: Path,
    policy: dict[str, Any],
    words: str,
) -> None:
    client = Client(serve(page_over(make_queue(good_run), Policy(**policy))), verbose=False)
    for name, task in (("score", {}), ("estimate", {"task": "score"})):
        with pytest.raises(AppError, match=rf"{words}.*over_limit"):
            client.predict(file=handle_file(clip), **task, api_name=f"/{name}")
    assert client.predict(api_name="/jobs") == []


def test_one_visitor_may_not_fill_the_queue(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path
) -> None:
    url = serve(page_over(make_queue(held), Policy(local=False, max_jobs_per_visitor=2)))
    client = Client(url, verbose=False)
    for window in (3, 5):
        client.predict(file=handle_file(clip), task="score", window=window, api_name="/submit")
    with pytest.raises(AppError, match=r"2 jobs.*queue_full"):
        client.predict(file=handle_file(clip), task="score", window=7, api_name="/submit")
    held.go.set()
    jobs = client.predict(api_name="/jobs")
    for entry in jobs:
        client.predict(job=entry["job"], key="", follow=True, api_name="/job")
    client.predict(file=handle_file(clip), task="score", window=7, api_name="/submit")


def test_one_visitor_may_not_fill_the_queue_by_resuming(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path, tmp_path: Path
) -> None:
    left = Job.create(tmp_path / "jobs", "score", (clip,), ScoreSettings(window=9), 1)
    left.journal.append(events.Paused(job=left.id))
    client = Client(serve(page_over(make_queue(held), Policy(max_jobs_per_visitor=1))), verbose=False)
    client.predict(file=handle_file(clip), task="score", api_name="/submit")
    with pytest.raises(AppError, match=r"1 jobs.*queue_full"):
        client.predict(job=left.id, key="", api_name="/resume")
    held.go.set()


def test_a_waiting_job_is_told_its_place(
    make_queue: MakeQueue, page_over: PageOver, serve: Serve, held: Held, clip: Path
) -> None:
    client = Client(serve(page_over(make_queue(held))), verbose=False)
    jobs = [
        client.predict(file=handle_file(clip), task="score", window=window, api_name="/submit")["job"]
        for window in (3, 5, 7)
    ]
    assert held.told.wait(PATIENCE_SECONDS)
    waiting = [entry["position"] for entry in client.predict(api_name="/jobs")]
    assert waiting == [1, 0, None], "the newest first"
    status, _ = next(iter(client.submit(job=jobs[2], key="", follow=True, api_name="/job")))
    assert (status["state"], status["position"]) == ("queued", 1)
    held.go.set()


def test_jobs_of_one_who_left_are_paused_where_that_is_the_rule(
    make_queue: MakeQueue, serve: Serve, held: Held, clip: Path
) -> None:
    queue = make_queue(held)
    service = JobService(queue, Policy(local=False, on_disconnect="pause"), grace_seconds=0)
    client = Client(serve(build(service, Monitor(queue))), verbose=False)
    call = client.submit(file=handle_file(clip), api_name="/score")
    next(iter(call))
    (job,) = Job.all(queue.jobs_dir)
    assert held.told.wait(PATIENCE_SECONDS) and job.requested() is None
    call.cancel()
    assert held.asked.wait(PATIENCE_SECONDS) and job.requested() == "pause"


# -- paths ---------------------------------------------------------------------------------------------------


FOREIGN = (
    {"path": "/etc/passwd"},
    {"path": "../../etc/passwd"},
    {"path": "file:///etc/passwd"},
    {"path": "a.mp4", "url": "file:///etc/passwd"},
    {"path": "http://127.0.0.1:9/a.mp4"},
    {"path": "HTTPS://example.com/a.mp4"},
)


def test_a_file_that_was_not_uploaded_is_not_read(client: Client) -> None:
    for given, name in product(FOREIGN, ("score", "submit", "inspect", "estimate")):
        data = {**given, "meta": {"_type": "gradio.FileData"}}
        call = httpx.post(f"{client.src}gradio_api/call/v2/{name}", json={"file": data}).json()
        address = f"{client.src}gradio_api/call/{name}/{call['event_id']}"
        stream = httpx.get(address, timeout=PATIENCE_SECONDS).text
        assert "event: error" in stream and "root:" not in stream, (given, name)
    assert client.predict(api_name="/jobs") == []


def test_a_link_among_the_uploads_leads_nowhere(client: Client, tmp_path: Path) -> None:
    (tmp_path / "jobs" / "cache").mkdir(exist_ok=True)
    link = tmp_path / "jobs" / "cache" / "passwd.mp4"
    link.symlink_to("/etc/passwd")
    assert httpx.get(f"{client.src}gradio_api/file={link}").status_code == 403


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
