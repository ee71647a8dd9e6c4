"""Settings that the browser keeps, in headless Chromium."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from pipelines.scheduler.queue import JobQueue
from pipelines.settings import InpaintSettings
from ui.jobs.uploads import keep

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
Visit = Callable[..., Page]

_STORED = "JSON.parse(localStorage.getItem('longtake.settings'))"
_NO_STORAGE = """
for (const name of ["getItem", "setItem"]) {
  const real = Storage.prototype[name];
  Storage.prototype[name] = function (key, ...more) {
    if (key.startsWith("longtake")) throw new DOMException("denied", "SecurityError");
    return real.call(this, key, ...more);
  };
}
"""

_SAVED_AT_ONCE = """() => {
  const field = document.querySelector("#score-setting-ram_limit_gb-field");
  field.value = "1.75";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  document.querySelector(".lt-own[data-task=score] [data-own-ask=save]").click();
  const form = document.querySelector(".lt-own[data-task=score] dialog[data-own=save] form");
  form.querySelector("input").value = "quick";
  form.requestSubmit();
  return JSON.parse(localStorage.getItem("longtake.settings")).own.score.quick;
}"""


def scoring(page: Page) -> None:
    page.locator("[role=tab][data-tab-id=score]:visible").click()


def field(page: Page, name: str) -> Locator:
    return page.locator(f"#score-setting-{name} :is(input, textarea, select)").first


def test_settings_are_there_again_and_presets_have_names(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, locale="en-US")
    scoring(page)
    row, more = page.locator(".lt-own[data-task=score]"), page.locator("#score-sheet-more summary")
    choice = row.get_by_role("combobox")
    more.click()
    field(page, "ram_limit_gb").fill("1.25")
    field(page, "end").fill("7")
    page.wait_for_function(f"{_STORED}?.last.score?.ram_limit_gb === '1.25'")
    assert "end" not in page.evaluate(_STORED)["last"]["score"], "it is of one video"

    row.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the preset").fill("<b>small</b>")
    dialog.get_by_label("Name of the preset").press("Enter")
    expect(choice.locator("option:checked")).to_have_text("<b>small</b>")
    choice.select_option("defaults")
    expect(field(page, "ram_limit_gb")).to_have_value("", timeout=PATIENCE_MS)
    expect(field(page, "end")).to_have_value("7")
    choice.select_option("own <b>small</b>")
    expect(field(page, "ram_limit_gb")).to_have_value("1.25", timeout=PATIENCE_MS)

    # What another version kept: what fits comes back, the rest is dropped.
    page.wait_for_function(f"{_STORED}?.last.score?.ram_limit_gb === '1.25'")
    stored = page.evaluate(_STORED)
    stored["last"]["score"] |= {"quality": "best", "vram_limit_gb": "2.5", "gone": 1}
    stored["last"]["inpaint"] = {"salvage": True}
    page.evaluate("text => localStorage.setItem('longtake.settings', text)", json.dumps(stored))
    page.reload()
    scoring(page)
    more.click()
    expect(field(page, "vram_limit_gb")).to_have_value("2.5", timeout=PATIENCE_MS)
    expect(field(page, "ram_limit_gb")).to_have_value("1.25")
    expect(field(page, "end")).to_have_value("")
    page.get_by_role("tab", name="Remove object").click()
    removal = page.locator(".lt-own[data-task=inpaint]")
    expect(removal).to_be_visible()
    expect(removal.get_by_role("button", name="Delete")).to_be_disabled()
    page.get_by_role("tab", name="Score").click()
    choice.select_option("own <b>small</b>")
    row.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(choice.locator("option")).to_have_count(3)
    row.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(choice.locator("option")).to_have_count(2)
    assert page.evaluate(_STORED)["own"]["score"] == {}

    page.evaluate("localStorage.setItem('longtake.settings', '{\"version\": 1, \"last\": [[[')")
    page.reload()
    scoring(page)
    more.click()
    expect(field(page, "vram_limit_gb")).to_have_value("")
    field(page, "vram_limit_gb").fill("3")
    page.wait_for_function("""localStorage.getItem('longtake.settings').includes('"vram_limit_gb":"3"')""")
    quick = page.evaluate(_SAVED_AT_ONCE)
    assert (quick["ram_limit_gb"], quick["vram_limit_gb"]) == ("1.75", "3"), "what is shown is what is saved"
    assert "end" not in quick and quick["salvage"] is False


def test_a_browser_without_storage_serves_as_well(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, locale="en-US")
    page.evaluate("localStorage.setItem('longtake.settings', '{\"version\": 1, \"last\": [[[')")
    page.add_init_script(_NO_STORAGE)
    page.reload()
    scoring(page)
    row = page.locator(".lt-own[data-task=score]")
    page.locator("#score-sheet-more summary").click()
    field(page, "ram_limit_gb").fill("1.25")
    row.get_by_role("button", name="Save").click()
    name = page.get_by_role("dialog").get_by_label("Name of the preset")
    name.fill("mine")
    name.press("Enter")
    row.get_by_role("combobox").select_option("defaults")
    expect(field(page, "ram_limit_gb")).to_have_value("", timeout=PATIENCE_MS)
    row.get_by_role("combobox").select_option("own mine")
    expect(field(page, "ram_limit_gb")).to_have_value("1.25", timeout=PATIENCE_MS)


_DROP = """(text) => {
  const data = new DataTransfer();
  data.items.add(new File([text], "job.json", { type: "application/json" }));
  const target = document.querySelector("#inpaint-file");
  for (const type of ["dragenter", "dragover", "drop"])
    target.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def test_a_dropped_job_shows_its_question_and_a_hostile_one_a_sentence(
    visit: Visit, make_queue: Callable[..., JobQueue], clip: Path
) -> None:
    queue = make_queue(lambda _: iter(()))
    asked = InpaintSettings(box=("4,4,20,20@7",), quality="high", end=1.2)
    job = queue.submit("inpaint", keep(clip, queue.jobs_dir), asked)
    page = visit(queue, locale="en-US")
    page.locator("#inpaint-file").wait_for()
    toast = page.get_by_test_id("toast-body")
    for hostile, said in ((" " * 256_001, "too large"), ("[" * 100_000, "not a job.json")):
        page.evaluate(_DROP, hostile)
        expect(toast.filter(has_text=said)).to_be_visible(timeout=PATIENCE_MS)
    page.evaluate(_DROP, (job.folder / "job.json").read_text())
    expect(page.get_by_role("tab", name="Remove object")).to_have_attribute(
        "aria-selected", "true", timeout=PATIENCE_MS
    )
    expect(page.locator("#inpaint-marked [data-frames]")).to_have_attribute(
        "data-frames", "7", timeout=PATIENCE_MS
    )
    expect(page.locator(".lt-pad")).to_have_attribute("data-video", "clip.mp4")
    expect(page.locator("#inpaint-setting-end :is(input, textarea)")).to_have_value("1.2")
    expect(page.locator("#inpaint-run")).to_be_enabled(timeout=PATIENCE_MS)
