"""A run over its workers: one journal, the same spans, whoever dies, hangs, starts badly or has to go."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from memory.ladder import LimitPassed
from memory.meter import tree_bytes
from memory.plan import Load
from memory.units import GIB
from pipelines.errors import DamagedVideo, InputChanged, NoWorker, Sentence, WorkerDied
from pipelines.jobs import events
from pipelines.runtime.crew import (
    PATIENT,
    Compute,
    Hiring,
    Idle,
    Less,
    Lost,
    Open,
    Order,
    Ready,
    Said,
    Until,
    Waiting,
)
from pipelines.runtime.crew_run import CrewRun, Stopped
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.reporter import Reporter
from pipelines.runtime.run import run_job
from pipelines.spans import Span, split

from ..conftest import Bench

SPANS = split(Span(0, 60), 10)


class FakeCrew:
    """Members that publish one span each time they are asked for news, or do what `acts` says of their number."""

    def __init__(self, bench: Bench, acts: dict[int, str] | None = None) -> None:
        self.bench, self.acts = bench, acts or {}
        self.clock = 0.0
        self.hired = 0
        self.orders: dict[int, deque[Span]] = {}
        self.numbers: dict[int, int] = {}
        self.alive: set[int] = set()
        self.killed: list[int] = []
        self.told: list[tuple[int, Order]] = []
        self.news: list[tuple[int, Said]] = []
        self.published: list[tuple[int, Span]] = []
        self.closed: list[str] = []
        self.when_asked: Callable[[], object] = lambda: None
        self.joined = 99

    def hire(self) -> int | None:
        if self.hired >= self.joined:
            return None
        self.hired += 1
        self.alive.add(self.hired)
        return self.hired

    def device(self, member: int) -> str:
        return "cpu"

    def tell(self, member: int, order: Order) -> None:
        self.told.append((member, order))
        act = self.acts.get(member, "work")
        match order:
            case Open():
                answers: dict[str, Said] = {
                    "stillborn": Lost("ended with exit status 1"),
                    "goes": Lost("was given no place", counts=False),
                }
                self.news.append((member, answers.get(act, Ready())))
            case Compute():
                self.numbers[member] = order.number
                self.orders[member] = deque(Span(*pair) for pair in order.spans)
            case Until():
                if order.number == self.numbers.get(member):
                    self.orders[member] = deque(s for s in self.orders[member] if s.start < order.frame)
            case _:
                pass

    def poll(self, timeout_seconds: float) -> Iterator[tuple[int, Said]]:
        self.clock += 0.5
        self.when_asked()
        news, self.news = self.news, []
        yield from news
        for member in sorted(self.alive & self.orders.keys()):
            yield from self._step(member)

    def _step(self, member: int) -> Iterator[tuple[int, Said]]:
        act, left, job = self.acts.get(member, "work"), self.orders[member], self.bench.job.id
        if act == "silent":
            return
        if act == "leaves":
            self.alive.discard(member)
            del self.orders[member]
            yield member, Lost("was asked to leave", counts=False)
            return
        if act == "dies":
            self.alive.discard(member)
            del self.orders[member]
            yield member, Lost("was killed by signal 9")
        elif act == "fails":
            yield member, events.Failed.of(job, DamagedVideo("Frame 3 is damaged.", "Use --salvage."))
        elif left:
            span = left.popleft()
            self.published.append((member, span))
            path = self.bench.job.folder / f"segments/{span.name}.txt"
            yield member, events.Segment(job=job, start=span.start, stop=span.stop, path=path)
        else:
            del self.orders[member]
            yield member, Idle(number=self.numbers[member])

    def kill(self, member: int) -> None:
        self.killed.append(member)
        self.alive.discard(member)

    def close(self, *, at_once: bool = False) -> None:
        self.alive.clear()
        self.closed.append("at once" if at_once else "at the next frame")


def compute(
    bench: Bench,
    crew: FakeCrew,
    wanted: int = 2,
    look: Callable[[], None] = lambda: None,
    check_inputs: Callable[[], None] = lambda: None,
    joins: bool = False,
    waiting: Waiting = PATIENT,
    halo: int = 0,
) -> list[events.Event]:
    """Compute the stage; the events that the journal has of it."""
    log = EventLog(bench.job)
    opening = Open(folder=bench.job.folder, plan={})
    run = CrewRun(
        bench.job,
        crew,
        wanted,
        opening,
        Reporter(bench.job, log),
        log,
        look=look,
        check_inputs=check_inputs,
        joins=joins,
        waiting=waiting,
        now=lambda: crew.clock,
    )
    finished: set[Span] = set()
    run.run_stage(bench.stage, SPANS, finished, halo)
    assert finished == set(SPANS)
    return [event for event, _ in bench.job.journal.read()]


def of(heard: list[events.Event], kind: type) -> list:
    return [event for event in heard if isinstance(event, kind)]


def test_every_span_is_recorded_once_with_its_worker(bench: Bench) -> None:
    crew = FakeCrew(bench)
    told = of(compute(bench, crew), events.Segment)
    assert sorted(Span(e.start, e.stop) for e in told) == SPANS
    assert {e.worker for e in told} == {1, 2}
    assert crew.hired == 2


def test_no_more_are_hired_than_there_is_work_for(bench: Bench) -> None:
    crew = FakeCrew(bench)
    compute(bench, crew, wanted=40)
    assert crew.hired == len(SPANS)


def test_what_walks_in_order_is_given_to_one(bench: Bench) -> None:
    bench.stage.in_order = True
    crew = FakeCrew(bench)
    compute(bench, crew)
    assert crew.hired == 1 and [span for _, span in crew.published] == SPANS


def test_a_lost_worker_is_replaced_and_told_of(bench: Bench) -> None:
    crew = FakeCrew(bench, {1: "dies"})
    heard = compute(bench, crew)
    (warning,) = of(heard, events.Warned)
    assert (warning.code, warning.key, dict(warning.values)) == ("worker_died", "member_lost", {"worker": 1})
    assert crew.hired == 3


def test_a_lost_worker_is_told_of_until_its_replacement_has_started(bench: Bench) -> None:
    told = of(compute(bench, FakeCrew(bench, {1: "dies"})), events.Crewed)
    lost = [{each.worker: each.how for each in crew.lost} for crew in told]
    first = next(index for index, each in enumerate(lost) if each)
    assert lost[first] == {1: "was killed by signal 9"}
    hired = next(index for index, crew in enumerate(told) if any(m.worker == 3 for m in crew.members))
    starting = next(member for member in told[hired].members if member.worker == 3)
    assert (starting.state, lost[hired]) == ("starting", lost[first]), "it cannot compute yet"
    assert not any(lost[hired + 1 :]) and told[-1].members[-1].worker == 3


def test_the_crew_is_told_of_when_it_changes_and_an_idle_worker_too(bench: Bench) -> None:
    bench.stage.in_order = True
    crew = FakeCrew(bench)
    told = of(compute(bench, crew), events.Crewed)
    states = [[(member.worker, member.state) for member in each.members] for each in told]
    assert states == [[(1, "starting")], [(1, "busy")]]
    told = of(compute(bench, FakeCrew(bench)), events.Crewed)
    bare = [each.model_dump(exclude={"time", "open_spans"}) for each in told]
    assert all(one != other for one, other in pairwise(bare)), "nothing is told twice"


def test_three_workers_lost_at_one_span_end_the_job(bench: Bench) -> None:
    crew = FakeCrew(bench, dict.fromkeys(range(1, 20), "dies"))
    with pytest.raises(
        WorkerDied, match="The last of 3 workers that were lost at the same place was killed by signal 9"
    ):
        compute(bench, crew, wanted=1)
    assert crew.hired == 3


def test_workers_that_do_not_start_end_the_job(bench: Bench) -> None:
    crew = FakeCrew(bench, dict.fromkeys(range(1, 20), "stillborn"))
    with pytest.raises(WorkerDied, match="ended with exit status 1"):
        compute(bench, crew, wanted=1)
    assert crew.hired == 3


def test_the_error_of_a_worker_is_that_of_the_job(bench: Bench) -> None:
    with pytest.raises(DamagedVideo, match="Frame 3 is damaged"):
        compute(bench, FakeCrew(bench, {2: "fails"}))


def test_the_work_of_a_silent_worker_is_done_by_another_as_well(bench: Bench) -> None:
    crew = FakeCrew(bench, {1: "silent"})
    compute(bench, crew)
    assert crew.killed == [] and {member for member, _ in crew.published} == {2}
    assert (1, Until(number=crew.numbers[1], frame=0)) in crew.told, "what others did is not done again"


def test_a_worker_that_is_silent_for_too_long_is_replaced(bench: Bench) -> None:
    crew = FakeCrew(bench, {1: "silent"})
    heard = compute(bench, crew, wanted=1)
    assert crew.killed == [1] and crew.hired == 2
    assert "made no progress for 120 s and was replaced" in of(heard, events.Warned)[0].message


def raising(*errors: BaseException) -> Callable[[], None]:
    """Raise each, one at a time, after a few looks."""
    left, looks = list(errors), [0]

    def look() -> None:
        looks[0] += 1
        if left and looks[0] % 3 == 0:
            raise left.pop(0)

    return look


@pytest.mark.parametrize("error", [MemoryError("short"), LimitPassed("passed")])
def test_when_memory_is_short_one_worker_goes(bench: Bench, error: MemoryError) -> None:
    crew = FakeCrew(bench)
    heard = compute(bench, crew, look=raising(error))
    (step,) = of(heard, events.Degraded)
    assert (step.rung, step.change) == (
        "workers",
        "exact",
    ) and "goes on with 1 of its workers" in step.message
    assert len(crew.killed) == 1 and crew.hired == 2, "none is hired for it"


def test_the_last_worker_steps_down_by_itself(bench: Bench) -> None:
    crew = FakeCrew(bench)
    compute(bench, crew, wanted=1, look=raising(MemoryError("short")))
    assert [order for _, order in crew.told if isinstance(order, Less)] == [Less()]


def test_spans_of_changed_inputs_are_not_recorded(bench: Bench) -> None:
    def changed() -> None:
        raise InputChanged("clip.mp4 has changed.", "Start again.")

    with pytest.raises(InputChanged):
        compute(bench, FakeCrew(bench), check_inputs=changed)
    assert not of([event for event, _ in bench.job.journal.read()], events.Segment)


# -- members that come and go by themselves ------------------------------------------------------------------


def test_a_run_waits_for_somebody_to_join_and_says_so_once(bench: Bench) -> None:
    crew = FakeCrew(bench)
    crew.joined = 0

    def joins() -> None:
        crew.joined = int(crew.clock > 3)

    crew.when_asked = joins
    heard = compute(bench, crew, wanted=0, joins=True)
    (warning,) = of(heard, events.Warned)
    assert (warning.code, warning.key) == ("workers", "nobody_joined")
    crews = of(heard, events.Crewed)
    assert crews[0].members == () and crews[0].wanted == 1
    assert {span for _, span in crew.published} == set(SPANS)


def test_a_run_says_in_the_words_of_its_crew_that_it_waits_and_not_for_ever(bench: Bench) -> None:
    crew = FakeCrew(bench)
    crew.joined = 0
    with pytest.raises(NoWorker) as raised:
        compute(bench, crew, joins=True, waiting=Waiting(Sentence("Nobody is free.", "nobody_free"), 30))
    assert 30 <= crew.clock < 31
    assert (raised.value.key, raised.value.values) == ("worker.none", {"waited_seconds": 30})
    (warning,) = of([event for event, _ in bench.job.journal.read()], events.Warned)
    assert (warning.message, warning.key) == ("Nobody is free.", "nobody_free")


def test_one_that_comes_in_time_ends_the_waiting(bench: Bench) -> None:
    crew = FakeCrew(bench)
    crew.joined = 0

    def joins() -> None:
        crew.joined = int(crew.clock > 29)

    crew.when_asked = joins
    compute(bench, crew, wanted=0, joins=True, waiting=Waiting(most_seconds=30))
    assert {span for _, span in crew.published} == set(SPANS)


def test_those_that_only_start_and_go_do_not_make_a_run_wait_longer(bench: Bench) -> None:
    """A cluster whose places others have gives a place again and again, and takes it back."""
    crew = FakeCrew(bench, acts=dict.fromkeys(range(1, 99), "goes"))
    crew.joined = 0

    def gives() -> None:
        crew.joined = crew.hired + int(crew.clock % 2 == 0)

    crew.when_asked = gives
    with pytest.raises(NoWorker):
        compute(bench, crew, wanted=1, joins=True, waiting=Waiting(most_seconds=30))
    assert crew.hired > 10


def test_a_run_that_waits_can_be_cancelled(bench: Bench) -> None:
    class Cancelled(Exception):
        pass

    crew = FakeCrew(bench)
    crew.joined = 0
    with pytest.raises(Cancelled):
        compute(bench, crew, look=raising(Cancelled()), joins=True)


def test_a_run_that_waits_is_alive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own process would be replaced otherwise."""
    crew, beats = FakeCrew(bench), []
    crew.joined = 0

    def beat(self: Reporter) -> None:
        beats.append(crew.clock)
        crew.joined = int(len(beats) == 5)

    monkeypatch.setattr(Reporter, "beat", beat)
    compute(bench, crew, joins=True)
    assert len(beats) == 5


def test_all_that_join_are_used_where_no_number_is_given(bench: Bench) -> None:
    crew = FakeCrew(bench)
    crew.joined = 3
    heard = compute(bench, crew, wanted=0, joins=True)
    assert {member for member, _ in crew.published} == {1, 2, 3}
    assert of(heard, events.Crewed)[-1].wanted == 3


def test_no_more_are_taken_than_are_wanted(bench: Bench) -> None:
    crew = FakeCrew(bench)
    compute(bench, crew, wanted=2, joins=True)
    assert crew.hired == 2


def test_one_that_joins_later_takes_from_the_others(bench: Bench) -> None:
    crew = FakeCrew(bench)
    crew.joined = 1

    def joins() -> None:
        crew.joined = 1 + (crew.clock > 1)

    crew.when_asked = joins
    compute(bench, crew, wanted=0, joins=True)
    assert {member for member, _ in crew.published} == {1, 2}


def test_members_that_leave_by_themselves_end_no_job(bench: Bench) -> None:
    """However many: machines that are taken back are no fault of the spans."""
    crew = FakeCrew(bench, dict.fromkeys(range(1, 6), "leaves"))
    heard = compute(bench, crew, wanted=1, joins=True)
    assert len(of(heard, events.Warned)) == 5
    assert {member for member, _ in crew.published} == {6}


def test_the_memory_of_the_run_is_not_that_of_those_who_join(bench: Bench) -> None:
    crew = FakeCrew(bench)
    heard = compute(bench, crew, look=raising(MemoryError("short")), joins=True)
    assert not crew.killed and not of(heard, events.Degraded)
    assert not [order for _, order in crew.told if isinstance(order, Less)]


# -- whole runs ----------------------------------------------------------------------------------------------


def run_whole(bench: Bench, crew: FakeCrew, workers: int, **more: Any) -> list[events.Event]:
    """Run the job with at most so many workers; its events."""
    run_job(bench.job, hiring=Hiring(workers, lambda request: crew), **more)
    return [event for event, _ in bench.job.journal.read()]


def limited(bench: Bench, gib: float) -> None:
    record = bench.job.record()
    bench.job.save(record.model_copy(update={"asked": {**record.asked, "ram_limit_gb": gib}}))


def test_what_workers_say_that_they_published_is_verified(bench: Bench) -> None:
    """These wrote nothing: the run finds that out before it joins, and computes it."""
    crew = FakeCrew(bench)
    heard = run_whole(bench, crew, 2)
    assert len(crew.published) == 4 and crew.closed == ["at the next frame"]
    assert heard[-1].type == "done" and bench.result() == [i * i for i in range(35)]
    (planned,) = of(heard, events.Planned)
    assert planned.reason.startswith("2 workers, each: windows of 8 frames")
    assert planned.predicted_host_bytes > 4 * GIB, "two of 2 GiB, and the run itself"


def test_spans_that_cost_more_beside_them_than_they_save_are_not_shared(bench: Bench) -> None:
    bench.stage.frames_beside = 35
    crew = FakeCrew(bench)
    run_whole(bench, crew, 2)
    assert {member for member, _ in crew.published} == {1} and len(crew.published) == 4


def test_fewer_workers_than_asked_for_are_told(bench: Bench) -> None:
    limited(bench, 3)
    crew = FakeCrew(bench)
    heard = run_whole(bench, crew, 3)
    (warning,) = of(heard, events.Warned)
    assert (warning.key, dict(warning.values)) == ("workers_fit", {"count": 1, "wanted": 3})
    assert crew.hired == 0 and heard[-1].type == "done"


def test_where_there_is_one_slot_a_worker_for_each_is_the_run_itself(bench: Bench) -> None:
    crew = FakeCrew(bench)
    assert run_whole(bench, crew, 0)[-1].type == "done"
    assert crew.hired == 0


def test_workers_end_at_once_before_the_limit_is_passed(bench: Bench) -> None:
    bench.pipeline.load = Load(fixed=1)
    held = sum(tree_bytes(os.getpid()).values())
    limited(bench, 2 * held / GIB)
    crew, left, taken, closed = FakeCrew(bench), threading.Event(), [b""], []

    def grow() -> None:
        taken[0] = b"x" * (2 * held)
        left.wait(100)

    def leave() -> None:
        closed.extend(crew.closed)
        left.set()

    crew.when_asked = grow
    heard = run_whole(bench, crew, 2, leave=leave)
    assert closed == ["at once"]
    assert next(event for event in heard if isinstance(event, events.Failed)).code == "not_enough_memory"


def test_those_who_join_compute_a_lone_span_too(bench: Bench) -> None:
    """The process that leads them may be on a small machine: it waits for them instead."""
    record = bench.job.record()
    bench.job.save(record.model_copy(update={"asked": {**record.asked, "end": 0.4}}))
    crew = FakeCrew(bench)
    run_job(bench.job, hiring=Hiring(0, lambda request: crew, joins=True))
    assert [span for _, span in crew.published] == [Span(0, 10)]


def test_the_crew_tells_how_many_spans_are_open(bench: Bench) -> None:
    counts = [each.open_spans for each in of(compute(bench, FakeCrew(bench)), events.Crewed)]
    assert counts[0] == len(SPANS) and counts == sorted(counts, reverse=True)


def test_a_member_that_cannot_go_on_for_now_pauses_the_job(bench: Bench) -> None:
    crew = FakeCrew(bench)
    paused = events.Paused(job=bench.job.id, key="paused.quota")
    crew.when_asked = lambda: crew.published and crew.news.append((1, paused))
    with pytest.raises(Stopped) as stopped:
        compute(bench, crew)
    assert stopped.value.ending == paused


def test_orders_tell_the_halo(bench: Bench) -> None:
    crew = FakeCrew(bench)
    compute(bench, crew, halo=5)
    assert {order.halo for _, order in crew.told if isinstance(order, Compute)} == {5}
