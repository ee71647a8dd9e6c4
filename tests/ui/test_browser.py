"""The page as people use it, in headless Chromium."""

import io
import json
import re
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from pipelines import events
from pipelines.events import Event, Outputs
from pipelines.example.faults import FAULTS
from pipelines.jobs import Job
from pipelines.queue import JobQueue
from pipelines.settings import InpaintSettings, ScoreSettings, TrackSettings
from ui.policy import Policy

pytestmark = pytest.mark.browser

PATIENCE_MS = 90_000
MOVED = re.compile("[1-9]")
HINTS = ("setting-box", "setting-point", "strokes")
Visit = Callable[..., Page]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    real = JobQueue(tmp_path / "jobs")
    yield real
    real.close()


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    """300 frames, so that a run can be watched; its name is no HTML."""
    path = tmp_path / "a & b.mp4"
    source = "testsrc2=size=320x240:rate=25:duration=12"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True, timeout=60)
    return path


def choose(page: Page, path: Path) -> None:
    page.locator("#score-file input[type=file]").set_input_files(path)


def be_enabled(page: Page) -> None:
    expect(page.locator("#score-run")).to_be_enabled(timeout=PATIENCE_MS)


def test_a_video_is_looked_at_scored_and_reported(visit: Visit, queue: JobQueue, long_clip: Path) -> None:
    page = visit(queue)
    expect(page.locator("#score-run")).to_be_disabled()
    choose(page, long_clip)
    be_enabled(page)
    card = page.locator("#score-card")
    for fact in ("a & b.mp4", "320 × 240", "25 fps", "300 frames", "GiB", "low risk"):
        expect(card).to_contain_text(fact)
    page.locator("#score-run").click()
    page.locator(".lt-run polyline").wait_for()
    meter = page.locator(".lt-run").get_by_role("meter")
    expect(meter).to_have_attribute("aria-valuenow", MOVED, timeout=PATIENCE_MS)
    page.locator(".lt-latest img").wait_for()
    page.locator(".lt-run [data-state=done]").wait_for()
    expect(page.locator(".lt-report")).to_contain_text("Mean sharpness")
    expect(page.locator(".lt-files a[href$='/scores.csv']")).to_be_visible()
    page.locator(".lt-chart img").wait_for()
    page.locator(".lt-worst img").first.wait_for()
    for shown in page.locator(".lt-chart img, .lt-worst img").all():
        shown.scroll_into_view_if_needed()
        expect(shown).to_have_js_property("complete", True)
        assert shown.evaluate("picture => picture.naturalWidth") > 0, "it was served"
    expect(page.locator(".lt-cancel")).to_be_hidden()
    be_enabled(page)
    expect(card).to_be_hidden()
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator(".lt-delete").click()
    expect(card).to_contain_text("320 × 240")


def test_a_bad_file_shows_why_and_the_page_lives(
    visit: Visit, queue: JobQueue, clip: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "words.mp4"
    bad.write_text("no video\n" * 50)
    page = visit(queue)
    choose(page, bad)
    alert = page.locator("#score-card [role=alert]")
    expect(alert).to_contain_text("words.mp4", timeout=PATIENCE_MS)
    expect(alert).to_contain_text("not_a_video")
    expect(page.get_by_test_id("toast-body")).to_contain_text("不是可读的视频")
    expect(page.locator("#score-run")).to_be_disabled()
    page.locator("#score-file").get_by_label("Clear").click()
    choose(page, clip)
    be_enabled(page)
    expect(page.locator("#score-card")).to_contain_text("160 × 120")


def test_a_setting_that_changes_is_looked_at_again(visit: Visit, queue: JobQueue, clip: Path) -> None:
    page = visit(queue)
    choose(page, clip)
    be_enabled(page)
    page.locator("#score-setting-end input, #score-setting-end textarea").fill("nonsense")
    expect(page.locator("#score-card [role=alert]")).to_contain_text("End")
    expect(page.locator("#score-run")).to_be_disabled()
    page.locator("#score-setting-end input, #score-setting-end textarea").fill("")
    be_enabled(page)


def test_a_tab_is_closed_and_its_job_is_found_again_by_link_live(
    visit: Visit, make_queue: Callable[..., JobQueue], endless: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(endless)
    page = visit(queue)
    choose(page, clip)
    be_enabled(page)
    page.locator("#score-run").click()
    page.locator(".lt-run [data-state=running]").wait_for()
    expect(page).to_have_url(re.compile(r"\?job=\w+&key=\w+$"))
    link = page.url
    context = page.context
    page.close()
    (job,) = Job.all(queue.jobs_dir)
    assert queue.holds(job) and job.requested() is None
    page = context.new_page()
    page.goto(link)
    page.locator(".lt-run [data-state=running]").wait_for()
    page.locator(".lt-cancel").click()
    page.locator(".lt-run [data-state=cancelled]").wait_for()
    assert job.state() == "cancelled"
    page.locator(".lt-resume").click()
    page.locator(".lt-run [data-state=running]").wait_for()
    page.locator(".lt-pause").click()
    page.locator(".lt-run [data-state=cancelled], .lt-run [data-state=paused]").wait_for()


def test_the_last_tab_that_closes_pauses_the_job_where_that_is_the_rule(
    visit: Visit,
    make_queue: Callable[..., JobQueue],
    endless: Callable[[Job], Iterator[Event]],
    clip: Path,
    until: Callable[[Callable[[], bool]], None],
) -> None:
    queue = make_queue(endless)
    page = visit(queue, Policy(on_disconnect="pause"))
    choose(page, clip)
    be_enabled(page)
    page.locator("#score-run").click()
    page.locator(".lt-run [data-state=running]").wait_for()
    (job,) = Job.all(queue.jobs_dir)
    assert job.requested() is None
    page.close()
    until(lambda: job.requested() == "pause")


def test_a_job_of_an_earlier_server_is_resumed_from_the_list(
    visit: Visit, make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(good_run)
    job = Job.create(queue.jobs_dir, "score", (clip,), ScoreSettings(), 1)
    job.journal.append(events.Queued(job=job.id, task="score", name="clip.mp4"))
    job.journal.append(events.Started(job=job.id, worker_pid=1))
    page = visit(queue)
    page.get_by_role("tab", name="Jobs").click()
    page.locator("#jobs [data-state=interrupted] a").click()
    page.locator(".lt-run [data-state=interrupted]").wait_for()
    page.locator(".lt-resume").click()
    page.locator(".lt-run [data-state=done]").wait_for()
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator(".lt-delete").click()
    expect(page.locator(".lt-run [data-state]")).to_be_hidden()
    assert Job.all(queue.jobs_dir) == []
    page.get_by_role("tab", name="Jobs").click()
    expect(page.locator("#jobs")).to_contain_text("No jobs yet")


def test_another_job_takes_the_view_while_one_runs(
    visit: Visit, make_queue: Callable[..., JobQueue], endless: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(endless)
    other = Job.create(queue.jobs_dir, "score", (clip,), ScoreSettings(window=9), 1)
    other.journal.append(events.Queued(job=other.id, task="score", name="clip.mp4"))
    other.journal.append(events.Started(job=other.id, worker_pid=1))
    page = visit(queue)
    choose(page, clip)
    be_enabled(page)
    page.locator("#score-run").click()
    page.locator(".lt-run [data-state=running]").wait_for()
    (running,) = {job.id for job in Job.all(queue.jobs_dir)} - {other.id}
    for job, state in ((other.id, "interrupted"), (running, "running"), (other.id, "interrupted")):
        page.get_by_role("tab", name="Jobs").click()
        page.locator(f"#jobs [data-job='{job}'] a").click()
        page.locator(f".lt-run [data-state={state}]").wait_for()
        expect(page).to_have_url(re.compile(f"job={job}"))
    assert queue.holds(Job(queue.jobs_dir / running)), "turning away stops no job"


def test_a_link_of_somebody_else_leads_nowhere(
    visit: Visit, make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(good_run)
    job = Job.create(queue.jobs_dir, "score", (clip,), ScoreSettings(), 1)
    page = visit(queue, Policy(local=False), query=f"?job={job.id}&key=wrong")
    expect(page.get_by_test_id("toast-body")).to_contain_text("no_such_job")
    expect(page.locator(".lt-run [data-state]")).to_be_hidden()


def test_the_example_shows_what_is_wrong_with_it(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue)
    page.locator("#score-example").click()
    be_enabled(page)
    expect(page.locator("#score-card .lt-faults li")).to_have_count(len(FAULTS))


def test_the_machine_is_shown_and_examined(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue)
    expect(page.locator("#hardware")).to_contain_text("GiB free")
    page.get_by_role("tab", name="System").click()
    expect(page.locator("#system")).to_contain_text("The last hour")
    page.get_by_role("button", name="Look at everything").click()
    expect(page.locator("#doctor")).to_contain_text("ffmpeg", timeout=PATIENCE_MS)


def open_removal(page: Page, clip: Path) -> None:
    page.get_by_role("tab", name="Remove object").click()
    page.locator("#inpaint-file input[type=file]").set_input_files(clip)
    expect(page.locator("#inpaint-run")).to_be_enabled(timeout=PATIENCE_MS)


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
    pad.scroll_into_view_if_needed()
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
    film = page.locator(".lt-film video")
    expect(film).to_have_js_property("videoWidth", 160)
    expect(page.locator(".lt-files a[href$='/result.mp4']")).to_be_visible()
    (job,) = Job.all(queue.jobs_dir)
    settings = job.record().settings
    assert isinstance(settings, InpaintSettings) and not settings.track


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
    pad.scroll_into_view_if_needed()
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
    expect(page.locator("#inpaint-marked")).to_contain_text("Mark generously")
    page.locator("#inpaint-run").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("Nothing says what to remove")
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
        yield events.Done(job=job.id, outputs=Outputs(report=job.folder / "report.json"))

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

    Image.new("L", (160, 120), 255).save(tmp_path / "white.png")
    page.get_by_role("button", name="Give a mask instead").click()
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
    page.locator(".lt-report").get_by_role("button", name="17 – 19").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("is not on the pad")


def test_the_example_of_a_portrait_shows_its_faces_and_is_animated(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    page.get_by_role("tab", name="Animate portrait").click()
    expect(page.locator("#animate-run")).to_be_disabled()
    page.locator("#animate-example").click()
    faces = page.locator("#animate-faces img")
    faces.wait_for()
    expect(faces).to_have_js_property("naturalWidth", 960)
    page.locator("#animate-try").click()
    page.locator(".lt-run [data-state=done]").wait_for()
    expect(page.locator(".lt-report")).to_contain_text("preview by the built-in engine")
    expect(page.locator(".lt-film video")).to_have_js_property("videoWidth", 512)
    (job,) = Job.all(queue.jobs_dir)
    assert [each.path.name for each in job.record().inputs] == [
        "longtake-portrait.png",
        "longtake-driving.mp4",
    ]


def test_a_page_for_others_hides_what_is_the_servers(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, Policy(local=False))
    page.get_by_role("tab", name="System").click()
    expect(page.locator("#system")).to_contain_text("The last hour")
    expect(page.get_by_role("button", name="Free the worker")).to_be_hidden()
    expect(page.locator("#system")).not_to_contain_text(str(queue.jobs_dir))


def test_a_chinese_browser_gets_chinese(visit: Visit, queue: JobQueue, clip: Path) -> None:
    page = visit(queue, locale="zh-CN")
    expect(page.locator("#score-run")).to_have_text("开始评分")
    expect(page.locator("#score-setting-quality")).to_contain_text("质量")
    choose(page, clip)
    be_enabled(page)
    risk = page.locator("#score-card .lt-risk")
    assert risk.inner_text() == "风险低"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(visit: Visit, queue: JobQueue, clip: Path, width: int) -> None:
    page = visit(queue, viewport={"width": width, "height": 800})
    choose(page, clip)
    be_enabled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_job_can_be_started_by_keyboard(
    visit: Visit, make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    page = visit(make_queue(good_run))
    choose(page, clip)
    be_enabled(page)
    page.locator("#score-setting-quality input").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "score-run":
            break
    page.keyboard.press("Enter")
    page.locator(".lt-run [data-state=done]").wait_for()
