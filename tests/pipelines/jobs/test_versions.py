"""Versions of results and uploads: they go with the last job that needs them, and never with another's."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.jobs import events, versions
from pipelines.jobs.job import Job
from pipelines.scheduler.janitor import Janitor
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import CopySettings
from pipelines.workers.runner import WorkerState


class Waits:
    """A runner that runs one job after another, each until it is asked to stop."""

    def __init__(self) -> None:
        self.worker = WorkerState()

    def run(self, job: Job, hear: Callable[[events.Event], None]) -> None:
        with job.runner():
            job.journal.append(events.Started(job=job.id, worker_pid=1))
            while job.requested() is None:
                time.sleep(0.01)
            job.journal.append(events.CancelledEvent(job=job.id))

    def let_go(self) -> None:
        pass


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(tmp_path / "jobs", runner=Waits())
    yield queue
    queue.close()


@pytest.fixture
def made(tmp_path: Path, queue: JobQueue) -> Callable[..., Job]:
    """A job of a file of these contents, which is done unless it is `open`."""

    def make(contents: str, *, open: bool = False, **settings: object) -> Job:
        path = tmp_path / f"{contents}.mp4"
        path.write_text(contents)
        job = Job.create(queue.jobs_dir, "copy", (path,), CopySettings(**settings), 1)
        if not open:
            job.journal.append(events.Done(job=job.id, outputs=events.Outputs()))
        return job

    return make


def test_a_version_of_a_result_goes_with_the_last_job_that_has_it(
    queue: JobQueue, made: Callable[..., Job]
) -> None:
    one, two, other, version = (made(name) for name in ("one", "two", "other", "version"))
    for job in (one, two, one):
        versions.note(version, job.id)
    assert versions.is_version(version) and not versions.is_version(one)
    assert [versions.versions(queue.jobs_dir, each.id) for each in (one, two, other)] == [[version]] * 2 + [
        []
    ]
    queue.delete(other)
    queue.delete(one)
    assert version.exists()
    queue.delete(two)
    assert not version.exists()


def test_a_version_of_an_upload_goes_with_the_last_job_that_reads_it(
    queue: JobQueue, made: Callable[..., Job]
) -> None:
    one, two, version = made("clip", crf=1), made("clip", crf=2), made("clip", crf=3)
    unused = made("new", crf=3)
    versions.note(version, one.record().inputs[0].fingerprint)
    versions.note(unused, unused.record().inputs[0].fingerprint)
    queue.delete(one)
    assert version.exists()
    queue.delete(two)
    assert not version.exists()
    assert unused.exists(), "its upload has no job yet"
    Janitor(queue, None).tidy()
    assert unused.exists(), "it is young"
    later = time.time() + 3601
    Janitor(queue, None, clock=lambda: later).tidy()
    assert not unused.exists(), "nor has it got one within an hour"


def test_a_version_that_runs_is_stopped_and_goes_when_it_has_ended(
    queue: JobQueue, made: Callable[..., Job]
) -> None:
    source, version = made("source"), made("version", open=True)
    versions.note(version, source.id)
    queue.start(version)
    heard = queue.listen(version)
    assert any(event.type == "started" for event in heard)
    ended = threading.Event()
    queue.after_each(lambda job: ended.set())
    queue.delete(source)
    assert ended.wait(60) and not version.exists()
