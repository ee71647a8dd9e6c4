"""Several jobs at once, with runners that the tests script: who runs where, beside whom, and who waits for memory."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from memory.devices import Device
from memory.probe import Hardware, Host
from memory.slot import Slot
from memory.units import GIB
from pipelines.jobs import events
from pipelines.jobs.events import Facts
from pipelines.jobs.job import Job
from pipelines.runtime.neighbours import Neighbour
from pipelines.scheduler.places import Places
from pipelines.scheduler.queue import JobQueue
from pipelines.scheduler.ticket import Ticket
from pipelines.settings import ScoreSettings
from pipelines.workers.runner import WorkerState

PIDS = itertools.count(1000)


class Fake:
    """A runner whose jobs plan what the test says, hold that, and end when it says so."""

    def __init__(self, cast: "Cast") -> None:
        self.cast = cast
        self.pid = 0
        self.beside: Sequence[Neighbour] = ()
        self.slots: list[Slot] = []
        self.freed = 0
        self.stopped = threading.Event()

    @property
    def worker(self) -> WorkerState:
        return WorkerState("warm", self.pid) if self.pid else WorkerState()

    def meet(self, neighbours: Sequence[Neighbour]) -> None:
        self.beside = tuple(neighbours)

    def move_to(self, slot: Slot) -> None:
        self.slots.append(slot)

    def let_go(self) -> None:
        self.freed += bool(self.pid)
        self.pid = 0
        self.stopped.set()

    def run(self, job: Job, hear: Callable[[events.Event], None]) -> str | None:
        def tell(event: events.Event) -> None:
            job.journal.append(event)
            hear(event)

        self.pid = self.pid or next(PIDS)
        self.stopped.clear()
        part = self.cast.part(job)
        tell(events.Started(job=job.id, worker_pid=self.pid))
        wait(part.may_plan, self.stopped)
        needs = part.planned_bytes
        taken = sum(each.host_bytes or self.cast.held_by(each.pid) for each in self.beside)
        if self.beside and needs + taken > self.cast.room_bytes:
            part.refused += 1
            self.cast.at.append(f"{part.name} waits")
            hear(events.Queued(job=job.id, task="score", name=part.name, waits_for="room"))
            return None
        tell(planned(job, needs))
        part.runner = self
        part.runs.set()
        wait(part.may_end, self.stopped)
        self.cast.at.append(part.name)
        if death := part.deaths.pop() if part.deaths else None:
            self.pid = 0
            return death
        if what := job.requested():
            end = events.CancelledEvent if what == "cancel" else events.Paused
            tell(end(job=job.id))
        elif self.stopped.is_set() and not part.may_end.is_set():
            tell(events.Paused(job=job.id))
        else:
            tell(job.done_with(events.Outputs()))
        return None


def wait(event: threading.Event, stopped: threading.Event) -> None:
    while not event.wait(0.005) and not stopped.is_set():
        pass


class Part:
    """What a job of the test does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.planned_bytes = 10
        self.may_plan, self.may_end, self.runs = threading.Event(), threading.Event(), threading.Event()
        self.may_plan.set()
        self.deaths: list[str] = []
        self.refused = 0
        self.runner: Fake | None = None


class Cast:
    """All jobs of a test, and the machine with `room_bytes`."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.parts: dict[str, Part] = {}
        self.runners: list[Fake] = []
        self.queue: JobQueue = None  # type: ignore[assignment]
        self.room_bytes = 100
        self.warm_bytes = 0
        self.at: list[str] = []

    def make(self) -> Fake:
        self.runners.append(Fake(self))
        return self.runners[-1]

    def open(self, at_once: int, gpus: int = 0) -> JobQueue:
        self.queue = JobQueue(self.tmp_path / "jobs", places=Places.of(at_once, self.make, machine(gpus)))
        return self.queue

    def ask(self, name: str, planned_bytes: int = 10, visitor: str = "", device: str = "auto") -> Job:
        clip = self.tmp_path / f"{name}.mp4"
        clip.write_bytes(name.encode())
        part = Part(name)
        part.planned_bytes = planned_bytes
        with self.queue._changed:  # so that the part is known before it begins
            job = self.queue.submit("score", clip, ScoreSettings(device=device), visitor=visitor)
            self.parts[job.id] = part
        return job

    def part(self, job: Job) -> Part:
        return self.parts[job.id]

    def held_by(self, pid: int) -> int:
        return self.warm_bytes

    def runs(self, *jobs: Job) -> None:
        for job in jobs:
            assert self.part(job).runs.wait(30), f"{self.part(job).name} does not run"

    def ends(self, *jobs: Job) -> str:
        for job in jobs:
            self.part(job).may_end.set()
            types = [event.type for event in self.queue.listen(job)]
        return types[-1]


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    cast = Cast(tmp_path)
    yield cast
    for part in cast.parts.values():
        part.may_plan.set(), part.may_end.set()
    if cast.queue:
        cast.queue.close()


def planned(job: Job, needs: int, device: int = 0) -> events.Planned:
    return events.Planned(
        job=job.id,
        facts=FACTS,
        engine="builtin",
        frames=100,
        frames_kept=0,
        window_frames=1,
        batch_frames=1,
        predicted_host_bytes=needs,
        predicted_device_bytes=device,
        budget_host_bytes=100,
        budget_device_bytes=0,
        disk_bytes=0,
        risk="low",
        reason="",
        preset="",
        preset_reason="",
    )


FACTS = Facts(
    name="a.mp4",
    container="mp4",
    codec="h264",
    width=1,
    height=1,
    frames=100,
    seconds=1,
    frame_rate="25",
    variable_frame_rate=False,
    rotation=0,
    sound=None,
    damage=None,
)


def machine(gpus: int, names: Sequence[str] = ()) -> Hardware:
    devices = tuple(
        Device("cuda", n, names[n] if names else "L4", f"GPU-{n}", 24 * GIB, 24 * GIB) for n in range(gpus)
    )
    return Hardware(Host(16 * GIB, 10 * GIB, 16 * GIB), devices)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came true")


def test_two_run_at_once_and_a_third_waits(cast: Cast) -> None:
    queue = cast.open(2)
    first, second, third = (cast.ask(name) for name in "abc")
    cast.runs(first, second)
    assert queue.running == [first, second] and queue.waiting == [third] and queue.at_once == 2
    assert queue.ahead(third) == 0 and [queue.state(job) for job in (first, second)] == ["running"] * 2
    assert cast.ends(second) == "done"
    cast.runs(third)
    assert set(queue.running) == {first, third}
    assert cast.ends(third, first) == "done"


def test_one_place_has_one_runner_and_nobody_beside(cast: Cast) -> None:
    queue = cast.open(1)
    first, second = cast.ask("a"), cast.ask("b")
    cast.runs(first)
    assert queue.running == [first] and len(cast.runners) == 1
    cast.ends(first, second)
    assert cast.runners[0].beside == () and cast.runners[0].slots == []


def test_the_next_begins_once_the_plan_of_the_one_before_is_known(cast: Cast) -> None:
    queue = cast.open(2)
    first = cast.ask("a", 30)
    cast.part(first).may_plan.clear()
    second = cast.ask("b")
    until(lambda: cast.runners[0].pid > 0)
    assert queue.waiting == [second]
    cast.part(first).may_plan.set()
    cast.runs(second)
    runner = cast.part(second).runner
    assert runner and [each.host_bytes for each in runner.beside] == [30]
    assert [each.pid for each in runner.beside] == [cast.runners[0].pid]
    assert [each.host_bytes for each in cast.runners[0].beside] == [10], "the first is told of it as well"


def test_one_that_does_not_fit_waits_for_room_and_then_runs(cast: Cast) -> None:
    queue = cast.open(2)
    first, large, small = cast.ask("first", 60), cast.ask("large", 50), cast.ask("small", 10)
    until(lambda: cast.part(large).refused == 1)
    cast.runs(first)
    until(lambda: queue.running == [first])
    assert queue.waiting == [large, small], "its turn is not lost, and nobody overtakes it"
    told = large.journal.last_state()
    assert isinstance(told, events.Queued) and told.waits_for == "room" and queue.state(large) == "queued"
    assert queue.expected_wait(large) is None, (
        "nothing is known of the job that runs; the free place is of no use"
    )
    assert cast.ends(first) == "done"
    cast.runs(large, small)
    assert cast.ends(large, small) == "done"
    assert cast.part(large).refused == 1, "it was not tried again before there was a reason"


def test_what_is_kept_warm_is_given_up_for_one_that_would_not_fit(cast: Cast) -> None:
    cast.open(2)
    first, second = cast.ask("a"), cast.ask("b")
    cast.runs(first, second)
    cast.ends(first, second)
    until(lambda: not cast.queue.running)
    cast.warm_bytes = 60
    large = cast.ask("large", 50)
    cast.runs(large)
    assert cast.part(large).refused == 1 and sorted(runner.freed for runner in cast.runners) == [0, 1]
    assert cast.ends(large) == "done"


def test_the_death_of_one_worker_does_not_touch_the_other(cast: Cast) -> None:
    queue = cast.open(2)
    first, second = cast.ask("a"), cast.ask("b")
    cast.part(first).deaths = ["was killed by signal 9"]
    cast.runs(first, second)
    pid = cast.part(second).runner.pid
    cast.part(first).may_end.set()
    assert [event.type for event in queue.listen(first)].count("warning") == 1
    until(lambda: queue.running == [second])
    assert cast.part(second).runner.pid == pid
    assert cast.ends(second) == "done"
    assert not any(isinstance(event, events.Warned) for event, _ in second.journal.read())
    assert queue.counters.restarts == 1


def test_one_of_two_is_cancelled(cast: Cast) -> None:
    queue = cast.open(2)
    first, second = cast.ask("a"), cast.ask("b")
    cast.runs(first, second)
    queue.stop(first)
    assert cast.ends(first) == "cancelled" and cast.ends(second) == "done"


def test_one_that_is_cancelled_while_it_turns_out_not_to_fit_does_not_wait(cast: Cast) -> None:
    queue = cast.open(2)
    first, large = cast.ask("a", 60), cast.ask("b", 60)
    cast.part(large).may_plan.clear()
    cast.runs(first)
    until(lambda: large in queue.running)
    queue.stop(large)
    cast.part(large).may_plan.set()
    assert [event.type for event in queue.listen(large)][-1] == "cancelled"
    assert queue.waiting == [] and cast.ends(first) == "done"


def test_closing_stops_both_and_they_can_be_resumed(cast: Cast) -> None:
    queue = cast.open(2)
    jobs = [cast.ask(name) for name in "abc"]
    cast.runs(*jobs[:2])
    queue.close()
    assert [job.state() for job in jobs[:2]] == ["paused", "paused"] and not cast.part(jobs[2]).runs.is_set()
    assert all(not thread.is_alive() for thread in queue._threads)
    assert all(runner.stopped.is_set() for runner in cast.runners)


def test_workers_are_freed_only_while_nothing_runs(cast: Cast) -> None:
    queue = cast.open(2)
    first, second = cast.ask("a"), cast.ask("b")
    cast.runs(first, second)
    cast.ends(first, second)
    until(lambda: not queue.running)
    assert [worker.state for worker in queue.workers] == ["warm", "warm"]
    queue.free_worker()
    assert [worker.state for worker in queue.workers] == ["none", "none"]


def test_visitors_share_the_places(cast: Cast) -> None:
    queue = cast.open(2)
    mine = [cast.ask(f"a{number}", visitor="ann") for number in range(4)]
    cast.runs(*mine[:2])
    other = cast.ask("b", visitor="bob")
    assert queue.waiting == [other, *mine[2:]]
    told = [mine[2].journal.last_state(), other.journal.last_state()]
    assert [event.position for event in told if isinstance(event, events.Queued)] == [1, 0], "told at once"
    cast.ends(mine[0])
    cast.runs(other)
    cast.ends(mine[1])
    cast.runs(mine[2])
    assert set(queue.running) == {other, mine[2]}


# -- GPUs ----------------------------------------------------------------------------------------------------


def test_each_gpu_has_a_place_and_its_worker_sees_no_other(cast: Cast) -> None:
    queue = cast.open("auto", gpus=3)  # type: ignore[arg-type]
    jobs = [cast.ask(name) for name in "abc"]
    cast.runs(*jobs)
    assert queue.at_once == 3
    slots = [cast.part(job).runner.slots[-1] for job in jobs]
    assert [slot.device for slot in slots] == ["cuda:0", "cuda:1", "cuda:2"]
    assert dict(slots[2].environment) == {"CUDA_VISIBLE_DEVICES": "GPU-2"}


def test_who_asks_for_a_gpu_has_that_one_and_the_others_make_room(cast: Cast) -> None:
    cast.open(2, gpus=2)
    asked = cast.ask("a", device="cuda:0")
    cast.runs(asked)
    other = cast.ask("b")
    cast.runs(other)
    assert cast.part(asked).runner.slots == [Slot("cuda:0")], "by its own number, among all"
    assert cast.part(other).runner.slots[-1].device == "cuda:1"


@pytest.mark.parametrize(("gpus", "count"), [(0, 1), (1, 1), (2, 2)])
def test_auto_is_one_for_each_gpu(cast: Cast, gpus: int, count: int) -> None:
    assert len(Places.of("auto", cast.make, machine(gpus))) == count


def test_a_gpu_of_another_kind_would_make_other_bytes(cast: Cast) -> None:
    places = Places.of("auto", cast.make, machine(3, ["L4", "T4", "L4"]))
    assert [slot.device for slot in places._gpus] == ["cuda:0", "cuda:2"]


@pytest.mark.parametrize("same", [True, False])
def test_memory_of_another_gpu_is_not_shared(cast: Cast, same: bool) -> None:
    places = Places([cast.make(), cast.make()], () if same else places_of(2))
    first, second = places.all
    for place, name in ((first, "a"), (second, "b")):
        ticket = Ticket(Job(Path("/nowhere") / name), "score", name, 1)
        places.begin(place, ticket)
        places.hear(place, events.Started(job=name, worker_pid=7))
        places.hear(place, planned(ticket.job, 5, device=40))
        places.hear(place, memory(name, device=30))
    (beside,) = places.beside(first)
    assert beside == Neighbour(
        pid=7, host_bytes=5, device_bytes=40 if same else 0, device_held_bytes=30 if same else 0
    )


def places_of(count: int) -> tuple[Slot, ...]:
    return tuple(Slot(f"cuda:{number}") for number in range(count))


def memory(job: str, device: int) -> events.Memory:
    return events.Memory(
        job=job,
        host_bytes=0,
        host_peak_bytes=0,
        host_available_bytes=0,
        device_bytes=device,
        device_peak_bytes=device,
    )


def test_a_plan_that_cannot_be_keeps_nobody_from_anything(cast: Cast) -> None:
    places = Places([cast.make(), cast.make()])
    place = places.all[0]
    ticket = Ticket(Job(Path("/nowhere/a")), "score", "a", 1)
    places.begin(place, ticket)
    assert not places.hear(place, planned(ticket.job, 10**12).model_copy(update={"risk": "cannot"}))
    assert place.planned is None
