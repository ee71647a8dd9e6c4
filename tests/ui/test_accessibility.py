"""The page for people who do not see it as others do: axe-core finds nothing serious, and a keyboard is enough."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines import events
from pipelines.errors import LongtakeError
from pipelines.events import Event
from pipelines.jobs import Job
from pipelines.queue import JobQueue
from pipelines.settings import ScoreSettings

pytestmark = pytest.mark.browser

AXE_CORE = "axe-core@4.14.1"
WIDTHS = (1280, 390)
PATIENCE_MS = 90_000
EXCLUDED: dict[str, list[str]] = {}
"""What is Gradio's own and out of our reach: rule -> selectors of elements where it is not held against us."""

_LOOK = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(node => [id, node.target.flat().join(' '), node.html, node.failureSummary]));
}"""


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


@pytest.fixture
def queue(
    make_queue: Callable[..., JobQueue],
    good_run: Callable[[Job], Iterator[Event]],
    go: threading.Event,
    clip: Path,
) -> Iterator[JobQueue]:
    """Its job stops halfway, with all that a running job can show, until it is let go; others ended in every way."""

    def run(job: Job) -> Iterator[Event]:
        for number, event in enumerate(good_run(job)):
            if number == 40:
                yield from halfway(job)
                while not go.wait(0.02) and job.requested() is None:
                    pass
            yield event

    queue = make_queue(run)
    for number, ending in enumerate((None, events.Paused, events.CancelledEvent, failed)):
        job = Job.create(queue.jobs_dir, "score", (clip,), ScoreSettings(end=1 + number / 10), 1)
        job.journal.append(events.Queued(job=job.id, task="score", name="clip.mp4"))
        job.journal.append(events.Started(job=job.id, worker_pid=1))
        if ending is not None:
            job.journal.append(ending(job=job.id))
    yield queue
    go.set()


def failed(job: str) -> events.Failed:
    return events.Failed.of(job, LongtakeError("The disk is full.", "Delete jobs."))


def halfway(job: Job) -> Iterator[Event]:
    picture = job.folder / "preview.jpg"
    Image.new("RGB", (64, 48), "grey").save(picture)
    yield events.Preview(job=job.id, frame=20, path=picture)
    yield events.Degraded(
        job=job.id, frame=20, rung="batch", change="exact", message="Memory ended: batches of 4."
    )
    yield events.Warned(job=job.id, code="slow", message="The disk is slow.")


def look_at(page: Page, state: str) -> None:
    """Let axe look at the page, wide and narrow."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{state}, {width} px: {what}" for what in page.evaluate(_LOOK)]
    print("\n".join(found))
    FOUND.extend(found)


FOUND: list[str] = []


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_axe_finds_nothing_serious(
    visit: Callable[..., Page],
    queue: JobQueue,
    go: threading.Event,
    clip: Path,
    node_modules: Callable[[str], Path],
    scheme: str,
    locale: str,
) -> None:
    axe = node_modules(AXE_CORE) / "axe-core" / "axe.min.js"
    import time

    t = time.time()
    page = visit(queue, color_scheme=scheme, locale=locale)
    page.add_script_tag(path=axe)
    page.locator(".lt-why").wait_for()
    look_at(page, "at rest")
    print(time.time() - t)

    page.locator("#file input[type=file]").set_input_files(clip)
    expect(page.locator("#run")).to_be_enabled(timeout=PATIENCE_MS)
    print(time.time() - t)
    look_at(page, "a video that was looked at")
    print(time.time() - t)

    page.locator("#run").click()
    page.locator(".lt-latest img").wait_for()
    page.locator(".lt-run polyline").wait_for()
    page.locator(".lt-run button.label-wrap").click()
    look_at(page, "a running job")
    print(time.time() - t)
    page.get_by_role("tab").nth(1).click()
    page.locator("#jobs [data-state=running]").wait_for()
    look_at(page, "jobs")
    print(time.time() - t)
    page.get_by_role("tab").nth(2).click()
    page.locator("#system .lt-tile").first.wait_for()
    page.locator(".lt-actions button").last.click()
    page.locator("#doctor .lt-tile").wait_for()
    page.locator(".lt-why").click()
    look_at(page, "the system")
    print(time.time() - t)

    go.set()
    page.keyboard.press("Escape")
    page.get_by_role("tab").nth(0).click()
    page.locator(".lt-run [data-state=done]").wait_for()
    page.locator(".lt-worst img").wait_for()
    look_at(page, "a finished job")
    print(time.time() - t)
    assert not FOUND
