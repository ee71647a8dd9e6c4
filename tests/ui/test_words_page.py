"""One language at a time on the page, and what is said of a mask as soon as it is uploaded, in headless Chromium."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from pipelines.errors import DamagedVideo, Sentence
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from pipelines.spec import task_spec
from ui.i18n.words import STATIC
from ui.jobs.uploads import keep

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


SETTLING_MS = 5_000
ENGLISH_TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!['SCRIPT', 'STYLE', 'CODE'].includes(parent.tagName) && parent.checkVisibility())
      found.push(walker.currentNode.data.trim());
  }
  for (const each of document.querySelectorAll('[aria-label], [alt], [placeholder], [title]'))
    for (const name of ['aria-label', 'alt', 'placeholder', 'title'])
      if (each.checkVisibility()) found.push(each.getAttribute(name) ?? '');
  // Two words in a row, of which the second does not begin as names do; these are names of a program and a licence.
  const names = /ffmpeg version .*|InsightFace model licence/g;
  return found.filter(text => /[A-Za-z]{2,}[,.:;]? +[a-z]{2,}/.test(text.replace(names, '')));
}"""
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


def english(page: Page) -> list[str]:
    """The sentences on the screen that a Chinese reader gets in English; names, file names and code are none.

    Gradio's own controls get their names in the page's language a moment after they are there.
    """

    with suppress(PlaywrightTimeout):
        page.wait_for_function(f"() => !({ENGLISH_TEXTS})().length", timeout=SETTLING_MS)
    return list(page.evaluate(ENGLISH_TEXTS))


def test_a_chinese_reader_finds_no_english_sentence_on_any_tab(
    visit: Visit,
    make_queue: Callable[..., JobQueue],
    clip: Path,
    plan: events.Planned,
    report: dict[str, Any],
) -> None:
    """Also of a job with warnings of each kind, of a paused one and of one that failed, and in the diagnostics."""

    def run(job: Job) -> Iterator[events.Event]:
        end = job.record().asked.get("end")
        yield events.Started(job=job.id, worker_pid=1)
        yield plan.model_copy(update={"job": job.id, "facts": damaged_facts(plan.facts)})
        if end == 1:
            yield events.Paused(job=job.id, message="On request.", key="paused.asked")
        elif end == 0.5:
            yield events.Failed.of(
                job.id, DamagedVideo("x is damaged.", "", "video.damaged_frames", name=clip.name)
            )
        else:
            words = Sentence(
                "3 frames are skipped.", "damaged", missing=3, damage_key="damage.missing", frame=7
            )
            yield events.Warned.of(job.id, "damaged", words)
            yield events.Degraded(job=job.id, frame=3, rung="tile", change="close", message="Smaller tiles.")
            curve = {
                "frames_a_point": 1,
                **dict.fromkeys(("mean", "lowest", "window_score", "jump"), [0.5] * 40),
            }
            summary = {**report["summary"], "duration_seconds": 1.6, "curve": curve}
            written, picture = job.folder / "report.json", job.folder / "report.png"
            written.write_text(json.dumps({**report, "video": {"frame_rate": "25"}, "summary": summary}))
            Image.new("RGB", (8, 8)).save(picture)
            yield job.done_with(events.Outputs(report=written, picture=picture))

    queue = make_queue(run)
    kept, version = keep(clip, queue.jobs_dir), task_spec("score").result_version
    jobs = [
        Job.create(queue.jobs_dir, "score", (kept,), ScoreSettings(end=end), version)
        for end in (None, 1, 0.5)
    ]
    for job in jobs:
        queue.start(job)
        list(queue.listen(job))
    page = visit(queue, locale="zh-CN")
    page.locator("#inpaint-run").wait_for()
    left = english(page)
    for tab in ("animate", "score", "jobs", "system"):
        page.locator(f"[role=tab][data-tab-id={tab}]:visible").click()
        page.locator({"jobs": ".lt-jobs", "system": ".lt-system"}.get(tab, f"#{tab}-run")).first.wait_for()
        left += english(page)
    page.get_by_role("button", name=STATIC["longtake_doctor"][1]).click()
    page.locator(".lt-doctor li").first.wait_for()
    left += english(page)
    page.locator("button.lt-why").click()
    left += english(page)
    for job, state in zip(jobs, ("done", "paused", "failed"), strict=True):
        other = page.context.new_page()
        other.goto(f"{page.url.partition('?')[0]}?job={job.id}")
        expect(other.locator(".lt-run .lt-strip")).to_have_attribute("data-state", state, timeout=PATIENCE_MS)
        other.locator(".lt-details button").first.click()
        other.locator(".lt-log li").first.wait_for()
        left += english(other)
        other.close()
    assert not left


def damaged_facts(facts: events.Facts) -> events.Facts:
    values = {"damage": "frame 7 is missing", "damage_key": "damage.missing", "damage_values": {"frame": 7}}
    return facts.model_copy(update=values)
