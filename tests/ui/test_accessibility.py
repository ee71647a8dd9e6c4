"""The page for people who do not see it or point at it: axe-core finds nothing serious, and a keyboard is enough."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from pipelines.errors import LongtakeError
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings

pytestmark = pytest.mark.browser

AXE_CORE = "axe-core@4.14.1"
WIDTHS = (390, 1280)
PATIENCE_MS = 180_000
MOST_STOPS = 60

GRADIOS_OWN = {
    # Its name says "Click to upload or drop files", its text "Drop File Here - or - Click to Upload"; both are fixed.
    "label-content-name-mismatch": ".upload-container",
}
"""What Gradio brings and nobody outside can change: rule -> elements where it is not held against us."""

_LOOK = """async (excused) => {
  const { violations } = await axe.run(document, { resultTypes: ['violations'] });
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .flatMap(({ id, nodes }) => nodes
      .filter(({ target }) => !(excused[id] && document.querySelector(target).matches(excused[id])))
      .map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`));
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
    message = "Memory ended: batches of 4."
    yield events.Degraded(job=job.id, frame=20, rung="batch", change="exact", message=message)
    yield events.Warned(job=job.id, code="slow", message="The disk is slow.")


def tab(page: Page, name: str) -> Locator:
    return page.locator(f"[role=tab][data-tab-id={name}]:visible")


def be_running(page: Page) -> None:
    page.locator(".lt-latest:not(.lt-waiting) img").wait_for()
    page.locator(
        ".lt-thumbnail img"
    ).wait_for()  # the last that comes: leaving the page breaks nothing off then


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
    page, found = visit(queue, color_scheme=scheme, locale=locale), []

    def look(state: str) -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            found.extend(f"{state}, {width} px: {told}" for told in page.evaluate(_LOOK, GRADIOS_OWN))

    page.add_script_tag(path=axe)
    # A colour on its way to another one is nobody's fault.
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")
    page.locator(".lt-why").wait_for()
    look("at rest")

    tab(page, "score").click()
    page.locator("#score-file input[type=file]").set_input_files(clip)
    expect(page.locator("#score-run")).to_be_enabled(timeout=PATIENCE_MS)
    look("a video that was looked at")

    page.locator("#score-run").click()
    be_running(page)
    page.locator(".lt-run button.label-wrap:visible").click()
    look("a running job and its log")

    tab(page, "jobs").click()
    expect(page.locator("#jobs li")).to_have_count(5)
    look("jobs")

    tab(page, "system").click()
    page.locator(".lt-actions button:visible").last.click()
    page.locator("#doctor .lt-tile").wait_for()
    page.locator(".lt-why").click()
    expect(page.locator("#lt-why")).to_be_visible()
    look("the system, and why this preset")
    page.keyboard.press("Escape")

    tab(page, "inpaint").click()
    page.locator("#inpaint-file input[type=file]").set_input_files(clip)
    page.locator(".lt-pad canvas").wait_for()
    page.locator(".lt-fold summary").click()
    page.locator("#inpaint-setting-box textarea").fill("10,10,40,40@0 10,10,40,40@39")
    page.locator("#inpaint-marked .lt-turn").first.wait_for()
    look("a video to be marked")

    tab(page, "animate").click()
    page.locator("#animate-why-text").wait_for()
    look("a portrait to be animated")

    go.set()
    tab(page, "score").click()
    page.locator(".lt-worst img").wait_for()
    look("a finished job")
    assert not found, "\n".join(found)
    page.add_style_tag(content=".lt-name { color: #777 !important }")
    look("a name that is hard to read")
    assert found, "axe is heard"


def test_all_can_be_done_by_keyboard(visit: Callable[..., Page], queue: JobQueue, clip: Path) -> None:
    page = visit(queue)
    page.locator(".lt-why").wait_for()

    def press(selector: str) -> None:
        for _ in range(MOST_STOPS):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                page.keyboard.press("Enter")
                return
        pytest.fail(f"{selector} is not reached by keyboard")

    press(".lt-why")
    expect(page.locator("#lt-why")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#lt-why")).to_be_hidden()
    press("[data-tab-id=score]")
    with page.expect_file_chooser() as chooser:
        press("#score-file button")
    chooser.value.set_files(clip)
    expect(page.locator("#score-run")).to_be_enabled(timeout=PATIENCE_MS)
    press("#score-run")
    be_running(page)
    press(".lt-cancel")
    cancelled = page.locator(".lt-run [data-state=cancelled]")
    cancelled.wait_for()
    press(".lt-link")
    page.wait_for_load_state()
    cancelled.wait_for()
    press("[data-tab-id=jobs]")
    press("#jobs [data-state=cancelled] a")
    page.wait_for_load_state()
    cancelled.wait_for()
    page.once("dialog", lambda dialog: dialog.accept())
    press(".lt-delete")
    expect(page.locator(".lt-run [data-state]")).to_be_hidden()
    press("[data-tab-id=system]")
    expect(page.locator("#system")).to_contain_text("The last hour")


def test_the_page_that_asks_for_a_password_is_for_everyone(
    new_context: Callable[..., BrowserContext],
    start_app: Callable[..., Any],
    node_modules: Callable[[str], Path],
) -> None:
    url = start_app("--auth=ann:open sesame").url
    page = new_context(locale="en-GB").new_page()
    page.goto(url)
    expect(page).to_have_title("Longtake")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("ann")
    told = page.get_by_role("alert")
    for _ in range(6):
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button")).to_have_attribute("aria-disabled", "false", timeout=PATIENCE_MS)
    expect(told).to_contain_text("Too many wrong passwords. Try again in")
    page.add_script_tag(path=node_modules(AXE_CORE) / "axe-core" / "axe.min.js")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("async () => (await axe.run(document)).violations.map(({ id }) => id)")
        assert found == [], scheme
