"""The streams by which the page hears of its events, in headless Chromium."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui.components.run_view import PRIVATE

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]
STREAMS = "**/queue/data?*"


def test_what_is_asked_for_while_a_stream_ends_is_answered(
    new_context: Callable[..., BrowserContext],
    serve: Callable[..., str],
    until: Callable[[Callable[[], object]], None],
) -> None:
    with gr.Blocks() as blocks:
        for name in ("first", "second"):
            said = f"{name} answer"
            gr.Button(name).click(lambda said=said: said, None, gr.Textbox(elem_id=name), **PRIVATE)
    page, held = new_context().new_page(), list[Route]()
    page.goto(serve(blocks))
    page.route(STREAMS, lambda route: route.continue_() if held else held.append(route))
    page.get_by_role("button", name="first").click()
    until(lambda: page.evaluate("true") and held)
    answer = held[0].fetch(timeout=0)
    assert "close_stream" in answer.text(), "the server has ended it"
    with page.expect_response("**/queue/join?*"):
        page.get_by_role("button", name="second").click()
    held[0].fulfill(response=answer)
    for name in ("first", "second"):
        expect(page.locator(f"#{name} textarea")).to_have_value(f"{name} answer")


def test_a_page_that_is_asked_to_leave_and_stays_hears_on(
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
        for event in (progress(job.id, 10), told[-1]):
            steps.acquire()
            yield event

    page = visit(make_queue(run), locale="en-US")
    page.get_by_role("tab", name="Score").click()
    page.locator("#score-file input[type=file]").set_input_files(clip)
    expect(page.locator("#score-run")).to_be_enabled()
    page.locator("#score-run").click()
    page.locator(".lt-run [data-state=running]").wait_for()
    page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))")
    steps.release()
    expect(page.locator(".lt-run progress")).to_have_attribute("value", "10")
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    steps.release()
    page.locator(".lt-run [data-state=done]").wait_for()


def test_a_page_complains_until_it_is_left(new_context: Callable[..., BrowserContext]) -> None:
    """What `visit` fails at: all that a page complains of, but not what it says once it has been left."""
    page, said = new_context().new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(error.message))
    page.goto("data:text/html,<title>here</title>")
    for event, number in (("beforeunload", 1), ("pagehide", 2), ("pageshow", 3)):
        page.evaluate(
            """([event, number]) => {
              dispatchEvent(new Event(event));
              console.error(`said ${number}`);
              Promise.reject(new Error(`broken ${number}`));
              setTimeout(() => { throw new Error(`thrown ${number}`); });
              return new Promise((next) => setTimeout(next, 100));
            }""",
            [event, number],
        )
    assert sorted(said) == ["broken 1", "broken 3", "said 1", "said 3", "thrown 1", "thrown 3"]
