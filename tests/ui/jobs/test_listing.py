"""The list of a visitor's jobs: only their own are seen, moved and removed, and others lose nothing by it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.engines.availability import resolve
from pipelines.errors import BadInput, Forbidden
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from ui.jobs.service import JobService
from ui.server.policy import Policy
from ui.server.visitors import Visitor, add_owner, drop_owner

ANN, BOB = Visitor("ann", "ann"), Visitor("bob", "bob")


@pytest.fixture
def queue(
    make_queue: Callable[..., JobQueue], endless: Callable[[Job], Iterator[Event]], clip: Path
) -> Iterator[JobQueue]:
    """One that is busy with a job of nobody."""
    queue = make_queue(endless)
    queue.submit("score", clip, ScoreSettings(start=0.9))
    yield queue
    for job in queue.running:
        queue.stop(job)


@pytest.fixture
def service(queue: JobQueue) -> Iterator[JobService]:
    service = JobService(queue, Policy.public(), grace_seconds=0)
    yield service
    service.presence.close()


@pytest.fixture
def jobs(queue: JobQueue, clip: Path, until: Callable[[Callable[[], bool]], None]) -> dict[str, Job]:
    """Jobs that wait, in this order: two of Ann with one of Bob between them, one of both, one more of Ann."""
    found: dict[str, Job] = {}
    for number, (name, whose) in enumerate({"a": "a", "b": "b", "c": "a", "ab": "ab", "d": "a"}.items()):
        found[name] = queue.submit("score", clip, ScoreSettings(start=number / 10))
        for each in whose:
            add_owner(found[name], ANN if each == "a" else BOB)
    until(lambda: queue.running and len(queue.waiting) == len(found))
    return found


def order(queue: JobQueue, jobs: dict[str, Job]) -> list[str]:
    return [name for job in queue.waiting for name, each in jobs.items() if each == job]


def test_a_visitor_sees_only_their_jobs_and_which_may_be_moved(
    service: JobService, jobs: dict[str, Job]
) -> None:
    ids = {job.id: name for name, job in jobs.items()}
    seen = {ids[entry.job]: entry.movable for entry in service.jobs(BOB)}
    assert seen == {"b": True, "ab": False}
    assert {ids[entry.job] for entry in service.jobs(ANN)} == {"a", "c", "ab", "d"}


def test_a_job_that_is_deleted_while_the_list_is_made_is_not_in_it(
    service: JobService, queue: JobQueue, jobs: dict[str, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Job(queue.jobs_dir / "0123456789abcdef")
    found = [*Job.all(queue.jobs_dir), gone]
    monkeypatch.setattr(Job, "all", lambda _: found)
    monkeypatch.setattr("ui.jobs.listing.owners", lambda _: {"ann"})  # it was there a moment ago
    assert {entry.job for entry in service.jobs(ANN)} == {job.id for job in found} - {gone.id}
    (jobs["a"].folder / "job.json").write_text("[")
    with pytest.raises(BadInput, match="no readable job"):
        service.jobs(ANN)


def test_a_visitor_moves_only_their_own_jobs_and_only_past_their_own(
    service: JobService, queue: JobQueue, jobs: dict[str, Job]
) -> None:
    service.list.move(ANN, jobs["d"], -2)
    assert order(queue, jobs) == ["d", "b", "a", "ab", "c"]
    service.list.move(BOB, jobs["b"], -5)
    assert order(queue, jobs) == ["d", "b", "a", "ab", "c"]
    for job in (jobs["ab"], jobs["b"]):
        with pytest.raises(Forbidden):
            service.list.move(ANN, job, -1)
    assert order(queue, jobs) == ["d", "b", "a", "ab", "c"]


def test_what_waits_is_removed_unless_somebody_else_asked_for_it_too(
    service: JobService, queue: JobQueue, jobs: dict[str, Job]
) -> None:
    service.remove(ANN, jobs["c"])
    assert not jobs["c"].exists()
    service.remove(ANN, jobs["ab"])
    assert jobs["ab"] in queue.waiting, "Bob still waits for it"
    assert jobs["ab"].id not in {entry.job for entry in service.jobs(ANN)}
    assert queue.running
    add_owner(queue.running[0], ANN)
    with pytest.raises(BadInput, match="waiting or running"):
        service.remove(ANN, queue.running[0])
    assert queue.running[0].requested() is None
    drop_owner(queue.running[0], ANN)
    assert order(queue, jobs) == ["a", "b", "ab", "d"]


@pytest.mark.parametrize(("policy", "order_"), [(Policy.public(), "abcd"), (Policy(), "acdb")])
def test_visitors_take_turns_and_the_person_at_this_machine_is_one(
    queue: JobQueue, clip: Path, policy: Policy, order_: str
) -> None:
    service = JobService(queue, policy.changed(max_jobs_per_visitor=9), grace_seconds=0)
    found = {}
    for number, (name, who) in enumerate({"a": ANN, "c": ANN, "d": ANN, "b": BOB}.items()):
        asked = resolve("score", ScoreSettings(start=number / 10))
        found[name] = service._submit(who, "score", [clip], asked)
    assert "".join(order(queue, found)) == order_
    service.presence.close()
