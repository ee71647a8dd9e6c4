"""The first screen: small on the wire, few components, and an example that runs at a click."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.example.crossing import BOX
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from ui import theme
from ui.front.early import EARLY, STYLES
from ui.front.mended import MENDED
from ui.jobs.uploads import REMOVAL_BOX
from ui.page import I18N
from ui.server.policy import Policy

PATIENCE_MS = 180_000
MOST_WIRE_BYTES = 45_000
MOST_COMPONENTS = 250
MOST_STOPS = 8
"""Presses of Tab from a file that was chosen to the picture to mark on."""
LEAST_TARGET_PX = 24
_ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"


@pytest.fixture
def url(
    make_queue: Callable[..., JobQueue],
    good_run: Any,
    page_over: Callable[..., gr.Blocks],
    serve: Callable[..., str],
) -> str:
    look = {"theme": theme.theme(), "css_paths": theme.CSS_PATHS, "i18n": I18N}
    return serve(page_over(make_queue(good_run)), **look)


def config_of(page: str) -> Any:
    found = re.search(r"window\.gradio_config = (.*?);</script>", page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_is_small_and_has_few_components(url: str) -> None:
    answer = httpx.get(url, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.num_bytes_downloaded <= MOST_WIRE_BYTES
    config = config_of(answer.text)
    assert len(config["components"]) <= MOST_COMPONENTS
    assert config["page"][""]["components"] == [each["id"] for each in config["components"]]
    assert "window.gradio_api_info" not in answer.text
    known = {None, config["layout"]["id"], *(each["id"] for each in config["components"])}
    for event in config["dependencies"]:
        used = {*event["inputs"], *event["outputs"], *(target for target, _ in event["targets"])}
        assert used <= known, (event["api_name"], event["targets"], sorted(used - known))
    plain = httpx.get(url, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == answer.text


def test_every_text_of_the_page_is_in_it_in_both_languages(url: str) -> None:
    config = config_of(httpx.get(url).text)
    tables = config["i18n_translations"]
    assert set(tables) == {"en", "zh"}, "zh-CN repeats zh"
    shown = set(re.findall(r'\\"key\\": \\"(\w+)\\"', json.dumps(config["components"])))
    assert shown and shown == set(tables["en"]) == set(tables["zh"])


def test_programs_still_find_all_of_the_api(url: str) -> None:
    info = httpx.get(f"{url}gradio_api/info").json()
    assert {"/score", "/inpaint", "/animate", "/submit"} <= set(info["named_endpoints"])
    listed = {each["api_name"] for each in config_of(httpx.get(url).text)["dependencies"]}
    assert {name.removeprefix("/") for name in info["named_endpoints"]} <= listed, "for *Use via API*"
    whole = httpx.get(f"{url}config").json()
    assert len(whole["components"]) > MOST_COMPONENTS and whole["components"][0]["props"]


def test_scripts_and_styles_are_files_that_are_kept_for_ever(url: str) -> None:
    page = httpx.get(url).text
    names = re.findall(r'(?:src|href)="\./(front/\w+-[0-9a-f]{12}\.\w+)"', page)
    script, style = (httpx.get(url + name) for name in names)
    for file, kind in ((script, "javascript"), (style, "css")):
        assert file.status_code == 200 and "immutable" in file.headers["cache-control"]
        assert file.headers["content-type"].startswith(f"text/{kind}")
    assert all(text in script.text for text in theme.SCRIPTS.values()) and "longtakeSheets" in script.text
    assert all((_ASSETS / name).read_text() in style.text for name in STYLES if name != "theme.css"), (
        "are there in this Gradio"
    )
    assert theme.theme()._get_theme_css() in style.text
    assert httpx.get(f"{url}front/page-000000000000.js").status_code == 404


@pytest.mark.browser
def test_the_first_screen_waits_for_no_file_that_is_not_asked_for_at_once(
    visit: Callable[..., Page], queue: JobQueue
) -> None:
    """Each import of Gradio's would ask for the next otherwise, and each for a style sheet of its own."""
    page = visit(queue, viewport={"width": 1440, "height": 900})
    expect(page.locator("#inpaint-run")).to_be_visible()
    asked = page.evaluate(
        "performance.getEntriesByType('resource').map((each) => new URL(each.name).pathname)"
    )
    assets = {Path(path).name for path in asked if "/assets/" in path}
    assert set(EARLY) <= assets, "and for none that is not needed"
    assert {name for name in assets - set(EARLY) if not name.startswith("index-")} == set()
    assert [path for path in asked if path.endswith("theme.css")] == []
    # The style sheets apply nevertheless, after the one that takes all paddings away.
    style = "(each) => { const it = getComputedStyle(each); return [it.paddingLeft, it.borderTopWidth]; }"
    tab = page.locator("[role=tab][data-tab-id=inpaint]:visible")
    assert [tab.evaluate(style)[0], page.locator("#inpaint-file").evaluate(style)[1]] == ["16px", "1px"]


def test_the_pictures_of_examples_are_none_of_the_cache_which_is_emptied(url: str) -> None:
    icons = re.findall(r'"icon":\{"path":"([^"]+)","url":"([^"]+)"', httpx.get(url).text.replace('": ', '":'))
    assert len(icons) >= 1
    for path, address in icons:
        assert Path(path).parent == Path(theme.__file__).parent / "pictures"
        assert httpx.get(address).headers["content-type"] == "image/webp"


@pytest.mark.parametrize("task", ["inpaint", "animate", "score"])
def test_the_pictures_of_examples_are_small(task: str) -> None:
    path = Path(theme.__file__).parent / "pictures" / f"{task}.webp"
    assert path.stat().st_size < 12_000
    with Image.open(path) as picture:
        assert picture.size == (320, 180)


def test_gradios_scripts_come_early_compressed_and_for_ever(url: str) -> None:
    page = httpx.get(url).text
    for name in EARLY:
        assert f'<link rel="modulepreload" href="./assets/{name}">' in page, "is there in this Gradio"
    file = httpx.get(f"{url}assets/{EARLY[0]}", headers={"accept-encoding": "gzip"})
    assert file.headers["content-encoding"] == "gzip" and "immutable" in file.headers["cache-control"]
    assert file.headers["content-type"].startswith("text/javascript")
    for name in ("..%2Findex.html", "%2e%2e/index.html", "nothing.js"):
        assert httpx.get(f"{url}assets/{name}").status_code in (403, 404)


def test_faults_of_gradios_scripts_are_mended(url: str) -> None:
    """The browser has tests of them, as in test_mended_page.py; here, that each is still there."""
    for name, faults in MENDED.items():
        right = (Path(gr.__file__).parent / "templates" / "frontend" / "assets" / name).read_bytes()
        for fault, instead in faults:
            assert right.count(fault) == 1 and instead not in right, (name, fault)
            right = right.replace(fault, instead)
        assert httpx.get(f"{url}assets/{name}").content == right


def test_no_event_tells_its_progress_to_all_that_it_updates(url: str) -> None:
    """Gradio reads all below them with each message that any event sends: below the tabs, that is the whole page."""
    events = [each for each in config_of(httpx.get(url).text)["dependencies"] if each["targets"]]
    assert len(events) > 20
    assert [each["id"] for each in events if each["show_progress_on"] != []] == []


def test_the_page_marks_the_balloon_where_the_example_has_it() -> None:
    assert REMOVAL_BOX == BOX


def test_fonts_are_whole() -> None:
    """Gradio's semibold IBM Plex Sans has but two Latin letters."""
    fonts = [font.name for font in (*theme.theme()._font, *theme.theme()._font_mono)]
    assert fonts == ["system-ui", "sans-serif", "ui-monospace", "monospace"]


@pytest.mark.browser
def test_an_example_runs_at_a_click_and_buttons_say_why_they_cannot(
    visit: Callable[..., Page], queue: JobQueue
) -> None:
    page = visit(queue, viewport={"width": 1440, "height": 900})
    run, why = page.locator("#inpaint-run"), page.locator("#inpaint-why-text")
    expect(run).to_be_disabled()
    expect(run).to_have_attribute("title", "Choose a video first.")
    expect(run).to_have_attribute("aria-describedby", "inpaint-why-text")
    expect(why.locator("[lang=en]")).to_be_visible()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Remove object")
    picture = page.locator("#inpaint-try-example img")
    expect(picture).to_have_js_property("naturalWidth", 320)
    assert page.evaluate(_SHINES_THROUGH) == [], "nothing is above the buttons that stay at the bottom"

    help = page.locator("#inpaint-setting-quality").get_by_role("button")
    sentence = page.locator("#inpaint-setting-quality-help")
    expect(sentence).to_be_hidden()
    help.click()
    expect(sentence).to_be_visible()
    expect(help).to_have_attribute("aria-expanded", "true")

    tab = page.locator("[role=tab][data-tab-id=inpaint]:visible")
    tab.focus()
    for key, name in (("ArrowRight", "animate"), ("End", "system"), ("ArrowRight", "inpaint")):
        page.keyboard.press(key)
        there = page.locator(f"[role=tab][data-tab-id={name}]:visible")
        expect(there).to_be_focused()
        expect(there).to_have_attribute("aria-selected", "true")

    page.locator("#inpaint-try-example").click()
    page.locator(".lt-run [data-state=done]").wait_for(timeout=PATIENCE_MS)
    expect(page.locator("#inpaint-try-example")).to_be_hidden()
    (job,) = Job.all(queue.jobs_dir)
    assert job.record().inputs[0].path.name == "longtake-balloon.mp4"
    report = json.loads((job.folder / "report.json").read_text())
    assert report["summary"]["frames_filled"] == 60


_SHINES_THROUGH = """() => {
  const ask = document.querySelector(".lt-ask:not([hidden])"), box = ask.getBoundingClientRect(), seen = [];
  for (let x = box.left + 4; x < box.right; x += 12) {
    for (let y = box.top + 4; y < Math.min(box.bottom, innerHeight); y += 6) {
      const top = document.elementFromPoint(x, y);
      if (top && !ask.contains(top)) seen.push(top.outerHTML.slice(0, 80));
    }
  }
  return seen;
}"""


@pytest.mark.browser
def test_the_pad_is_near_for_keyboards_and_targets_are_large_enough(
    visit: Callable[..., Page], make_queue: Callable[..., JobQueue], good_run: Any, clip: Path
) -> None:
    page = visit(make_queue(good_run), viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page.locator("#inpaint-why-text").wait_for()
    while not page.evaluate("document.activeElement.matches('#inpaint-file button')"):
        page.keyboard.press("Tab")
    with page.expect_file_chooser() as chooser:
        page.locator("#inpaint-file button").first.press("Enter")
    chooser.value.set_files(clip)
    expect(page.locator("#inpaint-why")).to_contain_text("Mark the object", timeout=PATIENCE_MS)
    page.locator(".lt-pad canvas").wait_for()
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.lt-pad canvas')"):
            break
    else:
        pytest.fail(f"the pad is not reached with {MOST_STOPS} presses of Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#inpaint-run")).to_be_enabled(timeout=PATIENCE_MS)
    page.locator(".lt-sheet summary").last.click()
    assert page.evaluate(_SMALL, LEAST_TARGET_PX) == []
    assert page.evaluate(_MOVES) == [], "whoever wants no motion gets none"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("animate", "score", "jobs", "system"):
        tab = page.locator(f"[role=tab][data-tab-id={name}]:visible")
        tab.click()
        expect(tab).to_be_in_viewport(ratio=0.9)


_SMALL = """(least) => [...document.querySelectorAll("button, input, select, textarea, summary, a[href], [role=tab]")]
  .filter((each) => each.offsetParent && getComputedStyle(each).opacity !== "0" && !each.closest("footer"))
  .filter((each) => {
    const { width, height } = each.getBoundingClientRect();
    return width > 0 && (width < least - 0.5 || height < least - 0.5);
  })
  .map((each) => each.outerHTML.slice(0, 120))"""


_MOVES = """() => [...document.querySelectorAll("body *")].filter((each) => {
  const { transitionDuration, animationDuration } = getComputedStyle(each);
  return `${transitionDuration}, ${animationDuration}`.split(", ").some((text) => parseFloat(text) > 0.001);
}).map((each) => each.outerHTML.slice(0, 120))"""


def test_a_page_of_a_server_with_logins_asks_for_a_password_alone(
    make_queue: Callable[..., JobQueue],
    good_run: Any,
    page_over: Callable[..., gr.Blocks],
    serve: Callable[..., str],
) -> None:
    url = serve(page_over(make_queue(good_run), Policy(local=False)), auth=("ann", "open sesame"))
    with httpx.Client() as client:
        asked = client.get(url)
        assert "gradio" not in asked.text and asked.text.count("<h1>") == asked.text.count("<main>") == 1
        assert "<title>Longtake</title>" in asked.text and asked.headers["cache-control"] == "no-store"
        assert client.get(f"{url}gradio_api/info").status_code == 401
        client.post(f"{url}login", data={"username": "ann", "password": "open sesame"})
        assert config_of(client.get(url).text)["username"] == "ann"
    assert "gradio_config" not in httpx.get(url).text, "what was kept for one user is not for strangers"
