"""What visitors met on the page and is mended: how long the settings are, what is said while a job starts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from pipelines.spec import task_spec
from ui.jobs.uploads import keep

pytestmark = pytest.mark.browser

PATIENCE_MS = 90_000
Visit = Callable[..., Page]
MOST_PX = {"inpaint": 1100, "animate": 1300, "score": 950}
"""Heights of the column of a task with its files and settings; with a sentence under each field, they were 1463, 1647
and 1260."""
MOST_PHONE_PX = 2200
"""Height of the page on a phone, where all is one column."""
COLUMN = """(question) => question.getBoundingClientRect().bottom
  - question.parentElement.querySelector('.lt-source').getBoundingClientRect().top"""
HEIGHT = "document.documentElement.scrollHeight"
SIDEWAYS = "document.documentElement.scrollWidth > innerWidth"


def test_settings_are_a_short_column_with_help_on_demand(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, viewport={"width": 1440, "height": 900})
    for task, most in MOST_PX.items():
        page.locator(f"[role=tab][data-tab-id={task}]:visible").click()
        page.locator(f"#{task}-run").wait_for()
        for width, height in ((1440, 900), (1280, 720)):
            page.set_viewport_size({"width": width, "height": height})
            assert 300 < page.locator(".lt-question:visible").evaluate(COLUMN) <= most, (task, width)
            assert not page.evaluate(SIDEWAYS)
        expect(page.locator(".lt-info:visible")).to_have_count(0)
    page.locator("[role=tab][data-tab-id=inpaint]:visible").click()
    page.get_by_text("More settings").locator("visible=true").click()
    device = page.locator("#inpaint-setting-device-field")
    offers = "(field) => [...field.list.options].map((option) => option.value)"
    assert {"auto", "cpu"} <= set(device.evaluate(offers)), "nobody has to know how devices are written"
    page.get_by_text("More settings").locator("visible=true").click()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(HEIGHT) <= MOST_PHONE_PX and not page.evaluate(SIDEWAYS)


def test_a_job_that_starts_tells_its_expected_time_and_stands_at_the_top(
    visit: Visit,
    make_queue: Callable[..., JobQueue],
    endless: Callable[[Job], Iterator[events.Event]],
    plan: events.Planned,
    clip: Path,
) -> None:
    def run(job: Job) -> Iterator[Any]:
        for event in endless(job):
            is_plan = event.type == "planned"
            yield event.model_copy(update={"predicted_seconds": 300.0}) if is_plan else event

    queue = make_queue(run)
    settings, version = ScoreSettings(), task_spec("score").result_version
    job = Job.create(queue.jobs_dir, "score", (keep(clip, queue.jobs_dir),), settings, version)
    queue.start(job)
    page = visit(queue, query=f"?job={job.id}", viewport={"width": 1440, "height": 900}, locale="en-US")
    strip = page.locator(".lt-run .lt-strip")
    expect(strip).to_contain_text("starting · about 5 min", timeout=PATIENCE_MS)
    source = page.locator(".lt-source:visible").bounding_box()
    shown = strip.bounding_box()
    assert source and shown and abs(source["y"] - shown["y"]) < 2, "no gap where a card was"
    page.locator(".lt-cancel:visible").click()
    page.locator(".lt-run [data-state=cancelled]").wait_for()
