"""The queue with a runner that the tests script: who runs when, what a death costs, who may stop what."""

import errno
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.errors import BadInput, NoSuchJob, NotAVideo, QueueFull
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from pipelines.spec import task_spec
from pipelines.workers.runner import WorkerState


class Script:
    """A runner that does to a job what the test says, one line of the script a call."""

    def __init__(self, *lines: Callable[[Job], str | None]) -> None:
        self.lines = list(lines)
        self.ran: list[str] = []
        self.let_go_count = 0
        self.at_once = 0

    @property
    def worker(self) -> WorkerState:
        return WorkerState()

    def tell(self, job: Job, *told: events.Event) -> None:
        for event in told:
            job.journal.append(event)
            self.hear(event)

    def run(self, job: Job, hear: Callable[[events.Event], None]) -> str | None:
        self.hear = hear
        self.at_once += 1
        assert self.at_once == 1, "two jobs at once"
        self.ran.append(job.id)
        try:
            return (self.lines.pop(0) if self.lines else finish)(job)
        finally:
            self.at_once -= 1

    def let_go(self) -> None:
        self.let_go_count += 1


def finish(job: Job) -> None:
    report = job.folder / "report.json"
    report.touch()
    job.journal.append(job.done_with(events.Outputs(report=report)))


def die(job: Job) -> str:
    return "was killed by signal 9"


def die_after_a_span(job: Job) -> str:
    folder = job.folder / "segments"
    folder.mkdir(exist_ok=True)
    count = len(list(folder.iterdir()))
    (folder / f"{count * 10:08d}-{count * 10 + 10:08d}.npy").touch()
    return "was killed by signal 11"


@pytest.fixture
def open_queue(tmp_path: Path) -> Iterator[Callable[..., JobQueue]]:
    queues: list[JobQueue] = []

    def make(runner: Script, **more: float) -> JobQueue:
        queues.append(JobQueue(tmp_path / "jobs", runner=runner, **more))
        return queues[-1]

    yield make
    for queue in queues:
        queue.close()


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.mp4" for name in "abc"]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def types(queue: JobQueue, job: Job) -> list[str]:
    return [event.type for event in queue.listen(job)]


@pytest.mark.parametrize(
    ("error", "code", "is_bug"),
    [(OSError(errno.EIO, "Input/output error"), "disk_failed", False), (OSError("what?"), "internal", True)],
)
def test_only_a_fault_of_the_program_has_a_traceback(
    open_queue, clips, caplog: pytest.LogCaptureFixture, error: OSError, code: str, is_bug: bool
) -> None:
    def fail(job: Job) -> None:
        raise error

    queue = open_queue(Script(fail))
    job = queue.submit("score", clips[0], ScoreSettings())
    *_, failed = queue.listen(job)
    assert failed.code == code and ("Traceback" in caplog.text) is is_bug


def test_a_job_runs_and_its_listeners_hear_it_all(open_queue, clips) -> None:
    queue = open_queue(Script())
    job = queue.submit("score", clips[0], ScoreSettings())
    assert types(queue, job) == ["queued", "done"]
    assert types(queue, job) == ["queued", "done"], "a late listener hears the same"


def test_first_come_first_served_one_at_a_time_and_positions_are_told(open_queue, clips) -> None:
    go = threading.Event()
    runner = Script(lambda job: (go.wait(100), finish(job))[1])
    queue = open_queue(runner)
    jobs = [queue.submit("score", clip, ScoreSettings()) for clip in clips]
    go.set()
    told = {job.id: [e.position for e in queue.listen(job) if isinstance(e, events.Queued)] for job in jobs}
    assert runner.ran == [job.id for job in jobs]
    assert told[jobs[2].id][-1] == 0 and told[jobs[2].id][0] >= 1


def test_a_finished_job_is_shown_and_not_run_again_unless_forced(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    job = queue.submit("score", clips[0], ScoreSettings())
    types(queue, job)
    left = job.folder / "part-4194305-0a-x"
    left.touch()
    assert types(queue, queue.submit("score", clips[0], ScoreSettings())) == ["queued", "done"]
    assert len(runner.ran) == 1 and not left.exists()
    assert types(queue, queue.submit("score", clips[0], ScoreSettings(), force=True)) == ["queued", "done"]
    assert len(runner.ran) == 2


def test_a_result_whose_files_were_deleted_is_made_again(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    job = queue.submit("score", clips[0], ScoreSettings())
    types(queue, job)
    (job.folder / "report.json").unlink()
    assert types(queue, queue.submit("score", clips[0], ScoreSettings())) == ["queued", "done"]
    assert len(runner.ran) == 2


def test_a_death_costs_a_span_and_the_user_is_told(open_queue, clips) -> None:
    queue = open_queue(Script(die))
    job = queue.submit("score", clips[0], ScoreSettings())
    heard = list(queue.listen(job))
    assert [e.type for e in heard] == ["queued", "warning", "done"]
    assert "signal 9" in heard[1].message


def test_three_deaths_at_the_same_span_fail_the_job(open_queue, clips) -> None:
    runner = Script(die, die, die)
    queue = open_queue(runner)
    job = queue.submit("score", clips[0], ScoreSettings())
    last = list(queue.listen(job))[-1]
    assert isinstance(last, events.Failed) and last.code == "worker_died" and "3 times" in last.message
    assert len(runner.ran) == 3


def test_deaths_at_different_spans_do_not_add_up(open_queue, clips) -> None:
    queue = open_queue(Script(*[die_after_a_span] * 6))
    job = queue.submit("score", clips[0], ScoreSettings())
    assert types(queue, job)[-1] == "done"


def test_closing_a_listener_does_not_stop_the_job(open_queue, clips) -> None:
    go = threading.Event()
    queue = open_queue(Script(lambda job: (go.wait(100), finish(job))[1]))
    job = queue.submit("score", clips[0], ScoreSettings())
    listening = queue.listen(job)
    next(listening)
    listening.close()
    go.set()
    assert types(queue, job)[-1] == "done"


def test_a_waiting_job_is_cancelled_without_being_run(open_queue, clips) -> None:
    go = threading.Event()
    runner = Script(lambda job: (go.wait(100), finish(job))[1])
    queue = open_queue(runner)
    first, second = (queue.submit("score", clip, ScoreSettings()) for clip in clips[:2])
    queue.stop(second)
    go.set()
    assert types(queue, second)[-1] == "cancelled"
    assert types(queue, first)[-1] == "done"
    assert runner.ran == [first.id]


def test_a_running_job_is_asked_to_stop_and_a_new_start_forgets_it(open_queue, clips) -> None:
    runs, leave = threading.Event(), threading.Event()

    def until_asked(job: Job) -> None:
        runs.set()
        while job.requested() is None:
            leave.wait(0.01)
        job.journal.append(events.Paused(job=job.id))

    queue = open_queue(Script(until_asked))
    job = queue.submit("score", clips[0], ScoreSettings())
    listening = queue.listen(job)
    runs.wait(100)
    queue.stop(job, "pause")
    assert [e.type for e in listening][-1] == "paused"
    queue.start(job)
    assert job.requested() is None
    assert types(queue, job)[-1] == "done"


def test_a_start_while_the_last_run_is_leaving_is_not_lost(open_queue, clips) -> None:
    told, leave = threading.Event(), threading.Event()

    def slow_to_leave(job: Job) -> None:
        job.journal.append(events.Paused(job=job.id))
        told.set()
        leave.wait(100)

    queue = open_queue(Script(slow_to_leave))
    job = queue.submit("score", clips[0], ScoreSettings())
    told.wait(100)
    queue.start(job)
    leave.set()
    heard = types(queue, job)
    assert "paused" not in heard and heard[-1] == "done"


def test_a_job_that_another_process_runs_is_attached_to(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    version = task_spec("score").result_version
    job = Job.create(queue.jobs_dir, "score", (clips[0],), ScoreSettings(engine="builtin"), version)
    with job.runner():
        job.journal.append(events.Started(job=job.id, worker_pid=1))
        assert queue.submit("score", clips[0], ScoreSettings()) == job
        listening = queue.listen(job)
        assert next(listening).type == "started"
        finish(job)
        assert [e.type for e in listening] == ["done"]
    assert runner.ran == []


def test_a_job_that_another_process_left_unfinished_is_taken_over(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    job = Job.create(queue.jobs_dir, "score", (clips[0],), ScoreSettings(), 1)
    with job.runner():
        job.journal.append(events.Started(job=job.id, worker_pid=1))
        listening = queue.listen(job)
        assert next(listening).type == "started"
    assert [e.type for e in listening] == ["queued", "done"]
    assert runner.ran == [job.id]


def test_a_runner_that_cannot_start_fails_the_job_and_not_the_queue(open_queue, clips) -> None:
    def broken(job: Job) -> None:
        raise OSError("no more processes")

    queue = open_queue(Script(broken))
    failed = list(queue.listen(queue.submit("score", clips[0], ScoreSettings())))[-1]
    assert isinstance(failed, events.Failed) and "no more processes" in failed.message
    assert types(queue, queue.submit("score", clips[1], ScoreSettings()))[-1] == "done"


def test_an_idle_runner_is_let_go(open_queue, clips) -> None:
    runner = Script()
    gone = threading.Event()
    runner.let_go = gone.set
    queue = open_queue(runner, idle_seconds=0.01)
    types(queue, queue.submit("score", clips[0], ScoreSettings()))
    assert gone.wait(100)


def test_a_missing_file_never_becomes_a_job(open_queue, tmp_path: Path) -> None:
    queue = open_queue(Script())
    with pytest.raises(NotAVideo):
        queue.submit("score", tmp_path / "missing.mp4", ScoreSettings())
    assert Job.all(queue.jobs_dir) == []


class Gate:
    """A line of the script that waits until the test opens it; `reached` says that a job is there."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> None:
        self.reached.set()
        assert self.opened.wait(60)
        finish(job)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def asks(queue: JobQueue, clip: Path, **settings: int) -> Job:
    return queue.submit("score", clip, ScoreSettings(**settings))


def test_ten_visitors_at_once_and_never_two_on_the_device(open_queue, tmp_path: Path) -> None:
    def works(job: Job) -> None:
        job.journal.append(events.Started(job=job.id, worker_pid=1))
        threading.Event().wait(0.002)
        finish(job)

    runner = Script(*[works] * 10)
    queue = open_queue(runner)
    together, jobs = threading.Barrier(10), []

    def visitor(number: int) -> None:
        clip = tmp_path / f"{number}.mp4"
        clip.write_bytes(bytes([number]))
        together.wait(60)
        job = asks(queue, clip)
        assert types(queue, job)[-1] == "done"
        jobs.append(job)

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(jobs)) == len(runner.ran) == 10
    told = [event for job in jobs for event, _ in job.journal.read()]
    ran = sorted((e for e in told if isinstance(e, (events.Started, events.Done))), key=lambda e: e.time)
    assert [event.type for event in ran] == ["started", "done"] * 10
    assert all(start.job == end.job for start, end in zip(ran[::2], ran[1::2], strict=True))


def test_ten_who_ask_the_same_get_the_same_run(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    together, heard = threading.Barrier(10), []

    def visitor() -> None:
        together.wait(60)
        heard.append(types(queue, asks(queue, clips[0]))[-1])

    threads = [threading.Thread(target=visitor) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert heard == ["done"] * 10 and len(runner.ran) == 1


# -- a queue has an end --------------------------------------------------------------------------------------


def test_a_full_queue_says_so_and_keeps_nothing(open_queue, clips, gate) -> None:
    queue = open_queue(Script(gate), max_waiting=1)
    runs, waits = asks(queue, clips[0]), asks(queue, clips[1])
    with pytest.raises(QueueFull, match=r"queue is full \(1 jobs waiting\).*Try again") as full:
        asks(queue, clips[2])
    assert full.value.code == "queue_full"
    assert Job.all(queue.jobs_dir) == [runs, waits]
    assert {path.name for path in queue.jobs_dir.iterdir()} == {runs.id, waits.id, ".trash"}
    assert asks(queue, clips[1]) == waits and asks(queue, clips[0]) == runs, "they are in already"


def test_a_full_queue_still_shows_results_and_loses_none(open_queue, clips, gate) -> None:
    queue = open_queue(Script(finish, gate), max_waiting=0)
    done = asks(queue, clips[0])
    assert types(queue, done)[-1] == "done"
    asks(queue, clips[1])
    assert asks(queue, clips[0]) == done
    with pytest.raises(QueueFull):
        queue.submit("score", clips[0], ScoreSettings(), force=True)
    assert done.has_result()


def test_a_full_queue_leaves_an_interrupted_job_to_be_resumed_later(open_queue, clips, gate) -> None:
    queue = open_queue(Script(gate), max_waiting=0)
    old = Job.create(queue.jobs_dir, "score", (clips[1],), ScoreSettings(), 1)
    old.journal.append(events.Started(job=old.id, worker_pid=1))
    asks(queue, clips[0])
    with pytest.raises(QueueFull):
        asks(queue, clips[1])
    assert queue.state(old) == "interrupted"


# -- who waits, and how long ---------------------------------------------------------------------------------


def test_places_and_expected_starts(open_queue, clips, gate) -> None:
    queue = open_queue(runner := Script(gate))
    first, second, third = (asks(queue, clip) for clip in clips)
    assert gate.reached.wait(60)
    assert (queue.running, queue.waiting) == ([first], [second, third])
    assert [queue.ahead(job) for job in (first, second, third)] == [None, 0, 1]
    assert [queue.expected_wait(job) for job in (first, second, third)] == [0.0, None, None]
    runner.tell(first, progress(first, eta_seconds=1e6))
    assert queue.expected_wait(second) == pytest.approx(1e6, rel=1e-3)
    assert queue.expected_wait(third) is None, "no run of this task has ended here yet"
    queue.stop(second)
    assert queue.ahead(second) is None and queue.ahead(third) == 0
    assert queue.expected_wait(second) is None


def progress(job: Job, eta_seconds: float) -> events.Progress:
    return events.Progress(
        job=job.id, stage="s", done=1, total=2, frames_per_second=8.0, eta_seconds=eta_seconds, frame=0
    )


def test_the_queue_counts(open_queue, clips, gate) -> None:
    queue = open_queue(runner := Script(die, gate))
    first, second = asks(queue, clips[0]), asks(queue, clips[1])
    assert gate.reached.wait(60)
    runner.tell(first, progress(first, eta_seconds=1.0))
    queue.stop(second)
    counted = queue.counters
    assert (counted.frames_per_second, counted.restarts) == (8.0, 1)
    assert counted.finished == {"cancelled": 1}


def test_an_ending_that_only_the_journal_heard_of_counts(open_queue, clips) -> None:
    def tells_and_dies(job: Job) -> str:
        finish(job)
        return "was killed by signal 9"

    queue = open_queue(runner := Script(tells_and_dies))
    after = threading.Event()
    queue.after_each(lambda job: after.set())
    assert types(queue, asks(queue, clips[0])) == ["queued", "done"]
    assert after.wait(60)
    assert queue.counters.finished == {"done": 1} and queue.counters.restarts == 0 and len(runner.ran) == 1


# -- what becomes of jobs that nobody holds ------------------------------------------------------------------


def test_a_job_that_waited_in_a_page_that_is_gone_can_be_resumed(open_queue, clips, gate) -> None:
    runner = Script(gate)
    runner.let_go = gate.opened.set
    queue = open_queue(runner)
    asks(queue, clips[0])
    waits = asks(queue, clips[1])
    assert gate.reached.wait(60) and queue.state(waits) == "queued"
    queue.close()
    later = open_queue(Script())
    assert later.state(waits) == "interrupted"
    later.start(waits)
    assert types(later, waits)[-1] == "done"
    assert later.state(waits) == "done"


def test_a_job_between_two_workers_runs(open_queue, clips) -> None:
    queue, states = None, []

    def starts_and_dies(job: Job) -> str:
        job.journal.append(events.Started(job=job.id, worker_pid=1))
        states.append(queue.state(job))
        return die(job)

    queue = open_queue(Script(starts_and_dies))
    types(queue, asks(queue, clips[0]))
    assert states == ["running"]


def test_a_folder_removed_by_hand_does_not_end_the_queue(open_queue, clips, gate) -> None:
    def finds_nothing(job: Job) -> None:
        raise BadInput("no folder")

    queue = open_queue(Script(gate, finds_nothing))
    first, second, third = (asks(queue, clip) for clip in clips)
    assert gate.reached.wait(60)
    shutil.rmtree(second.folder)
    gate.opened.set()
    assert types(queue, third)[-1] == "done"
    assert queue.state(first) == "done"


# -- the worker ----------------------------------------------------------------------------------------------


def test_a_warm_worker_is_freed_when_asked_and_never_under_a_job(open_queue, clips, gate) -> None:
    runner = Script(gate)
    queue = open_queue(runner)
    job = asks(queue, clips[0])
    assert gate.reached.wait(60)
    with pytest.raises(BadInput, match="busy"):
        queue.free_worker()
    assert runner.let_go_count == 0
    after = threading.Event()
    queue.after_each(lambda job: after.set())
    gate.opened.set()
    assert types(queue, job)[-1] == "done" and after.wait(60)
    queue.free_worker()
    assert runner.let_go_count == 1
    assert types(queue, asks(queue, clips[1]))[-1] == "done", "and the next job starts another"


def test_a_job_that_comes_while_the_worker_leaves_waits_for_that(open_queue, clips, gate) -> None:
    runner = Script()
    leaving, gone = threading.Event(), threading.Event()

    def leaves_slowly() -> None:
        leaving.set()
        assert gone.wait(60)

    runner.let_go = leaves_slowly
    queue = open_queue(runner)
    freeing = threading.Thread(target=queue.free_worker)
    freeing.start()
    assert leaving.wait(60)
    job = asks(queue, clips[0])
    assert queue.waiting == [job] and runner.ran == [], "asking does not wait for the worker"
    gone.set()
    freeing.join(60)
    assert types(queue, job)[-1] == "done"


def test_a_job_that_comes_in_the_same_moment_finds_the_worker_freed(open_queue, clips) -> None:
    runner = Script()
    seen: list[int] = []
    runner.let_go = lambda: seen.append(len(runner.ran))
    queue = open_queue(runner)
    with queue._changed:
        queue._freeing = set(queue._places.all)
        job = asks(queue, clips[0])
    assert types(queue, job)[-1] == "done"
    assert seen == [0]


def test_a_worker_that_was_just_starting_is_stopped_all_the_same(open_queue, clips, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.scheduler.dispatch._CLOSING_SECONDS", 0.05)
    starting, heard_twice = threading.Event(), threading.Event()
    runner = Script(lambda job: (starting.set(), heard_twice.wait(60))[0])

    def let_go() -> None:
        runner.let_go_count += 1
        if runner.let_go_count == 2:
            heard_twice.set()

    runner.let_go = let_go
    queue = open_queue(runner)
    asks(queue, clips[0])
    assert starting.wait(60)
    queue.close()
    assert runner.let_go_count == 2 and not queue._threads[0].is_alive()


# -- deleting ------------------------------------------------------------------------------------------------


def keep(jobs_dir: Path, clip: Path) -> Path:
    kept = jobs_dir / "uploads" / f"0123{clip.stem}" / clip.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(clip.read_bytes())
    return kept


def test_a_deleted_job_is_gone_with_its_upload_and_what_was_served_of_it(open_queue, clips, tmp_path) -> None:
    queue = open_queue(Script())
    job = asks(queue, keep(queue.jobs_dir, clips[0]))
    types(queue, job)
    served = queue.jobs_dir / "cache" / "key" / "report.json"
    served.parent.mkdir(parents=True)
    served.hardlink_to(job.folder / "report.json")
    (outside := tmp_path / "outside").mkdir()
    (outside / "film").touch()
    (job.folder / "link").symlink_to(outside)
    assert queue.delete(job) > 0
    assert Job.all(queue.jobs_dir) == []
    left = {path.relative_to(queue.jobs_dir).as_posix() for path in queue.jobs_dir.rglob("*")}
    assert left == {".trash", "cache", "cache/key", "uploads", "uploads/0123a"}
    assert (outside / "film").exists()
    with pytest.raises(NoSuchJob):
        queue.delete(job)
    assert types(queue, asks(queue, clips[0])) == ["queued", "done"], "asked again, it is computed again"


def test_an_upload_that_another_job_reads_stays(open_queue, clips) -> None:
    queue = open_queue(Script())
    kept = keep(queue.jobs_dir, clips[0])
    first, second = asks(queue, kept), asks(queue, kept, window=5)
    types(queue, first), types(queue, second)
    queue.delete(first)
    assert kept.exists()
    queue.delete(second)
    assert not kept.exists()


def test_files_that_are_no_uploads_are_never_deleted(open_queue, clips, tmp_path) -> None:
    queue = open_queue(Script())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    theirs = elsewhere / "film.mp4"
    theirs.write_bytes(b"theirs")
    (queue.jobs_dir / "uploads").mkdir(parents=True)
    (queue.jobs_dir / "uploads" / "linked").symlink_to(elsewhere)
    (queue.jobs_dir / "film.mp4").write_bytes(b"beside")
    paths = [
        theirs,
        queue.jobs_dir / "uploads" / "linked" / "film.mp4",
        queue.jobs_dir / "uploads" / ".." / "film.mp4",
    ]
    for number, path in enumerate(paths):
        job = asks(queue, path, window=3 + number)
        types(queue, job)
        queue.delete(job)
        assert path.exists(), path


def test_a_job_that_waits_or_runs_cannot_be_deleted(open_queue, clips, gate) -> None:
    queue = open_queue(Script(gate))
    jobs = [asks(queue, clip) for clip in clips[:2]]
    assert gate.reached.wait(60)
    jobs[0].journal.append(events.Started(job=jobs[0].id, worker_pid=1))
    for job in jobs:
        with pytest.raises(BadInput, match="is waiting or running"):
            queue.delete(job)
    gate.opened.set()
    assert [types(queue, job)[-1] for job in jobs] == ["done", "done"]


def test_a_job_that_runs_in_another_process_cannot_be_deleted(open_queue, clips) -> None:
    queue = open_queue(Script())
    job = Job.create(queue.jobs_dir, "score", (clips[0],), ScoreSettings(), 1)
    with job.runner():
        with pytest.raises(BadInput, match="is waiting or running"):
            queue.delete(job)
        finish(job)
        with pytest.raises(BadInput, match="is running"):
            queue.delete(job)
    assert job.exists()
    queue.delete(job)
    assert not job.folder.exists()


def test_a_job_that_is_asked_for_again_is_not_deleted_meanwhile(open_queue, clips, gate, monkeypatch) -> None:
    queue = open_queue(Script(finish, gate))
    job = asks(queue, clips[0])
    types(queue, job)
    (job.folder / "report.json").unlink()
    create, refused = Job.create, []

    def deletes() -> None:
        with pytest.raises(BadInput, match="is waiting or running"):
            queue.delete(job)
        refused.append(job)

    deleting = threading.Thread(target=deletes)

    def created(*question) -> Job:
        made = create(*question)
        deleting.start()
        deleting.join(0.2)
        return made

    monkeypatch.setattr(Job, "create", created)
    assert asks(queue, clips[0]) == job
    deleting.join(60)
    assert refused == [job] and job.exists()


def test_a_job_whose_record_is_broken_can_be_deleted(open_queue, clips) -> None:
    queue = open_queue(Script())
    job = asks(queue, keep(queue.jobs_dir, clips[0]))
    types(queue, job)
    (job.folder / "job.json").write_text("{")
    queue.delete(job)
    assert not job.folder.exists()


def test_who_listens_to_a_job_that_is_deleted_hears_no_more(open_queue, clips) -> None:
    queue = open_queue(Script())
    job = Job.create(queue.jobs_dir, "score", (clips[0],), ScoreSettings(), 1)
    job.journal.append(events.Started(job=job.id, worker_pid=1))
    listening = queue.listen(job)
    assert next(listening).type == "started"
    queue.delete(job)
    assert list(listening) == []
    assert not job.folder.exists()


def test_a_damaged_result_is_made_again_and_told(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    job = queue.submit("score", clips[0], ScoreSettings())
    types(queue, job)
    (job.folder / "report.json").write_text("damaged")
    again = list(queue.listen(queue.submit("score", clips[0], ScoreSettings())))
    assert [event.type for event in again] == ["queued", "warning", "done"] and len(runner.ran) == 2
    assert "report.json has been damaged" in again[1].message


def test_what_the_system_refuses_the_queue_is_told_by_its_name(open_queue, clips) -> None:
    def refuse(job: Job) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(job.folder))

    queue = open_queue(Script(refuse))
    last = list(queue.listen(queue.submit("score", clips[0], ScoreSettings())))[-1]
    assert (last.code, last.exit_code) == ("folder_unusable", 2)


def held(open_queue, tmp_path: Path) -> tuple[JobQueue, threading.Event, list[Job]]:
    """A queue whose runner is busy until the event is set, and the five jobs that wait behind it."""
    go = threading.Event()
    queue = open_queue(Script(lambda job: (go.wait(100), finish(job))[1]))
    jobs = []
    for name in "abcdef":
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(name.encode())
        jobs.append(queue.submit("score", path, ScoreSettings()))
    # Whether the first has been taken from the line yet is a matter of luck.
    while not queue.running:
        threading.Event().wait(0.001)
    return queue, go, jobs[1:]


@pytest.mark.parametrize(
    ("moved", "places", "among", "order"),
    [
        ("d", -1, "bcdef", "bdcef"),
        ("d", 1, "bcdef", "bcedf"),
        ("e", -1, "be", "ecdbf"),  # c and d are another's: they keep their places
        ("b", 1, "bdf", "dcbef"),
        ("b", -1, "bdf", "bcdef"),
        ("f", 5, "bdf", "bcdef"),
        ("f", -9, "bdf", "fcbed"),
    ],
)
def test_waiting_jobs_exchange_places_among_those_that_may(
    open_queue, tmp_path: Path, moved: str, places: int, among: str, order: str
) -> None:
    queue, go, jobs = held(open_queue, tmp_path)
    by_name = dict(zip("bcdef", jobs, strict=True))
    queue.move(by_name[moved], places, {by_name[name] for name in among})
    assert queue.waiting == [by_name[name] for name in order]
    for position, name in enumerate(order):
        told = by_name[name].journal.last_state()
        assert isinstance(told, events.Queued)
        assert told.position == position or by_name[name] not in {by_name[each] for each in among}
    go.set()


def test_what_runs_or_is_gone_is_not_moved_or_withdrawn(open_queue, tmp_path: Path) -> None:
    queue, go, jobs = held(open_queue, tmp_path)
    (running,) = queue.running
    assert running
    assert not queue.withdraw(running)
    assert running.requested() is None
    assert queue.withdraw(jobs[0])
    assert queue.state(jobs[0]) == "cancelled"
    for job in (running, jobs[0]):
        with pytest.raises(BadInput, match="not waiting"):
            queue.move(job, 1, {running, *jobs})
    assert queue.waiting == jobs[1:]
    go.set()
