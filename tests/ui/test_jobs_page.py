"""The list of jobs and the progress in the browser's tab, in headless Chromium."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import InpaintSettings, ScoreSettings, TrackSettings, trial

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
Visit = Callable[..., Page]

_HIDDEN = """() => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
  // A hidden tab draws no frames.
  window.requestAnimationFrame = () => 0;
  document.dispatchEvent(new Event("visibilitychange"));
}"""
_NOTIFIED = """() => {
  window.told = [];
  window.asked = 0;
  window.Notification = class {
    static permission = "default";
    static async requestPermission() { window.asked += 1; return (this.permission = "granted"); }
    constructor(title, options) { window.told.push([title, options.tag]); }
    close() {}
  };
}"""


def test_jobs_are_told_apart_filtered_moved_and_removed(
    visit: Visit, make_queue: Callable[..., JobQueue], endless: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(endless)
    other = clip.with_name("other.mp4")
    other.write_bytes(clip.read_bytes())
    queue.submit("score", clip, ScoreSettings())
    box = ("4,4,20,20@0",)
    full = queue.submit("inpaint", clip, InpaintSettings(box=box, start=0.4))
    preview = queue.submit("inpaint", other, trial(InpaintSettings(box=box)))
    check = queue.submit("track", clip, TrackSettings(box=box))
    page = visit(queue, locale="en-US")
    page.get_by_role("tab", name="Jobs").click()
    row = {job: page.locator(f"#jobs li[data-job='{job.id}']") for job in (full, preview, check)}
    for job, words in {full: "Part of the video", preview: "Preview", check: "Preview mask"}.items():
        expect(row[job]).to_contain_text(words)
        expect(row[job].locator("img")).to_have_js_property("naturalWidth", 160, timeout=PATIENCE_MS)
    expect(row[full]).to_contain_text("1.2 s")
    expect(row[preview]).to_contain_text("1.6 s")

    filters = page.locator("#jobs-filters")
    filters.get_by_text("Preview", exact=True).click()
    expect(page.locator("#jobs li:visible")).to_have_count(1)
    expect(row[preview]).to_be_visible()
    filters.get_by_text("Done", exact=True).click()
    expect(page.locator("#jobs")).to_contain_text("No job matches")
    filters.get_by_text("All", exact=True).click()
    filters.get_by_text("All kinds", exact=True).click()
    filters.get_by_role("searchbox").fill("OTHER")
    expect(page.locator("#jobs li:visible")).to_have_count(1)
    filters.get_by_role("searchbox").fill("")

    assert queue.waiting == [full, preview, check]
    row[check].get_by_role("button", name="Move up").press("Enter")
    expect(row[check]).to_contain_text("1 jobs ahead")
    assert queue.waiting == [full, check, preview]
    expect(row[check].get_by_role("button", name="Move up")).to_be_focused()

    row[full].get_by_role("button", name="Remove").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("Remove this job from the queue?")
    expect(asked).to_contain_text("clip.mp4")
    asked.get_by_role("button", name="Keep it").click()
    expect(asked).to_be_hidden()
    assert full in queue.waiting
    row[full].get_by_role("button", name="Remove").click()
    asked.get_by_role("button", name="Remove").click()
    expect(row[full]).to_have_count(0)
    assert queue.waiting == [check, preview]
    assert not full.exists()
    assert queue.running
    queue.stop(queue.running[0])


def test_a_hidden_tab_says_how_far_its_job_is_and_that_it_has_ended(
    visit: Visit,
    make_queue: Callable[..., JobQueue],
    progress: Callable[..., events.Progress],
    good_run: Callable[[Job], Iterator[Event]],
    clip: Path,
) -> None:
    steps = threading.Semaphore(0)

    def run(job: Job) -> Iterator[Event]:
        told = list(good_run(job))
        yield from told[:2]
        for event in (progress(job.id, 10), progress(job.id, 30), told[-1]):
            steps.acquire()
            yield event

    page = visit(make_queue(run), locale="en-US")
    page.evaluate(_NOTIFIED)
    expect(page).to_have_title("Longtake")
    page.locator("[role=tab][data-tab-id=score]:visible").click()
    page.locator("#score-file input[type=file]").set_input_files(clip)
    expect(page.locator("#score-run")).to_be_enabled(timeout=PATIENCE_MS)
    ask = page.get_by_role("button", name="Notify me")
    expect(ask).to_be_hidden()
    page.locator("#score-run").click()
    steps.release()
    expect(page).to_have_title("25 % · clip.mp4 – Longtake", timeout=PATIENCE_MS)
    icon = page.locator("#lt-icon").get_attribute("href")
    assert icon and icon.startswith("data:image/png")
    assert page.evaluate("asked") == 0, "nobody is asked before a click"
    ask.click()
    expect(ask).to_be_hidden()
    page.evaluate(_HIDDEN)
    steps.release()
    expect(page).to_have_title("75 % · clip.mp4 – Longtake", timeout=PATIENCE_MS)
    assert page.locator("#lt-icon").get_attribute("href") != icon
    assert page.evaluate("told") == []
    steps.release()
    expect(page).to_have_title("✓ · clip.mp4 – Longtake", timeout=PATIENCE_MS)
    ((words, _),) = page.evaluate("told")
    assert words == "Done: clip.mp4"
    page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page).to_have_title("Longtake")
    expect(page.locator("#lt-icon")).to_have_count(0)
