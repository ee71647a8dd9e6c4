"""Many visitors at once and one device: never two jobs on it, and each is served or told why not."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from pipelines.jobs.events import Done, Event, Started
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui.server.policy import Policy

CROWD = 10
PATIENCE_SECONDS = 180

PageOver = Callable[..., gr.Blocks]
MakeQueue = Callable[..., JobQueue]
Serve = Callable[..., str]
Script = Callable[[Job], Iterator[Event]]
Until = Callable[[Callable[[], Any]], None]


@pytest.fixture
def go() -> Iterator[threading.Event]:
    go = threading.Event()
    yield go
    go.set()


@pytest.fixture
def held(make_queue: MakeQueue, good_run: Script, go: threading.Event) -> Script:
    """A good run that waits after its first event until it may go."""

    def run(job: Job) -> Iterator[Event]:
        for event in good_run(job):
            yield event
            while not go.wait(0.02) and job.requested() is None:
                pass

    return run


def score(url: str, clip: Path, number: int) -> str:
    """How the job of visitor `number` ends, whose question nobody else asks; an error is one too."""
    try:
        client = Client(url, verbose=False, download_files=False)
        call = client.submit(file=handle_file(clip), end=1 + number / 100, api_name="/score")
        return str(call.result(timeout=PATIENCE_SECONDS)[0]["state"])
    except AppError as error:
        return str(error)


def times(job: Job) -> tuple[float, float]:
    """When a finished job was started and done, by its journal."""
    told = [event for event, _ in job.journal.read(job.journal.last_start())]
    (start,) = [event.time for event in told if isinstance(event, Started)]
    (stop,) = [event.time for event in told if isinstance(event, Done)]
    return start, stop


def test_a_crowd_is_served_one_after_the_other(
    make_queue: MakeQueue,
    page_over: PageOver,
    serve: Serve,
    held: Script,
    go: threading.Event,
    until: Until,
    clip: Path,
) -> None:
    queue = make_queue(held)
    url = serve(page_over(queue))
    with ThreadPoolExecutor(CROWD) as crowd:
        endings = [crowd.submit(score, url, clip, number) for number in range(CROWD)]
        until(lambda: queue.running and len(queue.waiting) == CROWD - 1)
        go.set()
        assert [ending.result() for ending in endings] == ["done"] * CROWD
    ran = sorted(times(job) for job in Job.all(queue.jobs_dir))
    assert len(ran) == CROWD
    assert all(stop <= start for (_, stop), (start, _) in pairwise(ran)), "never two at a time"


def test_those_for_whom_there_is_no_room_are_told_so_and_the_others_are_served(
    make_queue: MakeQueue,
    page_over: PageOver,
    serve: Serve,
    held: Script,
    go: threading.Event,
    until: Until,
    clip: Path,
) -> None:
    policy = Policy(max_waiting=3)
    queue = make_queue(held, max_waiting=policy.max_waiting)
    url = serve(page_over(queue, policy))
    with ThreadPoolExecutor(CROWD) as crowd:
        first = crowd.submit(score, url, clip, 0)
        until(lambda: queue.running)
        others = [crowd.submit(score, url, clip, number) for number in range(1, CROWD)]
        until(lambda: sum(ending.done() for ending in others) == CROWD - 1 - policy.max_waiting)
        go.set()
        told = sorted(ending.result() for ending in (first, *others))
    refused = [words for words in told if words != "done"]
    assert len(told) - len(refused) == 1 + policy.max_waiting
    assert all("full (3 jobs waiting)" in words and words.endswith("[queue_full]") for words in refused)
    assert len(Job.all(queue.jobs_dir)) == 1 + policy.max_waiting, "who is refused leaves nothing behind"
