"""One language at a time on the page, and what is said of a mask as soon as it is uploaded, in headless Chromium."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui.i18n.words import STATIC

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
Visit = Callable[..., Page]
CHINESE = re.compile(r"[\u3400-\u9fff]")
NAMES = """() => [...document.querySelectorAll('[aria-label], [alt], [placeholder], [title]')].flatMap(each =>
  ['aria-label', 'alt', 'placeholder', 'title'].map(name => each.getAttribute(name)).filter(Boolean))"""


def open_removal(page: Page, clip: Path, language: int) -> None:
    page.locator("#tabs").get_by_role("tab", name=TITLES[language]).click()
    page.locator("#inpaint-file input[type=file]").set_input_files(clip)
    page.locator("#inpaint-editor canvas").wait_for(timeout=PATIENCE_MS)


TITLES = ("Remove object", "移除物体")


def give_mask(page: Page, mask: Image.Image, path: Path, language: int) -> None:
    mask.save(path)
    page.get_by_role("button", name=STATIC["longtake_mask_file"][language]).click()
    page.locator("#inpaint-mask input[type=file]").set_input_files(path)


def square(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width, height))
    mask.paste(255, (width // 4, height // 4, width // 2, height // 2))
    return mask


def test_a_mask_of_another_shape_is_told_at_upload_and_can_be_stretched(
    visit: Visit, queue: JobQueue, clip: Path, tmp_path: Path
) -> None:
    page = visit(queue)
    open_removal(page, clip, 0)
    give_mask(page, square(120, 160), tmp_path / "tall.png", 0)
    note = page.locator("#inpaint-mask-note")
    told = "The mask tall.png is 120 × 160 pixels, the video 160 × 120."
    expect(note).to_contain_text(told, timeout=PATIENCE_MS)
    assert "/" not in note.inner_text() and "--" not in note.inner_text()
    page.locator("#inpaint-run").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text(told, timeout=PATIENCE_MS)
    assert not CHINESE.search(page.get_by_test_id("toast-body").inner_text())
    assert not Job.all(queue.jobs_dir), "no job is started that cannot end well"
    page.locator("#inpaint-mask-stretch").click()
    expect(note).to_contain_text("is stretched", timeout=PATIENCE_MS)
    expect(page.locator("#inpaint-mask-stretch")).to_be_hidden()
    page.locator("#inpaint-run").click()
    page.locator(".lt-run [data-state=done]").wait_for(timeout=PATIENCE_MS)
    (job,) = Job.all(queue.jobs_dir)
    assert job.record().settings.model_dump()["scale_mask"] is True


@pytest.mark.parametrize(("locale", "language"), [("en-GB", 0), ("zh-CN", 1)])
def test_no_name_or_message_is_in_two_languages(
    visit: Visit, queue: JobQueue, clip: Path, tmp_path: Path, locale: str, language: int
) -> None:
    page = visit(queue, locale=locale)
    open_removal(page, clip, language)
    why = page.locator("#inpaint-why")
    expect(why).to_contain_text(("Mark the object to remove", "标记要移除的物体")[language])
    names = [*page.evaluate(NAMES), why.inner_text()]
    both = [
        name for name in names if CHINESE.search(name) and re.search(r"[a-z]{3}.* / | / .*[a-z]{3}", name)
    ]
    assert names and not both
    if language == 0:
        assert not [name for name in names if CHINESE.search(name)]
    else:
        pad = page.locator(".lt-tools [type=range]").get_attribute("aria-label")
        assert pad and CHINESE.search(pad) and not re.search("[a-z]{3}", pad)
        foreign = [name for name in names if re.search("[a-z]{3}", name) and not CHINESE.search(name)]
        assert set(foreign) <= {clip.name}, "Gradio's own controls have names in the page's language too"
