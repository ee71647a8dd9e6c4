"""The queue with a runner that the tests script: who runs when, what a death costs, who may stop what."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import events
from pipelines.errors import NotAVideo
from pipelines.jobs import Job
from pipelines.queue import JobQueue
from pipelines.settings import ScoreSettings


class Script:
    """A runner that does to a job what the test says, one line of the script a call."""

    def __init__(self, *lines: Callable[[Job], str | None]) -> None:
        self.lines = list(lines)
        self.ran: list[str] = []
        self.let_go_count = 0
        self.at_once = 0

    def run(self, job: Job) -> str | None:
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
    job.journal.append(events.Done(job=job.id, outputs=events.Outputs(report=report)))


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


def test_a_job_runs_and_its_listeners_hear_it_all(open_queue, clips) -> None:
    queue = open_queue(Script())
    job = queue.submit("score", clips[0], ScoreSettings())
    assert types(queue, job) == ["queued", "done"]
    assert types(queue, job) == ["queued", "done"], "a late listener hears the same"


def test_first_come_first_served_one_at_a_time_and_positions_are_told(open_queue, clips) -> None:
    go = threading.Event()
    runner = Script(lambda job: (go.wait(20), finish(job))[1])
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
    assert types(queue, queue.submit("score", clips[0], ScoreSettings())) == ["queued", "done"]
    assert len(runner.ran) == 1
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
    queue = open_queue(Script(lambda job: (go.wait(20), finish(job))[1]))
    job = queue.submit("score", clips[0], ScoreSettings())
    listening = queue.listen(job)
    next(listening)
    listening.close()
    go.set()
    assert types(queue, job)[-1] == "done"


def test_a_waiting_job_is_cancelled_without_being_run(open_queue, clips) -> None:
    go = threading.Event()
    runner = Script(lambda job: (go.wait(20), finish(job))[1])
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
    runs.wait(20)
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
        leave.wait(20)

    queue = open_queue(Script(slow_to_leave))
    job = queue.submit("score", clips[0], ScoreSettings())
    told.wait(20)
    queue.start(job)
    leave.set()
    heard = types(queue, job)
    assert "paused" not in heard and heard[-1] == "done"


def test_a_job_that_another_process_runs_is_attached_to(open_queue, clips) -> None:
    runner = Script()
    queue = open_queue(runner)
    job = Job.create(queue.jobs_dir, "score", (clips[0],), ScoreSettings(), 1)
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
    assert gone.wait(20)


def test_a_missing_file_never_becomes_a_job(open_queue, tmp_path: Path) -> None:
    queue = open_queue(Script())
    with pytest.raises(NotAVideo):
        queue.submit("score", tmp_path / "missing.mp4", ScoreSettings())
    assert Job.all(queue.jobs_dir) == []
