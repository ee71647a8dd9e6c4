"""The page as people use it, in headless Chromium."""

import asyncio
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.example.faults import FAULTS
from pipelines.example.moving_face import astronaut
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import AnimateSettings, InpaintSettings, ScoreSettings, Settings
from pipelines.video.writer import VideoWriter
from ui.components.engine_choice import EngineChoice
from ui.server.policy import Policy

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
MOVED = re.compile("[1-9]")
Visit = Callable[..., Page]


@pytest.fixture
def long_clip(tmp_path: Path) -> Path:
    """300 frames, so that a run can be watched; its name is no HTML."""
    path = tmp_path / "a & b.mp4"
    source = "testsrc2=size=320x240:rate=25:duration=12"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True, timeout=300)
    return path


def scoring(page: Page) -> None:
    """Open the tab that asks for nothing but a video."""
    page.locator("[role=tab][data-tab-id=score]:visible").click()


def choose(page: Page, path: Path) -> None:
    scoring(page)
    page.locator("#score-file input[type=file]").set_input_files(path)


def be_enabled(page: Page) -> None:
    expect(page.locator("#score-run")).to_be_enabled(timeout=PATIENCE_MS)


def test_a_video_is_looked_at_scored_and_reported(visit: Visit, queue: JobQueue, long_clip: Path) -> None:
    page = visit(queue)
    scoring(page)
    expect(page.locator("#score-run")).to_be_disabled()
    choose(page, long_clip)
    be_enabled(page)
    card = page.locator("#score-card")
    for fact in ("a & b.mp4", "320 × 240", "25 fps", "300 frames", "GB", "low risk"):
        expect(card).to_contain_text(fact)
    page.locator("#score-run").click()
    page.locator(".lt-details button").first.click()
    page.locator(".lt-curve-block polyline").wait_for()
    meter = page.locator(".lt-run").get_by_role("meter")
    expect(meter).to_have_attribute("aria-valuenow", MOVED, timeout=PATIENCE_MS)
    page.locator(".lt-run [data-state=done]").wait_for()
    expect(page.locator(".lt-report")).to_contain_text("Mean sharpness")
    expect(page.locator(".lt-files a[href$='b_scores.csv']")).to_be_visible()
    expect(page.locator(".lt-scores polyline")).to_have_count(2)
    expect(page.locator(".lt-chart")).to_have_count(0)
    page.locator(".lt-worst img").first.wait_for()
    for shown in page.locator(".lt-worst img").all():
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
    expect(page.locator("#score-card [data-code=not_a_video]")).to_be_visible()
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
    expect(page.locator("#score-card [role=alert]")).to_contain_text("“End time”")
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
    expect(page.locator("#inpaint-card")).to_contain_text(
        "This job no longer exists, or the link is incomplete."
    )
    expect(page.locator(".lt-run [data-state]")).to_be_hidden()


def test_the_example_shows_what_is_wrong_with_it(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue)
    scoring(page)
    page.locator("#score-example").click()
    be_enabled(page)
    expect(page.locator("#score-card .lt-faults li")).to_have_count(len(FAULTS))


def test_the_machine_is_shown_and_examined(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue)
    expect(page.locator("#hardware")).to_contain_text("GB free")
    page.get_by_role("tab", name="System").click()
    expect(page.locator("#system")).to_contain_text("The last hour")
    page.get_by_role("button", name="Run diagnostics").click()
    expect(page.locator("#doctor")).to_contain_text("ffmpeg", timeout=PATIENCE_MS)


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
    expect(page.locator(".lt-run")).to_contain_text("This is a preview: the built-in engine")
    expect(page.locator(".lt-film video.lt-plain")).to_have_js_property("videoWidth", 512)
    (job,) = Job.all(queue.jobs_dir)
    assert [each.path.name for each in job.record().inputs] == [
        "longtake-portrait.png",
        "longtake-driving.mp4",
    ]


def test_a_portrait_without_a_face_cannot_be_run_until_its_face_is_marked(
    visit: Visit, queue: JobQueue, tmp_path: Path
) -> None:
    empty, driving = tmp_path / "empty.png", tmp_path / "driving.mp4"
    Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1))).save(empty)
    with VideoWriter(driving, 256, 256, Fraction(25)) as film:
        for _ in range(3):
            film.write(astronaut().picture)
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    page.get_by_role("tab", name="Animate portrait").click()
    for name, path in (("file", empty), ("driving", driving)):
        page.locator(f"#animate-{name} input[type=file]").set_input_files(path)
    note = page.locator("#animate-card [role=alert]")
    expect(note).to_contain_text(
        "No face of at least 31 pixels was found in the portrait", timeout=PATIENCE_MS
    )
    expect(page.locator("#animate-card")).to_contain_text("low risk")
    expect(page.locator("#animate-run")).to_be_disabled()
    expect(page.locator("#animate-try")).to_be_disabled()
    page.get_by_role("button", name="Faces").click()
    page.locator("#animate-setting-source_box").locator("input, textarea").fill("60,40,120,120")
    expect(page.locator("#animate-run")).to_be_enabled(timeout=PATIENCE_MS)
    expect(note).to_have_count(0)


def test_of_several_faces_one_is_chosen_by_a_click(visit: Visit, queue: JobQueue, tmp_path: Path) -> None:
    alone, pair = tmp_path / "alone.png", tmp_path / "pair.png"
    picture = astronaut().picture
    Image.fromarray(picture).save(alone)
    Image.fromarray(np.hstack([picture, picture])).save(pair)
    page = visit(queue, viewport={"width": 1280, "height": 1600})
    page.get_by_role("tab", name="Animate portrait").click()
    for name, path in (("file", pair), ("driving", alone)):
        page.locator(f"#animate-{name} input[type=file]").set_input_files(path)
    first = page.locator("#animate-faces img").get_attribute("src")
    page.get_by_role("button", name="Select face 2").click()
    expect(page.locator("#animate-faces img")).not_to_have_attribute("src", str(first), timeout=PATIENCE_MS)
    page.get_by_role("button", name="Faces").click()
    expect(page.locator("#animate-setting-face input, #animate-setting-face textarea")).to_have_value("2")


def test_a_pose_says_what_it_needs(visit: Visit, queue: JobQueue, tmp_path: Path) -> None:
    portrait = tmp_path / "portrait.png"
    Image.fromarray(astronaut().picture).save(portrait)
    page = visit(queue)
    page.get_by_role("tab", name="Animate portrait").click()
    page.locator("#animate-file input[type=file]").set_input_files(portrait)
    expect(page.locator("#animate-file")).to_contain_text("portrait", timeout=PATIENCE_MS)  # it has arrived
    page.get_by_role("button", name="Manual pose").click()
    page.locator("#pose-yaw input[type=range]").press("ArrowRight")
    expect(page.locator("#pose-shown [role=alert]")).to_contain_text(
        "weights liveportrait --fetch", timeout=PATIENCE_MS
    )
    page.get_by_role("button", name="Expression points").click()
    down, key = page.locator("#pose-y input[type=range]"), page.locator("#pose-key input, #pose-key textarea")
    expect(key).to_be_visible()
    down.focus()
    expect(down).to_be_focused()
    down.press("ArrowLeft")
    expect(down).to_have_value("-0.001")
    expect(key).to_have_value("1:0,-0.001,0", timeout=PATIENCE_MS)
    page.locator("#pose-reset").click()
    expect(key).to_have_value("", timeout=PATIENCE_MS)
    expect(page.locator("#pose-yaw input[type=range]")).to_have_value("0")


def test_a_pose_stays_when_the_portrait_is_inspected_later(
    visit: Visit, queue: JobQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspected, inspect = threading.Event(), EngineChoice.inspect

    async def inspect_late(self: EngineChoice, settings: Settings) -> Any:
        if isinstance(settings, AnimateSettings):
            await asyncio.to_thread(inspected.wait, PATIENCE_MS / 1000)
        return await inspect(self, settings)

    monkeypatch.setattr(EngineChoice, "inspect", inspect_late)
    portraits = [tmp_path / name for name in ("a's “portrait” (1).png", "other.png")]
    for portrait in portraits:
        Image.fromarray(astronaut().picture).save(portrait)
    page = visit(queue)
    page.get_by_role("tab", name="Animate portrait").click()
    page.locator("#animate-file input[type=file]").set_input_files(portraits[0])
    expect(page.locator("#animate-file")).to_contain_text("portrait", timeout=PATIENCE_MS)
    page.get_by_role("button", name="Manual pose").click()
    page.locator("#pose-yaw input[type=range]").press("ArrowRight")
    refused = page.locator("#pose-shown [role=alert]")
    refused.wait_for()
    page.evaluate("""() => {
      new MutationObserver(() => { window.cleared ||= !document.querySelector("#pose-shown [role=alert]"); })
        .observe(document.querySelector("#pose-shown"), { subtree: true, childList: true, characterData: true });
    }""")
    with page.expect_response(
        lambda response: "queue/join" in response.url
    ):  # of the next handler of the file
        inspected.set()
    page.get_by_role("tab", name="Jobs").click()
    page.get_by_role("tab", name="Animate portrait").click()
    assert not page.evaluate("window.cleared")
    page.locator("#animate-file").get_by_label("Clear").click()
    page.locator("#animate-file input[type=file]").set_input_files(portraits[1])
    expect(refused).to_have_count(0, timeout=PATIENCE_MS)


def test_a_page_for_others_hides_what_is_the_servers(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, Policy(local=False))
    page.get_by_role("tab", name="System").click()
    expect(page.locator("#system")).to_contain_text("The last hour")
    expect(page.get_by_role("button", name="Release worker memory")).to_be_hidden()
    expect(page.locator("#system")).not_to_contain_text(str(queue.jobs_dir))


def test_a_chinese_browser_gets_chinese(visit: Visit, queue: JobQueue, clip: Path) -> None:
    page = visit(queue, locale="zh-CN")
    scoring(page)
    expect(page.locator("#score-run")).to_have_text("开始评分")
    expect(page.locator("#score-setting-quality")).to_contain_text("质量")
    choose(page, clip)
    be_enabled(page)
    expect(page.locator("#score-card .lt-risk")).to_have_text("风险低", use_inner_text=True)


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
    page.locator("#score-setting-quality select").focus()
    for _ in range(16):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "score-run":
            break
    page.keyboard.press("Enter")
    page.locator(".lt-run [data-state=done]").wait_for()


def test_what_the_browser_cannot_play_is_shown_once_a_version_for_viewing_is_made(
    visit: Visit, queue: JobQueue, clip: Path
) -> None:
    settings = InpaintSettings(box=("40,30,30,30@0",), codec="ffv1", quality="draft")
    job = queue.submit("inpaint", clip, settings)
    assert [event.type for event in queue.listen(job)][-1] == "done"
    page = visit(queue, query=f"?job={job.id}")
    film, button = (
        page.locator(".lt-film video.lt-plain"),
        page.get_by_role("button", name="version for viewing"),
    )
    expect(page.locator(".lt-film")).to_contain_text("cannot play", timeout=PATIENCE_MS)
    expect(film).to_be_hidden()
    button.click()
    expect(page.locator(".lt-film")).to_contain_text("The result is among the files", timeout=PATIENCE_MS)
    expect(film).to_have_js_property("videoWidth", 160, timeout=PATIENCE_MS)
    expect(button).to_be_hidden()
    page.locator(".lt-thumbnail img").wait_for()  # all has come: a reload breaks nothing off
    page.reload()
    expect(film).to_have_js_property("videoWidth", 160, timeout=PATIENCE_MS)
