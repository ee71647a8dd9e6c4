"""The workers of a job in its details, in headless Chromium."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipelines.jobs import events
from pipelines.jobs.events import Event, LostMember, Member
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.workers.children import describe_exit

pytestmark = pytest.mark.browser


def test_who_computes_is_shown_in_the_details_until_the_job_ends(
    visit: Callable[..., Page],
    make_queue: Callable[..., JobQueue],
    good_run: Callable[[Job], Iterator[Event]],
    clip: Path,
) -> None:
    steps = threading.Semaphore(0)
    first = Member(worker=1, state="busy", stage="score", start=0, stop=20)
    lost = LostMember.of(2, describe_exit(-9, []))
    third = Member(worker=3, state="busy", stage="score", start=20, stop=40, attempt=2)

    def run(job: Job) -> Iterator[Event]:
        told = list(good_run(job))
        yield from told[:2]
        for event in (
            events.Crewed(job=job.id, wanted=2, members=(first,), lost=(lost,)),
            events.Crewed(job=job.id, wanted=2, members=(first, third)),
            told[-1],
        ):
            yield event
            steps.acquire()

    page = visit(make_queue(run), locale="en-US")
    page.get_by_role("tab", name="Score").click()
    page.locator("#score-file input[type=file]").set_input_files(clip)
    expect(page.locator("#score-run")).to_be_enabled()
    page.locator("#score-run").click()
    expect(page.locator(".lt-run .lt-strip")).to_contain_text("1 of 2 workers")
    page.locator(".lt-details button").first.click()
    lines = page.locator(".lt-run .lt-crew li")
    expect(lines.nth(0)).to_have_text("Worker 1 · CPU · scoring · frames 0 to 19")
    expect(lines.nth(1)).to_contain_text("Worker 2 was lost (killed by signal 9")
    steps.release()
    expect(lines.nth(1)).to_have_text("Worker 3 · CPU · scoring · frames 20 to 39 · attempt 2")
    steps.release()
    page.locator(".lt-run [data-state=done]").wait_for()
    expect(lines).to_have_count(0)
    steps.release()
