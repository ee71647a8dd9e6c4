"""Faults of Gradio's scripts that undo what a visitor does, mended in `ui/front/mended.py`, in headless Chromium."""

from collections.abc import Callable

import gradio as gr
import pytest
from playwright.sync_api import BrowserContext, Page

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


def _page(new_context: NewContext, url: str) -> Page:
    page = new_context().new_page()
    page.add_init_script(_FRAMES)
    page.goto(url)
    page.get_by_role("button", name="More").wait_for()
    return page
