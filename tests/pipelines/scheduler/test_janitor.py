"""Who goes first when the disk is full, who never goes, and that it is said."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory.units import KIB
from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.events import Event, Outputs
from pipelines.jobs.job import Job
from pipelines.jobs.trash import disk_bytes
from pipelines.scheduler.janitor import Janitor
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from pipelines.workers.runner import WorkerState

SIZE = 256 * KIB
"""What a job of the tests computes."""


class Holds:
    """A runner that is at its job until it is let go."""

    worker = WorkerState()

    def __init__(self) -> None:
        self.there, self.leave = threading.Event(), threading.Event()

    def run(self, job: Job, hear: Callable[[Event], None]) -> str | None:
        with job.runner():
            job.journal.append(events.Started(job=job.id, worker_pid=1))
            self.there.set()
            assert self.leave.wait(60)
            job.journal.append(events.CancelledEvent(job=job.id))
        return None

    def let_go(self) -> None:
        self.leave.set()


@pytest.fixture
def runner() -> Holds:
    return Holds()


@pytest.fixture
def queue(tmp_path: Path, runner: Holds) -> Iterator[JobQueue]:
    queue = JobQueue(tmp_path / "jobs", runner=runner)
    yield queue
    queue.close()


Make = Callable[..., Job]


@pytest.fixture
def make(queue: JobQueue, tmp_path: Path) -> Make:
    """Makes a job that computed `SIZE` bytes and then told `told`."""

    def made(name: str, *told: Event, upload: bool = False) -> Job:
        clip = (queue.jobs_dir / "uploads" / f"hash{name}" if upload else tmp_path) / f"{name}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        clip.write_bytes(name.encode() + (os.urandom(SIZE) if upload else b""))
        job = Job.create(queue.jobs_dir, "score", (clip,), ScoreSettings(), 1)
        (job.folder / "scores.csv").write_bytes(os.urandom(SIZE))
        for event in told:
            job.journal.append(event)
        return job

    return made


def done(seconds: float) -> Event:
    return events.Done(job="x", outputs=Outputs(), time=seconds)


def room_for(queue: JobQueue, jobs: float) -> int:
    """A limit that makes all but this many of the jobs there too much."""
    return disk_bytes([queue.jobs_dir]) - int((len(Job.all(queue.jobs_dir)) - jobs) * SIZE)


def later() -> float:
    return time.time() + 2 * 3600


def test_within_the_limit_nothing_goes(queue: JobQueue, make: Make) -> None:
    job = make("a", done(1))
    assert Janitor(queue, disk_bytes([queue.jobs_dir])).tidy() == []
    assert Janitor(queue, None, clock=later).tidy() == []
    assert job.exists()


def test_the_first_that_ended_goes_first_and_no_more_than_needed(queue: JobQueue, make: Make) -> None:
    jobs = [make(str(n), done(time)) for n, time in enumerate((30.0, 10.0, 20.0, 40.0))]
    janitor = Janitor(queue, room_for(queue, 2.5), clock=lambda: 99.0)
    (first, second) = janitor.tidy()
    assert [first.job, second.job] == [jobs[1].id, jobs[2].id]
    assert [first.name, second.name, first.time] == ["1.mp4", "2.mp4", 99.0]
    assert first.freed_bytes >= SIZE and second.freed_bytes >= SIZE
    assert janitor.notices == (first, second)
    assert disk_bytes([queue.jobs_dir]) <= room_for(queue, 2)
    assert janitor.tidy() == [], "it fits now"


def test_what_has_ended_goes_before_what_can_be_resumed(queue: JobQueue, make: Make) -> None:
    interrupted = make("interrupted", events.Started(job="x", worker_pid=1, time=2))
    paused = make("paused", events.Paused(job="x", time=1))
    cancelled = make("cancelled", events.CancelledEvent(job="x", time=50))
    failed = make("failed", events.Failed(job="x", code="x", message="x", time=40))
    finished = make("done", done(60))
    janitor = Janitor(queue, room_for(queue, 0))
    assert [n.job for n in janitor.tidy()] == [
        job.id for job in (failed, cancelled, finished, paused, interrupted)
    ]


def test_never_one_that_waits_or_runs(
    queue: JobQueue, runner: Holds, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    running, waiting, old = make("running"), make("waiting"), make("old", done(1))
    queue.start(running)
    assert runner.there.wait(60)
    queue.start(waiting)
    elsewhere = make("elsewhere", events.Started(job="x", worker_pid=1))
    janitor = Janitor(queue, 0)
    with elsewhere.runner():
        assert [n.job for n in janitor.tidy()] == [old.id]
        assert janitor.tidy() == []
    assert running.exists() and waiting.exists() and elsewhere.exists()
    assert "stays" not in caplog.text, "it is not even tried"
    said = [r for r in caplog.records if r.levelname == "WARNING"]
    assert len(said) == 1 and "no job is left to remove" in said[0].getMessage(), "once"


def test_it_complains_again_after_there_was_room(
    queue: JobQueue, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make("x", done(1))
    foreign = queue.jobs_dir / "clips-scores" / "table.csv"
    janitor = Janitor(queue, SIZE)
    for _ in range(2):
        foreign.parent.mkdir(exist_ok=True)
        foreign.write_bytes(os.urandom(2 * SIZE))
        janitor.tidy()
        assert foreign.exists(), "what is no job is not ours"
        foreign.unlink()
        janitor.tidy()
    assert sum(r.levelname == "WARNING" for r in caplog.records) == 2


def test_one_that_is_started_meanwhile_stays(
    queue: JobQueue, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make("first", done(1)), make("second", done(2))
    delete = queue.delete

    def started(job: Job) -> int:
        if job == first:
            raise BadInput("It runs.")
        return delete(job)

    monkeypatch.setattr(queue, "delete", started)
    assert [n.job for n in Janitor(queue, 0).tidy()] == [second.id]


def test_uploads_that_no_job_reads_go_after_an_hour_without_any_limit(queue: JobQueue, make: Make) -> None:
    job = make("read", done(1), upload=True)
    orphan = queue.jobs_dir / "uploads" / "hash" / "orphan.mp4"
    orphan.parent.mkdir()
    orphan.write_bytes(os.urandom(SIZE))
    assert Janitor(queue, None).tidy() == [] and orphan.exists(), "it may be about to be submitted"
    (notice,) = Janitor(queue, None, clock=later).tidy()
    assert (notice.job, notice.name) == ("", "orphan.mp4") and notice.freed_bytes >= SIZE
    assert not orphan.exists() and job.record().inputs[0].path.exists()


def test_the_upload_of_a_job_goes_with_it_and_is_counted(queue: JobQueue, make: Make) -> None:
    make("a", done(1), upload=True)
    make("b", done(2), upload=True)
    (notice,) = Janitor(queue, room_for(queue, 1)).tidy()
    assert notice.name == "a.mp4" and notice.freed_bytes >= 2 * SIZE


def looked_at(queue: JobQueue, *uploads: str) -> list[Path]:
    """What the page has drawn of uploads."""
    known = [f"hash{name}" for name in uploads]
    drawn = [
        queue.jobs_dir / "cache" / kind / folder / name
        for kind, folder, name in (
            ("stills", known[0], "00000007.jpg"),
            ("poses", known[0], "pose.jpg"),
            ("faces", f"{known[0]}-{known[-1]}", "faces.jpg"),
            ("faces", f"{known[-1]}-{known[0]}", "faces.json"),
        )
    ]
    for path in drawn:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(KIB))
    return drawn


def test_what_was_drawn_of_an_upload_goes_with_its_last_job(queue: JobQueue, make: Make) -> None:
    job, other = make("one", done(1), upload=True), make("two", done(2), upload=True)
    gone, stays = looked_at(queue, "one", "two"), looked_at(queue, "two", "three")
    queue.delete(job)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stays)
    assert other.exists()


def test_what_was_drawn_goes_when_nobody_has_looked_for_an_hour(queue: JobQueue) -> None:
    drawn = looked_at(queue, "one", "two")
    Janitor(queue, None).tidy()
    assert all(path.exists() for path in drawn)
    Janitor(queue, None, clock=lambda: time.time() + 3700).tidy()
    assert not any(path.exists() for path in drawn)


def test_what_was_served_an_hour_ago_goes_before_any_job(queue: JobQueue, make: Make) -> None:
    job = make("a", done(1), upload=True)
    copy = queue.jobs_dir / "cache" / "hash" / "clip.mp4"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(os.urandom(SIZE))
    limit = disk_bytes([queue.jobs_dir]) - SIZE
    assert Janitor(queue, disk_bytes([queue.jobs_dir]), clock=later).tidy() == [] and copy.exists()
    assert Janitor(queue, limit, clock=later).tidy() == []
    assert not copy.exists() and job.exists()


def test_an_upload_with_a_second_name_in_the_cache_is_counted_once(queue: JobQueue, make: Make) -> None:
    job = make("a", done(1), upload=True)
    before = disk_bytes([queue.jobs_dir])
    other = queue.jobs_dir / "cache" / "hash" / "a.mp4"
    other.parent.mkdir(parents=True)
    other.hardlink_to(job.record().inputs[0].path)
    assert disk_bytes([queue.jobs_dir]) - before < SIZE


def test_what_a_killed_delete_left_is_erased(queue: JobQueue, make: Make) -> None:
    job = make("a", done(1))
    left = queue.jobs_dir / ".trash" / "x"
    left.parent.mkdir()
    job.folder.rename(left)
    assert Janitor(queue, None).tidy() == []
    assert not left.exists()


def test_notices_are_bounded(queue: JobQueue) -> None:
    for number in range(120):
        orphan = queue.jobs_dir / "uploads" / f"{number:03}" / "x"
        orphan.parent.mkdir(parents=True)
        orphan.touch()
    janitor = Janitor(queue, None, clock=later)
    assert len(janitor.tidy()) == 120
    assert len(janitor.notices) == 100


class Told(Janitor):
    """A janitor that says when it has looked."""

    looked: threading.Semaphore
    wrong: Exception | None = None

    def tidy(self) -> list:
        try:
            if self.wrong:
                raise self.wrong
            return super().tidy()
        finally:
            self.looked.release()


@pytest.fixture
def watch(queue: JobQueue) -> Iterator[Callable[..., Told]]:
    made: list[Told] = []

    def start(max_bytes: int | None, period_seconds: float, wrong: Exception | None = None) -> Told:
        janitor = Told(queue, max_bytes, period_seconds)
        janitor.looked, janitor.wrong = threading.Semaphore(0), wrong
        janitor.start()
        made.append(janitor)
        return janitor

    yield start
    for janitor in made:
        janitor.close()
        assert not janitor._thread.is_alive()


def test_it_looks_at_start_and_after_each_job(queue: JobQueue, runner: Holds, make: Make, watch) -> None:
    old = make("old", done(1))
    janitor = watch(0, 3600)
    assert janitor.looked.acquire(timeout=300) and not old.exists()
    job = queue.start(make("new"))
    assert runner.there.wait(60) and job.exists()
    runner.leave.set()
    assert janitor.looked.acquire(timeout=300) and not job.exists()
    assert [n.name for n in janitor.notices] == ["old.mp4", "new.mp4"]


def test_it_looks_again_on_time_and_survives_what_goes_wrong(watch) -> None:
    janitor = watch(None, 0.01, OSError("the disk is away"))
    assert janitor.looked.acquire(timeout=300) and janitor.looked.acquire(timeout=300)


def test_a_janitor_that_never_started_can_be_closed(queue: JobQueue) -> None:
    Janitor(queue, None).close()


# -- what belongs to no job ----------------------------------------------------------------------------------


def leftover(queue: JobQueue, name: str, size: int = SIZE) -> Path:
    """Something in the page's cache that no job holds."""
    file = queue.jobs_dir / "cache" / name / "clip.mp4"
    file.parent.mkdir(parents=True)
    file.write_bytes(os.urandom(size))
    return file


def test_what_belongs_to_no_job_makes_no_job_go(queue: JobQueue, make: Make) -> None:
    job = make("a", done(1), upload=True)
    limit = disk_bytes([queue.jobs_dir]) + SIZE
    files = [leftover(queue, str(number)) for number in range(4)]
    orphan = queue.jobs_dir / "uploads" / "hash" / "orphan.mp4"
    orphan.parent.mkdir()
    orphan.write_bytes(os.urandom(SIZE))
    assert Janitor(queue, limit).tidy() == []
    assert job.exists() and orphan.exists() and all(file.exists() for file in files)


def test_what_belongs_to_no_job_is_spared_as_far_as_it_is_too_much(queue: JobQueue, make: Make) -> None:
    job = make("a", done(1))
    limit = disk_bytes([queue.jobs_dir]) + SIZE // 4
    file, asked = leftover(queue, "x"), []

    def spare(needed_bytes: int) -> int:
        asked.append(needed_bytes)
        file.unlink()
        return SIZE

    assert Janitor(queue, limit, spare=spare).tidy() == []
    assert len(asked) == 1 and SIZE // 2 < asked[0] < SIZE and job.exists()
    assert Janitor(queue, limit, spare=spare).tidy() == [] and len(asked) == 1, "it fits now"


def test_an_upload_that_is_still_served_counts_no_more_with_its_job(queue: JobQueue, make: Make) -> None:
    first, second = make("a", done(1), upload=True), make("b", done(2), upload=True)
    copy = queue.jobs_dir / "cache" / "hash" / "a.mp4"
    copy.parent.mkdir(parents=True)
    copy.hardlink_to(first.record().inputs[0].path)
    limit = disk_bytes([queue.jobs_dir]) - SIZE - SIZE // 2
    assert [n.job for n in Janitor(queue, limit).tidy()] == [first.id]
    assert second.exists() and copy.exists()


def test_old_jobs_leave_a_reserve_and_young_ones_need_not(queue: JobQueue, make: Make) -> None:
    now = time.time()
    old, older = make("old", done(now - 4000)), make("older", done(now - 5000))
    young = make("young", done(now - 60))
    limit = disk_bytes([queue.jobs_dir]) + SIZE // 2
    assert [n.job for n in Janitor(queue, limit, reserve_bytes=SIZE).tidy()] == [older.id]
    assert [n.job for n in Janitor(queue, limit, reserve_bytes=9 * SIZE).tidy()] == [old.id]
    assert young.exists()


def test_what_a_killed_upload_left_is_erased_after_an_hour(queue: JobQueue) -> None:
    part, folder = queue.jobs_dir / "cache" / "tmp12345", queue.jobs_dir / "cache" / "tmpfolder"
    folder.mkdir(parents=True)
    part.write_bytes(b"x")
    (folder / "file").touch()
    Janitor(queue, None).tidy()
    assert part.exists(), "it may still come"
    Janitor(queue, None, clock=later).tidy()
    assert not part.exists() and folder.exists()
