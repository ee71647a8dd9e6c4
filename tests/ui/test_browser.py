"""The page as people use it, in headless Chromium."""

import re
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from playwright.sync_api import Page, TimeoutError, expect

from pipelines import events
from pipelines.events import Event
from pipelines.example.faults import FAULTS
from pipelines.jobs import Job
from pipelines.queue import JobQueue
from pipelines.settings import InpaintSettings, ScoreSettings
from ui.policy import Policy

pytestmark = pytest.mark.browser

PATIENCE_MS = 90_000
MOVED = re.compile("[1-9]")
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
    expect(page.locator(".lt-delete")).to_be_visible()
    be_enabled(page)


def test_a_bad_file_shows_why_and_the_page_lives(
    visit: Visit, queue: JobQueue, clip: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "words.mp4"
    bad.write_text("no video\n" * 50)
    page = visit(queue)
    choose(page, bad)
    alert = page.locator("#score-card [role=alert]")
    expect(alert).to_contain_text("words.mp4")
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


def paint(page: Page, marked: str) -> None:
    """Strokes with the mouse, in the middle of the frame, until these frames are marked.

    An editor that is still drawing its background takes no stroke.
    """
    page.locator("#inpaint-marked [data-frames]").wait_for()
    canvas = page.locator("#inpaint-editor canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen = page.locator(f"#inpaint-marked [data-frames='{marked}']")
    for _ in range(12):
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 20, y + 20, steps=2)
        page.mouse.up()
        try:
            seen.wait_for(timeout=PATIENCE_MS / 12)
        except TimeoutError:
            continue
        return
    expect(seen).to_be_visible()


def test_what_is_painted_over_is_removed(visit: Visit, queue: JobQueue, clip: Path) -> None:
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    paint(page, "0")
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


def test_marks_on_several_frames_are_hints(
    visit: Visit, make_queue: Callable[..., JobQueue], good_run: Callable[[Job], Iterator[Event]], clip: Path
) -> None:
    queue = make_queue(good_run)
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    open_removal(page, clip)
    paint(page, "0")
    slider = page.locator("#inpaint-frame input[type=range]")
    slider.focus()
    slider.press("End")
    slider.dispatch_event("pointerup")
    paint(page, "0, 39")
    page.locator("#inpaint-try").click()
    page.locator(".lt-run [data-state=done]").wait_for()
    (job,) = Job.all(queue.jobs_dir)
    record = job.record()
    assert isinstance(record.settings, InpaintSettings) and record.settings.track
    assert record.settings.end == 2.0, "a trial"
    with zipfile.ZipFile(record.inputs[1].path) as bundle:
        assert bundle.namelist() == ["00000000.png", "00000039.png"]


def test_nothing_painted_is_told_before_a_job_is_made(visit: Visit, queue: JobQueue, clip: Path) -> None:
    page = visit(queue)
    open_removal(page, clip)
    page.locator("#inpaint-run").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text("Nothing says what to remove")
    assert Job.all(queue.jobs_dir) == []


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
