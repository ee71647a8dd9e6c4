"""A worker of a shared folder, as it sees itself: it joins, serves a run, and leaves. Its member is none."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import NotEnoughMemory
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Idle, Less, Lost, Open, Order, Ready, Said, Warm
from pipelines.workers import pull
from pipelines.workers.exchange import ANSWERS, Card, Gone, Leave
from pipelines.workers.folder_exchange import FolderExchange, FolderPost
from pipelines.workers.limits import MemberLimit
from pipelines.workers.pull import PulledWorker

CARD = Card(host="here", device="cpu", builds={})
RUN = "run-one"


class Member:
    """A crew of one that answers as `answers` says."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.said: list[Said] = []
        self.closed: list[bool] = []

    def hire(self) -> int:
        return 1

    def device(self, member: int) -> str:
        return "cpu"

    def tell(self, member: int, order: Order) -> None:
        if isinstance(order, Warm):
            self.said += self.scene.warmth.pop(0) if self.scene.warmth else [Ready()]
            return
        self.scene.told.append(order)
        self.said += self.scene.answers(order)

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        said, self.said = self.said, []
        if not said and not self.scene.folders():
            self.scene.step()  # it waits until its member is warm
        yield from ((1, each) for each in said)

    def kill(self, member: int) -> None:
        raise AssertionError("it is closed")

    def close(self, *, at_once: bool = False) -> None:
        self.closed.append(at_once)


class Leaving(threading.Event):
    """Calls `then` each time the worker would wait, instead of waiting."""

    def __init__(self, scene: "Scene") -> None:
        super().__init__()
        self._scene = scene

    def wait(self, timeout: float | None = None) -> bool:
        self._scene.clock += timeout or 0
        self._scene.step()
        return self.is_set()


class Scene:
    """A worker that goes on by itself; the test acts, one of `acts` each time that it waits or is polled."""

    def __init__(self, jobs_dir: Path) -> None:
        self.jobs_dir = jobs_dir
        self.clock = 0.0
        self.told: list[Order] = []
        self.members: list[Member] = []
        self.leaving = Leaving(self)
        self.acts: list[Callable[[], object]] = []
        self.answers: Callable[[Order], list[Said]] = lambda order: []
        self.warmth: list[list[Said]] = []
        self.exchange = FolderExchange(jobs_dir)
        (self.exchange.place / RUN).touch()

    def step(self) -> None:
        assert self.acts, "the worker waits for ever"
        self.acts.pop(0)()

    def make(self) -> Member:
        self.members.append(Member(self))
        return self.members[-1]

    def work(self, idle_seconds: float | None = None) -> None:
        PulledWorker(
            self.exchange, CARD, self.make, self.leaving, idle_seconds, now=lambda: self.clock
        ).work()

    @property
    def post(self) -> FolderPost:
        (name,) = self.folders()
        return self.exchange.post(name)

    def is_taken(self, *orders: Any) -> None:
        post = self.post
        assert post.card() == CARD
        assert post.take(RUN)
        for order in orders:
            post.orders.put(order)

    def folders(self) -> list[str]:
        return [path.name for path in self.exchange.place.iterdir() if path.is_dir()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_it_leaves_after_a_time_without_work(scene: Scene) -> None:
    scene.acts = [lambda: None] * 50
    scene.work(idle_seconds=3)
    assert 3 <= scene.clock < 4
    assert scene.folders() == [] and scene.members[0].closed


def test_nobody_can_take_it_before_its_member_is_warm(scene: Scene) -> None:
    scene.warmth = [[]]
    scene.acts = [lambda: None, lambda: None, scene.leaving.set]
    scene.work()
    assert not scene.acts and scene.folders() == []
    assert scene.members[0].closed[0] is True, "it had nothing to give back"


@pytest.mark.parametrize(
    "said",
    [
        Lost("was killed by signal 9"),
        events.Failed.of("", NotEnoughMemory("No memory.", "")),
    ],
)
def test_a_member_that_dies_as_it_loads_is_replaced(scene: Scene, said: Said) -> None:
    scene.warmth = [[said]]
    scene.acts = [lambda: None, scene.leaving.set]
    scene.work()
    assert len(scene.members) == 2 and scene.members[0].closed


def test_one_that_is_taken_as_it_leaves_stays(scene: Scene) -> None:
    """Whoever makes the mark first has it: the run, here, so that it does not lose the worker."""
    scene.acts = [lambda: scene.is_taken(Leave()), *[lambda: None] * 50]
    scene.work(idle_seconds=0.05)
    assert len(scene.members) == 2, "it served, joined again, and left then"
    assert scene.folders() == []


def test_it_carries_orders_and_answers_with_paths_of_its_own(scene: Scene) -> None:
    inside = scene.jobs_dir / "job/segments/a.mp4"
    segment = events.Segment(job="job", start=0, stop=8, path=inside)
    scene.answers = lambda order: [Ready(), segment, Lost("was killed by signal 9")]
    scene.acts = [
        lambda: scene.is_taken(Open(folder=Path("job"), plan={})),
        lambda: scene.leaving.set(),
    ]
    found: list[FolderPost] = []
    scene.acts[0] = lambda: (scene.is_taken(Open(folder=Path("job"), plan={})), found.append(scene.post))
    scene.work()
    assert scene.told == [Open(folder=scene.jobs_dir / "job", plan={})]
    answers = found[0].answers.take(ANSWERS)
    assert answers[0] == Ready() and answers[2] == Gone(how="was killed by signal 9")
    assert isinstance(answers[1], events.Segment) and answers[1].path == Path("job/segments/a.mp4")
    assert len(scene.members) == 2, "it joined again with a new member"


def test_asked_to_leave_it_says_so_and_stops_its_member_at_the_next_frame(scene: Scene) -> None:
    found: list[FolderPost] = []

    def taken() -> None:
        scene.is_taken()
        found.append(scene.post)
        scene.leaving.set()

    scene.acts = [taken]
    scene.work()
    assert found[0].answers.take(ANSWERS) == [Gone(how="was asked to leave", by_itself=True)]
    assert scene.members[0].closed[0] is False
    assert scene.folders(), "the run removes it once it has heard"


def test_asked_to_leave_while_free_it_is_gone(scene: Scene) -> None:
    scene.acts = [scene.leaving.set]
    scene.work()
    assert scene.folders() == []


@pytest.mark.parametrize("how", ["killed", "ended", "nonsense"])
def test_a_run_that_is_gone_frees_its_worker(scene: Scene, how: str) -> None:
    def taken() -> None:
        scene.is_taken()
        if how == "nonsense":
            (scene.post.folder / "taken").write_bytes(b"\x00\xff")
        elif how == "killed":
            os.utime(scene.exchange.place / RUN, (0, 0))
        else:
            (scene.exchange.place / RUN).unlink()

    scene.acts = [taken, scene.leaving.set]
    scene.work()
    assert len(scene.members) == 2 and scene.folders() == []


@pytest.mark.parametrize("at_once", [True, False])
def test_a_run_that_lets_go_is_obeyed(scene: Scene, at_once: bool) -> None:
    scene.acts = [lambda: scene.is_taken(Leave(at_once=at_once)), scene.leaving.set]
    scene.work()
    assert scene.members[0].closed[0] is at_once and scene.folders() == []


def test_garbage_in_its_mailbox_costs_nothing(scene: Scene) -> None:
    def taken() -> None:
        scene.is_taken()
        with (scene.post.folder / "in").open("ab") as file:
            file.write(b'\x00\xff{"type":"open"}\n{"type":"compute","number":"x"}\n\n[]\n{"type":"le')
        scene.post.orders.put(Open(folder=Path("job"), plan={}))
        scene.post.orders.put(Leave())

    scene.acts = [taken, scene.leaving.set]
    scene.work()
    assert scene.told == [Open(folder=scene.jobs_dir / "job", plan={})]


def test_one_whose_folder_was_removed_joins_again(scene: Scene) -> None:
    """It was frozen for so long that it was taken for dead."""
    scene.acts = [lambda: scene.is_taken(), scene.leaving.set]
    removed = scene.acts[0]
    scene.acts[0] = lambda: (removed(), scene.post.remove())
    scene.acts.insert(1, lambda: None)  # the rest before it joins again
    scene.work()
    assert len(scene.members) == 2 and scene.folders() == []


def test_answers_of_the_member_reach_the_run_before_it_ends(scene: Scene) -> None:
    found: list[FolderPost] = []
    scene.answers = lambda order: [Ready(), Idle(number=1)]

    def taken() -> None:
        scene.is_taken(Open(folder=Path("job"), plan={}))
        found.append(scene.post)
        scene.leaving.set()

    scene.acts = [taken]
    scene.work()
    assert found[0].answers.take(ANSWERS)[:2] == [Ready(), Idle(number=1)]


def test_it_leaves_also_where_the_disk_is_full(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FolderPost, "take", lambda self, by: False)
    scene.acts = [scene.leaving.set]
    scene.work()
    assert scene.folders() == []


class Memory:
    """A watch that raises each of `errors` at one of its checks."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def check(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


def limit(memory: Memory) -> type[MemberLimit]:
    """The limit of a worker whose memory is `memory`."""

    class Limit(MemberLimit):
        def watch(self, job: Job) -> None:
            self._memory = memory  # type: ignore[assignment]

    return Limit


def test_a_worker_that_is_close_to_its_limit_uses_less(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "MemberLimit", limit(Memory(MemoryError("close to the limit"))))
    scene.answers = lambda order: [Lost("ended")] if isinstance(order, Less) else []
    scene.acts = [lambda: scene.is_taken(Open(folder=Path("job"), plan={})), scene.leaving.set]
    scene.work()
    assert [type(order) for order in scene.told] == [Open, Less]


def test_a_worker_ends_its_member_before_the_limit_is_passed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = NotEnoughMemory("The job used 2 GiB.", "Use less.", "memory.limit_passed")
    monkeypatch.setattr(pull, "MemberLimit", limit(Memory(over)))
    found: list[FolderPost] = []

    def taken() -> None:
        scene.is_taken(Open(folder=Path("job"), plan={}))
        found.append(scene.post)

    scene.acts = [taken, scene.leaving.set]
    scene.work()
    assert scene.members[0].closed[0] is True
    (failed,) = found[0].answers.take(ANSWERS)
    assert isinstance(failed, events.Failed) and failed.exit_code == 3
