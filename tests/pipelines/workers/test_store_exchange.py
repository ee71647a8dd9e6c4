"""Runs and workers in an object store: what is sent and fetched, what an outage costs, how much is asked for."""

import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memory.slot import Slot
from memory.units import GIB
from pipelines.errors import BadInput, LongtakeError, NotEnoughDisk
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Compute, CrewRequest, Idle, Less, Open, Ready
from pipelines.settings import CopySettings, ScoreSettings
from pipelines.storage.kept_files import KeptFile, describe
from pipelines.storage.object_store import ObjectStore, Patience
from pipelines.workers import store_exchange
from pipelines.workers.exchange import ANSWERS, ASKED, Card, Deliver, Gone, OpenSent
from pipelines.workers.pull import PulledWorker
from pipelines.workers.pulled_crew import PulledCrew
from pipelines.workers.store_exchange import StoreExchange
from pipelines.workers.store_files import StoreRunSide, StoreWorkerSide, sweep_work

from .shelf import make_bucket

COMPUTE = Compute(number=1, stage="fill", spans=((0, 8),))


class Scene:
    """A job with a video and a folder of masks, a store, and both sides of it."""

    def __init__(self, folder: Path) -> None:
        self.bucket = folder / "bucket"
        self.store = ObjectStore(make_bucket(self.bucket))
        self.clock = 0.0
        self.told: list[str] = []
        self.acts: list[Callable[[], object]] = []
        self.patience = Patience(lambda: None, self.told.append, self.wait)
        clip, masks = folder / "clip.mp4", folder / "masks"
        clip.write_bytes(b"a film")
        masks.mkdir()
        for name in ("1.png", "2.png"):
            (masks / name).write_bytes(name.encode())
        self.job = Job.create(folder / "jobs", "score", (clip, masks), ScoreSettings(engine="builtin"), 1)
        self.request = CrewRequest(self.job.folder, ScoreSettings(), (Slot("cpu"),), lambda code, words: None)
        self.run_side = StoreRunSide(self.store, "runs/run-1", self.request, self.patience)
        self.worker_side = StoreWorkerSide(self.store, "runs/run-1", self.patience, GIB)

    def wait(self, seconds: float) -> None:
        self.clock += seconds
        if self.acts:
            self.acts.pop(0)()

    def opened(self) -> Open:
        """What the worker is told when the job is opened."""
        (order,) = self.run_side.orders("one", Open(folder=self.job.folder, plan={"window": 4}))
        sent = ASKED.validate_json(json.dumps(order.model_dump(mode="json", by_alias=True)))
        here = self.worker_side.order(sent, lambda: None)
        assert isinstance(sent, OpenSent) and isinstance(here, Open)
        return here

    def computed(self, *names: str) -> events.Segment:
        """A span that the worker has computed and published in its own folder, `names` beside its own file, last."""
        folder = self.opened().folder
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(f"bytes of {name}".encode())
        paths = [folder / name for name in names]
        return events.Segment(job="job", start=0, stop=8, path=paths[-1], files=describe(folder, paths))

    def objects(self, prefix: str) -> list[str]:
        start = self.bucket / "prefix" / prefix
        return sorted(path.relative_to(start).as_posix() for path in start.rglob("*") if path.is_file())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("LONGTAKE_CACHE", str(tmp_path / "cache"))
    return Scene(tmp_path)


# -- files -------------------------------------------------------------------------------------------------------


def test_a_worker_opens_the_job_with_inputs_of_its_own(scene: Scene) -> None:
    here = scene.opened()
    assert here.verify and here.plan == {"window": 4} and here.folder.name == scene.job.id
    clip, masks = (known.path for known in Job(here.folder).record().inputs)
    assert clip.name == "clip.mp4" and clip.read_bytes() == b"a film"
    assert {path.name: path.read_bytes() for path in masks.iterdir()} == {
        "1.png": b"1.png",
        "2.png": b"2.png",
    }
    assert not clip.is_relative_to(scene.job.folder.parent.parent / "jobs")
    Job(here.folder).check_inputs()


def test_inputs_are_sent_once_for_all_workers_and_runs(scene: Scene) -> None:
    scene.opened()
    scene.store.requests.clear()
    scene.run_side.orders("two", Open(folder=scene.job.folder, plan={}))
    assert not scene.store.requests, "the run has sent them"
    other = StoreRunSide(scene.store, "runs/run-2", scene.request, scene.patience)
    before = scene.objects("inputs")
    other.orders("one", Open(folder=scene.job.folder, plan={}))
    assert scene.objects("inputs") == before and len(before) == 3


def test_what_was_stored_before_goes_to_each_worker_once(scene: Scene) -> None:
    here = scene.opened()
    state = scene.job.folder / "state" / "on" / "00000000-00000008.npy"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"records")
    (scene.job.folder / "segments").mkdir()
    (scene.job.folder / "segments" / "00000000-00000008.mp4").write_bytes(b"large")
    deliver, order = scene.run_side.orders("one", COMPUTE)
    assert order == COMPUTE and isinstance(deliver, Deliver)
    assert [file.name for file in deliver.files] == ["state/on/00000000-00000008.npy"]
    assert scene.worker_side.order(deliver, lambda: None) is None
    assert (here.folder / "state/on/00000000-00000008.npy").read_bytes() == b"records"
    assert scene.run_side.orders("one", COMPUTE) == (COMPUTE,)
    assert len(scene.run_side.orders("two", COMPUTE)) == 2
    state.write_bytes(b"other records")
    changed, _ = scene.run_side.orders("one", COMPUTE)
    assert isinstance(changed, Deliver)
    scene.worker_side.order(changed, lambda: None)
    assert (here.folder / "state/on/00000000-00000008.npy").read_bytes() == b"other records"


def test_a_span_is_in_the_jobs_folder_before_it_is_told(scene: Scene) -> None:
    names = "state/figures/a.npy", "segments/a.mp4"
    said = scene.worker_side.sent(scene.computed(*names))
    assert isinstance(said, events.Segment) and said.path == Path("segments/a.mp4")
    told = scene.run_side.received(said)
    assert told.path == scene.job.folder / "segments/a.mp4"
    for name in names:
        assert (scene.job.folder / name).read_bytes() == f"bytes of {name}".encode()
    assert len(scene.objects("runs/run-1")) == 1, "nobody else reads the segment"
    scene.store.requests.clear()
    assert scene.run_side.received(said) == told
    assert not scene.store.requests, "another worker had the same"
    scene.run_side.close()
    assert scene.objects("runs") == []


def test_what_a_worker_keeps_of_a_job_goes_with_it(scene: Scene) -> None:
    said = scene.computed("segments/a.mp4")
    scene.worker_side.sent(said)
    assert not said.path.exists(), "the run has it"
    folder = said.path.parents[1]
    assert (folder / "job.json").exists()
    scene.worker_side.close()
    assert not folder.exists()


def test_folders_of_killed_workers_are_swept(tmp_path: Path, scene: Scene) -> None:
    work = tmp_path / "cache" / "store-work"
    here, elsewhere = work / socket.gethostname(), work / "another-machine"
    for path in (here / "999999999-ab", here / f"{os.getpid()}-ab", elsewhere / "999999999-ab"):
        (path / "job").mkdir(parents=True)
    sweep_work()
    assert [path.name for path in here.iterdir()] == [f"{os.getpid()}-ab"]
    assert list(elsewhere.iterdir())


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "state/../../x", "", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused_by_both(scene: Scene, name: str) -> None:
    scene.opened()
    file = KeptFile(name=name, size_bytes=1, sha256="0" * 64)
    with pytest.raises(LongtakeError, match="leads elsewhere"):
        scene.worker_side.order(Deliver(files=(file,)), lambda: None)
    with pytest.raises(LongtakeError, match="leads elsewhere"):
        scene.run_side.received(
            events.Segment(job="", start=0, stop=8, path=Path("segments/a"), files=(file,))
        )


def test_orders_that_make_no_sense_end_nothing(scene: Scene) -> None:
    file = KeptFile(name="state/a", size_bytes=1, sha256="0" * 64)
    with pytest.raises(LongtakeError, match="no job is open"):
        scene.worker_side.order(Deliver(files=(file,)), lambda: None)
    (order,) = scene.run_side.orders("one", Open(folder=scene.job.folder, plan={}))
    assert isinstance(order, OpenSent)
    with pytest.raises(LongtakeError, match="not all inputs"):
        scene.worker_side.order(order.model_copy(update={"inputs": order.inputs[:1]}), lambda: None)
    outside = order.inputs[0].files[0].model_copy(update={"sha256": "../../outside"})
    inputs = (order.inputs[0].model_copy(update={"files": (outside,)}), order.inputs[1])
    with pytest.raises(LongtakeError, match="hash of a file is none"):
        scene.worker_side.order(order.model_copy(update={"inputs": inputs}), lambda: None)


def test_what_an_earlier_run_left_unrecorded_is_replaced_and_the_first_of_this_one_stands(
    scene: Scene,
) -> None:
    here = scene.job.folder / "segments" / "a.mp4"
    here.parent.mkdir()
    here.write_bytes(b"left over")
    said = scene.worker_side.sent(scene.computed("segments/a.mp4"))
    assert isinstance(said, events.Segment)
    scene.run_side.received(said)
    assert here.read_bytes() == b"bytes of segments/a.mp4"
    other = said.files[0].model_copy(update={"sha256": "0" * 64})
    scene.run_side.received(said.model_copy(update={"files": (other,)}))
    assert here.read_bytes() == b"bytes of segments/a.mp4"


def test_an_input_that_cannot_be_read_has_a_sentence(scene: Scene) -> None:
    scene.job.record().inputs[0].path.unlink()
    with pytest.raises(LongtakeError, match="is gone"):
        scene.run_side.orders("one", Open(folder=scene.job.folder, plan={}))


def test_a_span_that_is_not_in_the_store_is_no_span(scene: Scene) -> None:
    said = scene.worker_side.sent(scene.computed("segments/a.mp4"))
    scene.store.remove_all("runs")
    assert isinstance(said, events.Segment)
    with pytest.raises(LongtakeError, match=r"a\.mp4 is not in the store"):
        scene.run_side.received(said)
    assert not list(scene.job.folder.rglob("*.mp4"))


def test_a_worker_whose_disk_is_full_leaves_the_job_to_others(scene: Scene) -> None:
    failed = events.Failed.of("job", NotEnoughDisk("No space left.", "Free some."))
    assert scene.worker_side.sent(failed) == Gone(how="cannot go on: No space left.")
    (scene.bucket.parent / "cache").write_bytes(b"a file where a folder should be")
    with pytest.raises(LongtakeError):
        scene.opened()


def test_frames_cannot_be_exported_through_a_store(scene: Scene, tmp_path: Path) -> None:
    settings = CopySettings(frames_out=tmp_path / "frames")
    request = CrewRequest(scene.job.folder, settings, (), lambda code, words: None)
    with pytest.raises(BadInput, match="cannot export frames"):
        StoreRunSide(scene.store, "runs/run-1", request, scene.patience)


def test_other_orders_and_answers_pass_and_previews_stay(scene: Scene) -> None:
    assert scene.run_side.orders("one", Less()) == (Less(),)
    assert scene.worker_side.order(Less(), lambda: None) == Less()
    assert scene.worker_side.sent(Idle(number=1)) == Idle(number=1)
    assert scene.worker_side.sent(events.Preview(job="job", frame=3, path=Path("/x/preview.jpg"))) is None


# -- messages ----------------------------------------------------------------------------------------------------


@pytest.fixture
def met(scene: Scene) -> Iterator[tuple[PulledCrew, StoreExchange, StoreExchange]]:
    """A crew with one member, and the exchanges of the run and of the member."""
    run, worker = (StoreExchange(scene.store, scene.patience, now=lambda: scene.clock) for _ in range(2))
    worker.post("one").open(Card(host="there", device="cpu", builds={}))
    crew = PulledCrew(run, scene.request, {}, "", wait=scene.wait, now=lambda: scene.clock)
    assert crew.hire() == 1
    yield crew, run, worker
    crew.close(at_once=True)


Met = tuple[PulledCrew, StoreExchange, StoreExchange]


def test_messages_come_in_order_once_and_leave_nothing(scene: Scene, met: Met) -> None:
    crew, _, worker = met
    answers = worker.post("one").answers
    for number in range(3):
        answers.put(Idle(number=number))
    assert list(crew.poll(1)) == [(1, Idle(number=number)) for number in range(3)]
    assert scene.objects("workers/one/out") == []


def test_what_is_no_message_is_passed_over(scene: Scene, met: Met) -> None:
    crew, _, worker = met
    scene.store.put("workers/one/out/000000000", b"\x00\xff{")
    answers = worker.post("one").answers
    answers._number = 1  # type: ignore[attr-defined]
    answers.put(Ready())
    assert list(crew.poll(1)) == [(1, Ready())]


def test_progress_costs_at_most_an_object_a_second_and_all_else_is_said_at_once(
    scene: Scene, met: Met
) -> None:
    _, _, worker = met
    answers = worker.post("one").answers
    scene.store.requests.clear()
    for _ in range(100):
        answers.put(events.Heartbeat(job="job"))
        scene.clock += 0.1
    assert 9 <= scene.store.requests["put"] <= 11
    for number in range(5):
        answers.put(Idle(number=number))
    assert len(scene.objects("workers/one/out")) >= 14


def test_nobody_is_lost_while_the_store_is_away_nor_just_after(
    scene: Scene, met: Met, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew, *_ = met
    away = scene.bucket / ".away"
    away.touch()
    scene.acts = [lambda: None, lambda: None, away.unlink]
    os.utime(scene.bucket / "prefix/alive/one", (0, 0))
    assert list(crew.poll(1)) == [], (
        "it waits until the store is back, and gives the worker time to come back too"
    )
    assert scene.told == ["it cannot be reached (ConnectionError)"]
    monkeypatch.setattr(scene.store, "failed_at", time.monotonic() - store_exchange.GONE_SECONDS)
    scene.clock += 2
    ((_, lost),) = crew.poll(1)
    assert "gave no sign of life" in str(lost)


def test_the_end_of_a_run_does_not_wait_for_a_store_that_is_away(scene: Scene, met: Met) -> None:
    crew, *_ = met
    (scene.bucket / ".away").touch()
    crew.close()
    assert scene.clock < 2
    (scene.bucket / ".away").unlink()


def test_a_worker_that_is_asked_to_leave_while_it_fetches_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, run = (StoreExchange(scene.store, scene.patience) for _ in range(2))
    leaving, posts = threading.Event(), [exchange.post("one")]

    class Member:
        def hire(self) -> int:
            return 1

        def tell(self, member: int, order: Any) -> None:
            pass

        def poll(self, seconds: float) -> Any:
            return [(1, Ready())]

        def close(self, *, at_once: bool = False) -> None:
            pass

    def taken(self: PulledWorker, post: Any) -> str:
        assert post.take("run-1")
        for order in scene.run_side.orders("one", Open(folder=scene.job.folder, plan={})):
            run.post("one").orders.put(order)
        leaving.set()
        return "run-1"

    monkeypatch.setattr(PulledWorker, "_wait", taken)
    monkeypatch.setattr(exchange, "post", lambda name: posts[0])
    PulledWorker(exchange, Card(host="", device="", builds={}), Member, leaving).work()  # type: ignore[arg-type]
    assert run.post("one").answers.take(ANSWERS) == [Gone(how="was asked to leave", by_itself=True)]


def test_how_much_is_asked_of_the_store(scene: Scene, met: Met) -> None:
    """In a minute with ten looks a second; docs/workers.md has the hour. Signs of life are not counted."""
    crew, _, worker = met
    post, pulse = worker.post("one"), worker.pulse("one")

    def minute(step: Callable[[], object]) -> Counter[str]:
        until = scene.clock + 60
        scene.store.requests.clear()
        while scene.clock < until:
            step()
            scene.clock += 0.1
        return +scene.store.requests

    idle = worker.post("two")
    waits = minute(lambda: (idle.taken_by(), idle.exists()))
    assert waits.keys() == {"get"} and waits["get"] <= 121
    works = minute(
        lambda: (post.orders.take(ASKED), pulse.age("run-1"), post.answers.put(events.Heartbeat(job="")))
    )
    assert works["list"] <= 13 and works["get"] <= 121 and works["put"] <= 61
    scene.store.remove_all("workers/one/out")
    run = minute(lambda: (crew.hire(), list(crew.poll(0))))
    assert run["list"] <= 61 and run["get"] <= 121 and "put" not in run
