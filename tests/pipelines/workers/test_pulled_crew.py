"""Pulled workers, as the run sees them: who is taken, what is heard, who is gone. Nothing is started.

Most of it holds for a shared folder and for an object store alike.
"""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory.slot import Slot
from pipelines.errors import DamagedVideo, Sentence
from pipelines.jobs import events
from pipelines.runtime.crew import Compute, CrewRequest, Idle, Lost, Open, Ready
from pipelines.settings import ScoreSettings
from pipelines.storage.object_store import ObjectStore, Patience
from pipelines.workers.exchange import ASKED, Card, Exchange, Gone, Leave, Post
from pipelines.workers.folder_exchange import FolderExchange
from pipelines.workers.pulled_crew import PulledCrew
from pipelines.workers.store_exchange import StoreExchange

from .shelf import make_bucket

BUILDS = {"longtake": "abc", "ffmpeg": "7.1"}
ORDER = Compute(number=1, stage="fill", spans=((0, 8),))


class Scene:
    """A place to meet, a run's crew there, and what the run was warned of."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.jobs_dir = folder
        self.kind = kind
        self.bucket = folder / "bucket"
        self.address = make_bucket(self.bucket) if kind == "store" else ""
        self.warned: list[str] = []
        self.clock = 0.0
        self.crews: list[PulledCrew] = []

    def exchange(self) -> Exchange:
        if self.kind == "folder":
            return FolderExchange(self.jobs_dir)
        patience = Patience(lambda: None, pytest.fail)
        return StoreExchange(ObjectStore(self.address), patience, now=lambda: self.clock)

    def crew(self, device: str = "", *, mixed: bool = False) -> PulledCrew:
        request = CrewRequest(
            self.jobs_dir / "job",
            ScoreSettings(),
            (Slot("cpu"),),
            lambda code, words: self.warned.append(words),
        )
        crew = PulledCrew(
            self.exchange(), request, BUILDS, device, mixed=mixed, wait=self.wait, now=lambda: self.clock
        )
        self.crews.append(crew)
        return crew

    def wait(self, seconds: float) -> None:
        self.clock += seconds

    def signs(self, name: str) -> Path:
        """The file of a sign of life."""
        if self.kind == "store":
            return self.bucket / "prefix" / "alive" / name
        path = self.jobs_dir / ".workers" / name
        return path / "alive" if path.is_dir() else path

    def falls_silent(self, name: str = "one") -> None:
        os.utime(self.signs(name), (0, 0))

    def names(self) -> list[str]:
        """Whoever has left something."""
        place = self.jobs_dir / ".workers" if self.kind == "folder" else self.bucket / "prefix" / "alive"
        return sorted(path.name for path in place.iterdir())

    def worker(self, name: str = "one", device: str = "cpu", **builds: str) -> Post:
        post = self.exchange().post(name)
        post.open(Card(host=f"host-{name}", device=device, builds={**BUILDS, **builds}))
        return post


@pytest.fixture(params=["folder", "store"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(tmp_path, request.param)
    yield scene
    for crew in scene.crews:
        crew.close(at_once=True)


in_a_folder = pytest.mark.parametrize("scene", ["folder"], indirect=True)


def heard(crew: PulledCrew) -> list[tuple[int, Any]]:
    return list(crew.poll(2))


def taken(post: Post) -> list[Any]:
    """The orders at a post, whenever they were last looked for."""
    return list(post.orders.take(ASKED))


def test_a_worker_is_taken_by_one_run(scene: Scene) -> None:
    post = scene.worker()
    first, second = scene.crew(), scene.crew()
    assert first.hire() == 1
    assert second.hire() is None
    assert first.device(1) == "cpu (host-one)"
    assert post.taken_by()


def test_one_that_joins_later_is_found_at_the_next_look(scene: Scene) -> None:
    crew = scene.crew()
    assert crew.hire() is None
    scene.worker()
    assert crew.hire() is None, "it is not looked for all the time"
    scene.clock += 1
    assert crew.hire() == 1


@in_a_folder
def test_orders_and_answers_have_paths_that_hold_on_every_machine(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    crew.tell(1, Open(folder=scene.jobs_dir / "job", plan={}))
    crew.tell(1, ORDER)
    assert post.orders.take(ASKED) == [Open(folder=Path("job"), plan={}, verify=True), ORDER]
    segment = events.Segment(job="job", start=0, stop=8, path=Path("job/segments/a.mp4"))
    for answer in (Ready(), segment, Idle(number=1)):
        post.answers.put(answer)
    (_, ready), (_, told), (_, idle) = heard(crew)
    assert (ready, idle) == (Ready(), Idle(number=1))
    assert told.path == scene.jobs_dir / "job/segments/a.mp4"


@pytest.mark.parametrize(
    "differs, device",
    [({"ffmpeg": "6.0"}, ""), ({"torch": "2.0"}, ""), ({}, "NVIDIA H200")],
    ids=["another ffmpeg", "one more library", "another device"],
)
def test_a_worker_whose_results_may_differ_is_refused_with_a_sentence(
    scene: Scene, differs: dict[str, str], device: str
) -> None:
    scene.worker(**differs)
    crew = scene.crew(device)
    for _ in range(2):
        assert crew.hire() is None
        scene.clock += 1
    (sentence,) = scene.warned
    assert isinstance(sentence, Sentence) and sentence.key == "worker_differs"
    assert "host-one is not used" in sentence
    assert sentence.values["what"] == (next(iter(differs), "device"))
    assert scene.crew(device, mixed=True).hire() == 1


def test_a_worker_on_the_device_of_the_run_is_taken(scene: Scene) -> None:
    scene.worker(device="NVIDIA H200")
    assert scene.crew("NVIDIA H200").hire() == 1


def test_one_without_a_sign_of_life_is_not_taken(scene: Scene) -> None:
    scene.worker()
    scene.falls_silent()
    assert scene.crew().hire() is None


def test_one_that_gives_no_sign_of_life_is_lost_and_let_go(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    scene.falls_silent()
    seconds = scene.exchange().gone_seconds
    assert heard(crew) == [(1, Lost(f"gave no sign of life for {seconds:.0f} s"))]
    assert taken(post) == [Leave(at_once=True)], "for when it wakes up"
    scene.clock += 1
    assert heard(crew) == [] and crew.hire() is None


def test_the_last_words_of_a_silent_worker_are_heard_first(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    post.answers.put(Idle(number=1))
    scene.falls_silent()
    assert heard(crew) == [(1, Idle(number=1))]


def test_one_that_leaves_by_itself_does_not_count_against_the_spans(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    post.answers.put(Gone(how="was asked to leave", by_itself=True))
    assert heard(crew) == [(1, Lost("was asked to leave", counts=False))]
    assert post.card() is None, "whose last word was heard"


def test_a_worker_that_died_at_its_work_counts(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    post.answers.put(Gone(how="was killed by signal 9"))
    assert heard(crew) == [(1, Lost("was killed by signal 9"))]


@in_a_folder
def test_a_worker_whose_folder_is_gone_is_lost(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    post.remove()
    crew.tell(1, ORDER)
    assert heard(crew) == [(1, Lost("has removed its folder"))]


def test_one_that_cannot_open_the_job_is_let_go_and_does_not_fail_it(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    post.answers.put(events.Failed.of("job", DamagedVideo("There is no clip.mp4.", "")))
    (_, lost), *others = heard(crew)
    assert lost == Lost("on host-one cannot open the job: There is no clip.mp4.", counts=False)
    assert not others
    assert taken(post) == [Leave()]


def test_what_fails_once_the_job_is_open_fails_the_job(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    failed = events.Failed.of("job", DamagedVideo("Frame 3 is damaged.", ""))
    post.answers.put(Ready())
    post.answers.put(failed)
    assert heard(crew) == [(1, Ready()), (1, failed)]


@in_a_folder
def test_garbage_in_a_mailbox_costs_nothing(scene: Scene) -> None:
    post, crew = scene.worker(), scene.crew()
    crew.hire()
    chance = random.Random(19)
    found: list[Any] = []
    for number in range(50):
        with (scene.jobs_dir / ".workers/one/out").open("ab") as file:
            file.write(chance.randbytes(chance.randrange(200)))
            file.write(
                chance.choice([b"", b"\n", b"{}", b'{"type":"idle"}\n', b'{"type":"gone"', b"[1,2]\n"])
            )
        post.answers.put(Idle(number=number))
        found += heard(crew)
    assert found == [(1, Idle(number=number)) for number in range(50)]


@in_a_folder
def test_an_answer_is_heard_once_it_is_whole(scene: Scene) -> None:
    scene.worker()
    crew = scene.crew()
    crew.hire()
    with (scene.jobs_dir / ".workers/one/out").open("ab") as file:
        file.write(b'{"type":"id')
    assert heard(crew) == []
    with (scene.jobs_dir / ".workers/one/out").open("ab") as file:
        file.write(b'le","number":7}\n')
    assert heard(crew) == [(1, Idle(number=7))]


def test_the_end_of_a_run_waits_for_workers_that_live(scene: Scene) -> None:
    """So that nobody writes into a job's folder that may be removed next."""
    posts, crew = [scene.worker("one"), scene.worker("two")], scene.crew()
    assert [crew.hire(), crew.hire()] == [1, 2]
    scene.falls_silent("two")
    begun = scene.clock

    def wait(seconds: float) -> None:
        scene.clock += seconds
        if scene.clock >= begun + 2 and posts[0].card():
            assert taken(posts[0]) == [Leave()]
            posts[0].remove()

    scene.wait = wait  # type: ignore[method-assign]
    crew._wait = wait
    crew.close()
    assert begun + 2 <= scene.clock < begun + 4
    assert scene.names() == ["two"], "the run's own sign is gone"


def test_what_is_left_of_the_gone_is_removed_after_a_while(scene: Scene) -> None:
    _, fresh = scene.worker("old"), scene.worker("fresh")
    exchange = scene.exchange()
    exchange.pulse("run-old").renew()
    scene.signs("run-old").touch()
    for place in scene.jobs_dir.rglob("*old*"):
        for path in (place, *place.rglob("*")):
            os.utime(path, (0, 0))
    with exchange.pulse("run-now") as pulse:
        exchange.forget_the_gone(pulse)
    assert scene.names() == ["fresh", "run-now"]
    assert fresh.card()
    assert not [path for path in scene.jobs_dir.rglob("*old*") if path.is_file() or any(path.iterdir())]


@in_a_folder
def test_a_folder_that_somebody_has_cleared_is_made_again(scene: Scene) -> None:
    crew = scene.crew()
    shutil.rmtree(scene.jobs_dir / ".workers")
    assert crew.hire() is None
    scene.worker()
    scene.clock += 1
    assert crew.hire() == 1
    assert len([name for name in scene.names() if name.startswith("run-")]) == 1
