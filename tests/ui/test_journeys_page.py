"""What visitors came for, from a file to its result, and what they are told where it cannot be had."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui.server.policy import Policy

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
Visit = Callable[..., Page]
Until = Callable[[Callable[[], object]], None]
SIZES = ((1280, 720), (390, 844), (1440, 900))
SEEN = """(video) => {
  const box = video.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && box.width * box.height;
}"""


def test_a_removal_is_three_clicks_and_a_drag(
    visit: Visit, queue: JobQueue, clip: Path, until: Until
) -> None:
    page = visit(queue, viewport={"width": 1280, "height": 720}, locale="en-US")
    page.locator("#inpaint-why-text").wait_for()
    with page.expect_file_chooser() as chooser:
        page.locator("#inpaint-file button").first.click()
    chooser.value.set_files(clip)
    canvas = page.locator(".lt-pad canvas")
    expect(page.locator(".lt-pad img")).to_have_js_property("naturalWidth", 160)
    canvas.hover()  # it stays where it is
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    run = page.locator("#inpaint-run")
    expect(run).to_be_enabled(timeout=PATIENCE_MS)
    run.click()
    film = page.locator(".lt-film video.lt-plain")
    expect(film).to_have_js_property("readyState", 4, timeout=PATIENCE_MS)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        # The page scrolls to the run when it begins; the result is seen without scrolling.
        until(lambda: page.evaluate("scrollTo(0, 0)") or film.evaluate(SEEN) > 40_000)
    with page.expect_download() as taken:
        page.locator("a.lt-download").click()
    assert taken.value.suggested_filename == "clip_removed.mp4"
    (job,) = Job.all(queue.jobs_dir)
    assert (job.folder / "result.mp4").read_bytes() == Path(taken.value.path()).read_bytes()


def test_what_does_not_fit_is_said_before_it_is_started_with_what_a_visitor_can_do(
    visit: Visit, queue: JobQueue, clip: Path, until: Until
) -> None:
    page = visit(queue, Policy(local=False, ram_limit_gb=0.05), locale="en-US")
    page.get_by_role("tab", name="Score").click()
    source = page.locator(".lt-source:visible")
    before = source.evaluate("(block) => block.offsetHeight")
    page.locator("#score-file input[type=file]").set_input_files(clip)
    card = page.locator(".lt-card:visible")
    expect(card).to_contain_text("This does not fit", timeout=PATIENCE_MS)
    expect(card).to_contain_text("Choose a lower quality, scale the video down")
    assert "--" not in card.inner_text()
    run = page.locator("#score-run")
    expect(run).to_be_disabled()
    assert "--" not in str(run.get_attribute("title"))
    expect(page.locator("#score-engines .lt-runs, #score-engines [data-runs]")).to_have_count(0)
    expect(page.locator(".lt-examples:visible")).to_have_count(0)
    until(
        lambda: source.evaluate("(block) => block.offsetHeight") < before
    )  # a file needs no room to drop it
    assert not Job.all(queue.jobs_dir)
