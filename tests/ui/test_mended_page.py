"""Faults of Gradio's scripts that undo what a visitor does, mended in `ui/front/mended.py`, in headless Chromium."""

import threading
from collections.abc import Callable

import gradio as gr
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from ui.components.run_view import PRIVATE

pytestmark = pytest.mark.browser

Serve = Callable[..., str]
NewContext = Callable[..., BrowserContext]

# Frames that are asked for while `held` is a list wait in it.
_FRAMES = """(() => {
  const ask = window.requestAnimationFrame.bind(window);
  window.held = null;
  window.requestAnimationFrame = (then) => (window.held ? window.held.push(then) : ask(then));
  window.release = async () => {
    const waiting = window.held;
    window.held = null;
    for (const then of waiting) then(performance.now());
    await new Promise((next) => setTimeout(next));
    return waiting.length;
  };
})()"""


def test_what_is_typed_before_the_first_frame_of_an_opened_accordion_stays(
    new_context: NewContext, serve: Serve
) -> None:
    with gr.Blocks() as blocks, gr.Accordion("More", open=False):
        gr.Textbox("old", label="Words", interactive=True)
    page = _page(new_context, serve(blocks))
    words = page.get_by_label("Words")
    page.evaluate("window.held = []")
    page.get_by_role("button", name="More").evaluate("(button) => button.click()")
    words.wait_for(state="attached")
    words.evaluate(
        """(field) => {
          field.value = "typed";
          field.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    assert page.evaluate("window.release()"), "Gradio waits for a frame"
    assert words.input_value() == "typed"


def test_what_is_asked_for_while_an_event_fails_is_answered(
    new_context: NewContext, serve: Serve, until: Callable[[Callable[[], object]], None]
) -> None:
    asked, refused = threading.Event(), threading.Event()

    def answer(words: str) -> str:
        if words == "wrong":
            asked.set()
            refused.wait()
            raise gr.Error("No.")
        return f"{words} is right"

    with gr.Blocks() as blocks:
        words = gr.Textbox(label="Words")
        words.change(answer, words, gr.Textbox(label="Answer"), **PRIVATE)
    page = new_context().new_page()
    page.goto(serve(blocks))
    page.get_by_label("Words").fill("wrong")
    until(lambda: page.evaluate("true") and asked.is_set())
    page.get_by_label("Words").fill("this")
    page.evaluate("new Promise((next) => setTimeout(next))")
    refused.set()
    expect(page.get_by_label("Answer")).to_have_value("this is right")


def _page(new_context: NewContext, url: str) -> Page:
    page = new_context().new_page()
    page.add_init_script(_FRAMES)
    page.goto(url)
    page.get_by_role("button", name="More").wait_for()
    return page
