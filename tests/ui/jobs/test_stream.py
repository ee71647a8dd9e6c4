"""A job that makes no progress says so; one that waits does not."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from pipelines.jobs import events
from pipelines.jobs.events import Event, Planned
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from ui.jobs import stream
from ui.jobs.view import JobView, Status


@pytest.mark.parametrize(
    ("state", "seconds", "said"),
    [("running", 12.7, 12), ("running", 9.9, 0), ("queued", 60.0, 0), ("done", 60.0, 0)],
)
def test_only_a_running_job_is_silent_and_only_after_a_while(state: Any, seconds: float, said: int) -> None:
    view = stream._with_silence(JobView(Status(state=state)), seconds)
    assert view.status.silent_seconds == said


def test_readings_of_the_memory_do_not_hide_that_nothing_else_happens(
    make_queue: Callable[..., JobQueue], clip: Path, plan: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "QUIET_SECONDS", 1.0)
    seen = threading.Event()

    def breathing(job: Job) -> Iterator[Event]:
        yield events.Started(job=job.id, worker_pid=1)
        yield plan.model_copy(update={"job": job.id})
        while not seen.wait(0.05):
            yield events.Memory(
                job=job.id,
                host_bytes=1,
                host_peak_bytes=1,
                host_available_bytes=1,
                device_bytes=0,
                device_peak_bytes=0,
            )
        yield events.Heartbeat(job=job.id)
        yield events.Paused(job=job.id)

    queue = make_queue(breathing)
    job = queue.submit("score", clip, ScoreSettings(engine="builtin"))

    async def watch() -> list[int]:
        silences = []
        async with aclosing(stream.views(queue, job)) as views:
            async for view in views:
                silences.append(view.status.silent_seconds)
                if silences[-1]:
                    seen.set()
        return silences

    silences = asyncio.run(watch())
    assert max(silences) >= 1 and silences[-1] == 0
