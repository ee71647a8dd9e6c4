"""A run beside others: what they have planned is not planned again, and a limit holds for all together."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from memory.budget import within_limit
from memory.meter import Reading
from memory.plan import Load
from memory.units import GIB, MIB
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.memory_watch import MemoryWatch
from pipelines.runtime.neighbours import Neighbour, Neighbours, Taken
from pipelines.runtime.planning import prepare
from pipelines.runtime.run import run_job
from pipelines.settings import ScoreSettings
from pipelines.spec import task_spec

from ..conftest import Bench


@pytest.fixture
def other() -> Iterator[int]:
    """A process that holds 60 MiB."""
    code = f"held = bytearray({60 * MIB}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        process.communicate(b"\n")


def limited(bench: Bench, limit_gb: float, planned_gb: float = 2) -> Job:
    bench.pipeline.load = Load(fixed=planned_gb * GIB)
    settings = ScoreSettings(engine="builtin", ram_limit_gb=limit_gb)
    version = task_spec("score").result_version
    return Job.create(bench.job.folder.parent, "score", (bench.clip,), settings, version)


def beside(*neighbours: Neighbour) -> Neighbours:
    found = Neighbours()
    found.meet(neighbours)
    return found


def heard(job: Job, neighbours: Neighbours | None = None) -> list[events.Event]:
    told: list[events.Event] = []
    job.journal.append(events.Queued(job=job.id, task="score", name="clip"))
    run_job(job, echo=told.append, neighbours=neighbours)
    return told


def states(told: list[events.Event]) -> list[str]:
    return [each.type for each in told if isinstance(each, (events.Queued, events.Planned, *events.ENDINGS))]


def test_a_run_that_does_not_fit_beside_another_is_given_back_and_then_runs(bench: Bench, other: int) -> None:
    job = limited(bench, 4)
    told = heard(job, beside(Neighbour(pid=other, host_bytes=2 * GIB)))
    assert states(told) == ["queued"] and told[-1].waits_for == "room"
    assert not bench.stage.computed and not job.journal.has_ended() and job.record().decision is None
    assert states(heard(job)) == ["planned", "done"]
    assert bench.result() == [frame * frame for frame in range(35)]


def test_a_run_that_fits_beside_another_runs_and_its_budget_is_what_is_left(bench: Bench, other: int) -> None:
    (planned,) = (
        event
        for event in heard(limited(bench, 4), beside(Neighbour(pid=other, host_bytes=GIB)))
        if isinstance(event, events.Planned)
    )
    assert planned.budget_host_bytes == within_limit(4 * GIB) - GIB
    assert planned.predicted_host_bytes == 2 * GIB


def test_what_a_resume_keeps_is_the_plan_of_the_job_alone(bench: Bench, other: int) -> None:
    job = limited(bench, 4)
    bench.pipeline.load = Load(fixed=GIB, per_window_frame=GIB / 4)
    told = heard(job, beside(Neighbour(pid=other, host_bytes=GIB + GIB // 2)))
    assert [each.window_frames for each in told if isinstance(each, events.Planned)] == [4]
    decision = job.record().decision
    assert decision and decision.plan["window_frames"] == 8


def test_what_another_holds_beyond_its_plan_counts(bench: Bench, other: int) -> None:
    planned_gb = (0.9 * 4 * GIB - 30 * MIB) / GIB
    assert states(heard(limited(bench, 4, planned_gb), beside(Neighbour(pid=other)))) == ["queued"]
    assert states(heard(limited(bench, 4, planned_gb - 0.1), beside(Neighbour(pid=other))))[-1] == "done"


def test_a_run_that_would_not_even_fit_alone_fails_at_once(bench: Bench, other: int) -> None:
    told = heard(limited(bench, 2), beside(Neighbour(pid=other, host_bytes=GIB)))
    assert states(told) == ["planned", "failed"] and told[-1].code == "not_enough_memory"


def test_a_limit_of_another_holds_for_both(bench: Bench, other: int) -> None:
    neighbour = Neighbour(pid=other, host_bytes=GIB, ram_limit_gb=3)
    assert states(heard(limited(bench, 8), beside(neighbour))) == ["queued"]
    roomy = neighbour.model_copy(update={"ram_limit_gb": 4})
    assert states(heard(limited(bench, 8), beside(roomy)))[-1] == "done"


def test_room_on_the_disk_is_not_planned_twice(bench: Bench, other: int) -> None:
    told = heard(limited(bench, 4), beside(Neighbour(pid=other, disk_bytes=10**18)))
    assert states(told) == ["queued"]


@pytest.mark.parametrize("network", [True, False])
def test_windows_become_smaller_only_where_the_result_stays(bench: Bench, network: bool) -> None:
    bench.pipeline.network = network
    bench.pipeline.load = Load(fixed=GIB, per_window_frame=GIB / 4)
    settings = ScoreSettings(engine="builtin", ram_limit_gb=4, device="cpu")
    alone = prepare("score", (bench.clip,), settings, bench.job.folder)
    assert alone.plan.window_frames == 8
    together = alone.beside(Taken(host_bytes=GIB + GIB // 2))
    assert (together.plan.window_frames if together else None) == (None if network else 4)


def test_what_is_taken_is_held_or_planned_and_the_page_counts_once(other: int) -> None:
    planned = beside(Neighbour(pid=other, host_bytes=GIB, device_bytes=5, device_held_bytes=7))
    taken = planned.taken(page_bytes=100 * MIB)
    assert taken.host_bytes == GIB - 100 * MIB and 60 * MIB < taken.held_host_bytes < 200 * MIB
    assert (taken.device_bytes, taken.held_device_bytes, planned.device_bytes) == (7, 7, 7)
    assert beside(Neighbour(pid=other)).taken(0).host_bytes == pytest.approx(
        taken.held_host_bytes, abs=20 * MIB
    )


# -- the limit, for all together -----------------------------------------------------------------------------


class Watched:
    """A watch over 1 GiB whose readings a test makes up."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, others: int) -> None:
        self.heard: list[events.Event] = []
        self.left = threading.Event()
        self.given_back = 0
        neighbours = beside(Neighbour(pid=1)) if others else Neighbours()
        monkeypatch.setattr(neighbours, "held_bytes", lambda: others)
        self.watch = MemoryWatch(
            bench.job, EventLog(bench.job, self.heard.append), 1, self.left.set, neighbours, self.give_back
        )
        self.watch.keep_below(1)
        self.watch.planned_bytes = 500 * MIB

    def give_back(self) -> None:
        assert not self.left.is_set()
        self.given_back += 1

    def holds(self, own_bytes: int) -> str:
        """What the watch makes of it that the job holds so much."""
        (limit,) = self.watch._meter._watches
        limit(Reading(0.0, own_bytes, 10 * GIB, 0))
        if self.left.is_set():
            return "waits" if self.given_back else "fails"
        try:
            self.watch.check()
        except MemoryError:
            return "shrinks"
        return "goes on"


def test_alone_the_limit_is_the_jobs_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Watched(bench, monkeypatch, 0).holds(900 * MIB) == "goes on"
    assert Watched(bench, monkeypatch, 0).holds(930 * MIB) == "shrinks"
    assert Watched(bench, monkeypatch, 0).holds(1010 * MIB) == "fails"


def test_together_those_act_that_hold_more_than_they_planned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Watched(bench, monkeypatch, 300 * MIB).holds(600 * MIB) == "goes on", "there is room"
    assert Watched(bench, monkeypatch, 400 * MIB).holds(530 * MIB) == "shrinks"
    assert Watched(bench, monkeypatch, 600 * MIB).holds(490 * MIB) == "goes on", "the other is at fault"
    watched = Watched(bench, monkeypatch, 400 * MIB)
    assert watched.holds(620 * MIB) == "waits", "alone it would fit"
    assert not any(isinstance(event, events.Failed) for event in watched.heard)


def test_processes_of_the_neighbours_are_not_the_jobs(bench: Bench, other: int) -> None:
    neighbours = Neighbours()
    with MemoryWatch(bench.job, EventLog(bench.job), os.getpid(), None, neighbours) as watch:
        assert other in watch._meter.tree.latest
        neighbours.meet([Neighbour(pid=other)])
        watch._meter.tree.read(exact=True)
        assert other not in watch._meter.tree.latest


def test_a_share_of_a_limited_device_follows_the_neighbours(
    bench: Bench, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[int, str]] = []
    monkeypatch.setattr("pipelines.runtime.run._LOOK_SECONDS", 0.0)
    monkeypatch.setattr(
        "pipelines.runtime.preparation.limit_device", lambda size, device: kept.append((size, device))
    )
    settings = ScoreSettings(engine="builtin", vram_limit_gb=8, device="cpu")
    job = Job.create(bench.job.folder.parent, "score", (bench.clip,), settings, 1)
    neighbours = beside(Neighbour(pid=other, device_bytes=3 * GIB))

    def leave(frame: int) -> None:
        if frame == 20:
            neighbours.meet([])

    bench.stage.before = leave
    assert states(heard(job, neighbours))[-1] == "done"
    assert [size for size, _ in kept] == [5 * GIB, 8 * GIB]
