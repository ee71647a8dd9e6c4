"""The server's log has one line for each job that ran."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory.units import GIB
from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from ui.jobs.job_log import JobLog, line

Script = Callable[[Job], Iterator[Event]]


def test_a_line_says_who_what_how_long_how_much_and_how_it_ended(
    make_queue: Callable[..., JobQueue], clip: Path, good_run: Script, caplog: pytest.LogCaptureFixture
) -> None:
    def run(job: Job) -> Iterator[Event]:
        for event in good_run(job):
            later = 12.5 if isinstance(event, events.Done) else 0.0
            yield event.model_copy(update={"time": 1000.0 + later})
        # What came before a start is no part of it.

    caplog.set_level(logging.INFO)
    evil = clip.rename(clip.with_name("a\nERROR b.mp4"))
    queue, log = make_queue(run), JobLog()
    done: list[Job] = []
    queue.after_each(done.append)
    job = queue.submit("score", evil, ScoreSettings())
    list(queue.listen(job))
    log.asked(job, "user 'ann'")
    said = line(job, "user 'ann'")
    assert "\n" not in said
    for part in (
        job.id,
        "user 'ann'",
        "score (full)",
        "ERROR b.mp4",
        "40 frames",
        "done after 12.5 s",
        "0.04 GiB",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (lambda job: events.Failed.of(job.id, BadInput("no")), "failed (bad_input)"),
        (lambda job: events.CancelledEvent(job=job.id), "cancelled"),
        (lambda job: events.Paused(job=job.id), "paused"),
        (None, "was interrupted"),
    ],
)
def test_other_endings_are_said_too(clip: Path, ending: Callable[[Job], Event] | None, said: str) -> None:
    job = Job.create(clip.parent / "jobs", "score", (clip,), ScoreSettings(), 1)
    job.journal.append(events.Started(job=job.id, worker_pid=1))
    memory = events.Memory(
        job=job.id,
        host_bytes=1,
        host_peak_bytes=3 * GIB,
        host_available_bytes=1,
        device_bytes=1,
        device_peak_bytes=2 * GIB,
    )
    job.journal.append(memory)
    if ending:
        job.journal.append(ending(job))
    told = line(job, "192.0.2.7")
    assert f": {said} after " in told
    assert "3.00 GiB of memory, 2.00 GiB of a GPU" in told
