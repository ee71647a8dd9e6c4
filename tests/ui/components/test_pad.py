"""Marking what is to be removed, on the pad over a frame, in headless Chromium."""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from pipelines.jobs.events import Event, Outputs
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import InpaintSettings, TrackSettings

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
HINTS = ("setting-box", "setting-point", "strokes")
Visit = Callable[..., Page]


def open_removal(page: Page, clip: Path) -> None:
    page.get_by_role("tab", name="Remove object").click()
    page.locator("#inpaint-file input[type=file]").set_input_files(clip)
    expect(page.locator("#inpaint-why")).to_contain_text("Mark the object", timeout=PATIENCE_MS)


def pad_of(page: Page) -> Locator:
    """The pad, when its frame is seen."""
    pad = page.locator("#inpaint-editor canvas")
    pad.wait_for()
    expect(page.locator(".lt-pad img")).to_have_js_property("complete", True)
    return pad


def mark(page: Page, tool: str, *places: tuple[float, float], size: tuple[int, int] = (160, 120)) -> None:
    """Drag over places of the video's picture, with the mouse; one place is a click."""
    page.locator(f".lt-tools label:has([value={tool}])").click()
    pad = pad_of(page)
    pad.hover()  # it stays where it is
    box = pad.bounding_box()
    assert box
    at = [(box["x"] + box["width"] * x / size[0], box["y"] + box["height"] * y / size[1]) for x, y in places]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def hints(page: Page) -> list[str]:
    """What stands in the fields: boxes, points and strokes."""
    return [page.locator(f"#inpaint-{name} textarea, #inpaint-{name} input").input_value() for name in HINTS]


def turn_to(page: Page, frame: int) -> None:
    number = page.locator("#inpaint-frame input[type=number]")
    number.fill(str(frame))
    number.press("Enter")
    page.locator(f".lt-pad[data-frame='{frame}']").wait_for()


def test_what_is_painted_over_is_removed(visit: Visit, queue: JobQueue, clip: Path) -> None:
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    mark(page, "paint", (80, 60), (90, 70))
    page.locator("#inpaint-marked [data-frames='0']").wait_for()
    page.locator("#inpaint-follow input").uncheck()
    page.locator("#inpaint-run").click()
    page.locator(".lt-run [data-state=done]").wait_for()
    expect(page.locator(".lt-report")).to_contain_text("Frames filled")
    film = page.locator(".lt-film video.lt-plain")
    expect(film).to_have_js_property("videoWidth", 160)
    expect(page.locator(".lt-files a[href$='/clip_removed.mp4']")).to_be_visible()
    (job,) = Job.all(queue.jobs_dir)
    settings = job.record().settings
    assert isinstance(settings, InpaintSettings) and not settings.track


def test_buttons_follow_the_marks_whatever_the_server_answers_and_when(
    visit: Visit, queue: JobQueue, clip: Path
) -> None:
    """Answers that came in another order left them disabled with a mark there, or enabled without one."""
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    pad_of(page)
    run, held = page.locator("#inpaint-run"), list[Route]()
    page.route("**/gradio_api/**", lambda route: held.append(route))
    mark(page, "paint", (80, 60), (90, 70))
    expect(run).to_be_enabled()
    expect(page.locator("#inpaint-why")).to_be_empty()
    page.get_by_role("button", name="Clear all").click()
    expect(run).to_be_disabled()
    expect(page.locator("#inpaint-why")).to_contain_text("Mark the object")
    page.unroute("**/gradio_api/**")


def test_another_video_shows_the_pad_anew_and_none_of_the_hidden_fields(
    visit: Visit, queue: JobQueue, clip: Path, tmp_path: Path
) -> None:
    page = visit(queue)
    open_removal(page, clip)
    mark(page, "box", (20, 20), (60, 60))
    expect(page.locator("#inpaint-run")).to_be_enabled()
    second = tmp_path / "second.mp4"
    second.write_bytes(clip.read_bytes())
    page.locator("#inpaint-file").get_by_role("button", name="Clear").click()
    expect(page.locator(".lt-pad")).to_be_hidden()
    open_removal(page, second)
    expect(page.locator(".lt-pad")).to_have_attribute("data-video", "second.mp4", timeout=PATIENCE_MS)
    assert hints(page) == ["", "", ""]
    expect(page.locator("#inpaint-strokes")).to_be_hidden()


def test_marks_are_in_pixels_of_the_video_by_mouse_finger_and_keyboard(
    visit: Visit, make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    page = visit(
        make_queue(good_run),
        viewport={"width": 1280, "height": 1600},
        device_scale_factor=2.5,
        has_touch=True,
    )
    open_removal(page, clip)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        mark(page, "box", (20, 10), (100, 90))
        mark(page, "on", (50.5, 40.5))
        mark(page, "off", (158.5, 118.5))
        mark(page, "paint", (80, 60))
        box, points, stroke = hints(page)
        numbers = [float(number) for number in box.removesuffix("@0").split(",")]
        assert numbers == pytest.approx([20, 10, 80, 80], abs=1), width
        assert points == "50,40@0 !158,118@0", width
        assert re.fullmatch(r"6:(79|80|81),(59|60|61)@0", stroke), stroke
        page.get_by_role("button", name="Clear all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.locator(".lt-tools label:has([value=on])").click()
    pad = pad_of(page)
    pad.hover()
    place = pad.bounding_box()
    assert place
    page.touchscreen.tap(place["x"] + place["width"] * 40.5 / 160, place["y"] + place["height"] * 60.5 / 120)
    assert hints(page)[1] == "40,60@0"

    page.locator(".lt-tools label:has([value=box])").click()
    pad.focus()
    page.keyboard.press("Enter")  # the cross begins in the middle
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    assert hints(page)[0] == "80,60,16,10@0"
    for key in ("Enter", "ArrowLeft", "Escape", "Control+z"):
        page.keyboard.press(key)
    assert hints(page)[0] == ""

    for name in ("System", "Score", "Jobs", "Remove object"):
        tab = page.get_by_role("tab", name=name)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        expect(tab).to_be_in_viewport(ratio=0.9)
    assert hints(page)[1] == "40,60@0", "marks outlast a look at other tabs"


def test_boxes_points_and_paint_on_several_frames_are_one_question(
    visit: Visit, queue: JobQueue, clip: Path
) -> None:
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    mark(page, "paint", (80, 60), (90, 70))
    mark(page, "box", (90, 80), (10, 10))  # from the lower right corner as well
    mark(page, "box", (8, 8), (100, 100))  # on the same frame it takes the place of the other
    mark(page, "box", (8, 8), (9, 9))  # too small to be meant
    turn_to(page, 39)
    mark(page, "on", (40.5, 40.5))
    mark(page, "off", (150.5, 20.5))
    page.locator("#inpaint-marked [data-frames='0, 39']").wait_for()
    box, points, _ = hints(page)
    assert (box, points) == ("8,8,92,92@0", "40,40@39 !150,20@39")
    page.locator("#inpaint-check_all").click()
    page.locator(".lt-run [data-state=done]").wait_for()
    (job,) = Job.all(queue.jobs_dir)
    record = job.record()
    assert isinstance(record.settings, TrackSettings) and record.settings.track
    assert record.settings.box == (box,) and record.settings.point == tuple(points.split())
    with zipfile.ZipFile(record.inputs[1].path) as bundle:
        assert bundle.namelist() == ["00000000.png"]
        painted = np.asarray(Image.open(io.BytesIO(bundle.read("00000000.png"))))
    assert painted.shape == (120, 160) and painted[60, 80] and painted[70, 90] and not painted[30, 30]
    assert (job.folder / "mask.mkv").is_file()


def test_marks_are_undone_cleared_typed_and_kept_while_frames_are_turned(
    visit: Visit, make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(good_run)
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    inked = "pad => pad.getContext('2d').getImageData(0, 0, pad.width, pad.height).data.some(Boolean)"
    pad_of(page)
    assert not page.locator("#inpaint-editor canvas").evaluate(inked)
    page.locator(".lt-fold summary").click()
    page.locator("#inpaint-setting-box textarea").fill("10,10,40,40@0 10,10,40,40@39")
    page.locator("#inpaint-marked [data-frames='0, 39']").wait_for()
    assert page.locator("#inpaint-editor canvas").evaluate(inked), "what is typed is drawn"
    mark(page, "on", (30.5, 30.5))
    mark(page, "paint", (60, 60), (80, 60))
    mark(page, "wipe", (60, 60), (80, 60))
    undo = page.locator(".lt-tools").get_by_role("button", name="Undo")
    for count in (2, 1, 0):
        assert hints(page)[2].count("@") == count
        undo.click()
    assert hints(page) == ["10,10,40,40@0 10,10,40,40@39", "", ""]
    page.locator("#inpaint-marked").get_by_role("button", name="39").click()
    page.locator(".lt-pad[data-frame='39']").wait_for()
    expect(page.locator("#inpaint-frame input[type=number]")).to_have_value("39")
    assert pad_of(page).evaluate(inked)
    page.get_by_role("button", name="Clear frame").click()
    assert hints(page)[0] == "10,10,40,40@0"
    assert not page.locator("#inpaint-editor canvas").evaluate(inked)
    undo.click()
    page.get_by_role("button", name="Clear all").click()
    assert hints(page) == ["", "", ""]
    expect(page.locator("#inpaint-marked")).to_contain_text("Mark a little beyond")
    expect(page.locator("#inpaint-run")).to_be_disabled()
    expect(page.locator("#inpaint-run")).to_have_attribute("title", re.compile("^Mark the object"))
    expect(page.locator("#inpaint-why")).to_contain_text("Mark the object to remove")
    assert Job.all(queue.jobs_dir) == []


def test_where_it_was_lost_leads_to_the_frame_and_a_mask_takes_the_place_of_marks(
    visit: Visit,
    make_queue: Callable[..., JobQueue],
    clip: Path,
    tmp_path: Path,
    until: Callable[[Callable[[], bool]], None],
) -> None:
    def loses(job: Job) -> Iterator[Event]:
        summary = {"frames": 40, "frames_marked": 40, "frames_lost": 3, "mean_area_share": 0.1}
        told = {"task": "track", "summary": summary, "lost": [[17, 20]], "video": {"name": clip.name}}
        (job.folder / "report.json").write_text(json.dumps(told))
        yield job.done_with(Outputs(report=job.folder / "report.json"))

    queue = make_queue(loses)
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    mark(page, "box", (10, 10), (60, 60))
    page.locator("#inpaint-check").click()
    page.locator(".lt-report").get_by_role("button", name="17 – 19").click()
    page.locator(".lt-pad[data-frame='17']").wait_for()
    mark(page, "box", (30, 10), (80, 60))
    kept = [word.partition("@")[2] for word in hints(page)[0].split()]
    assert kept == ["0", "17"]
    (job,) = Job.all(queue.jobs_dir)
    assert job.record().settings.end == 2.0, "a trial"

    white = Image.new("L", (160, 120))
    white.paste(255, (0, 0, 80, 120))
    white.save(tmp_path / "white.png")
    page.get_by_role("button", name="Upload a mask instead").click()
    page.locator("#inpaint-mask input[type=file]").set_input_files(tmp_path / "white.png")
    expect(page.locator(".lt-pad")).to_be_hidden()
    page.locator("#inpaint-check_all").click()
    until(lambda: len(Job.all(queue.jobs_dir)) == 2)
    (given,) = [other for other in Job.all(queue.jobs_dir) if other != job]
    settings = given.record().settings
    assert isinstance(settings, TrackSettings) and not settings.follows
    assert given.record().inputs[1].path.name == "white.png"
    page.locator("#inpaint-mask").get_by_label("Clear").click()
    pad_of(page)
    assert [word.partition("@")[2] for word in hints(page)[0].split()] == ["0", "17"], (
        "marks are kept meanwhile"
    )

    page.locator("#inpaint-file").get_by_label("Clear").click()
    expect(page.locator(".lt-pad")).to_be_hidden()
