"""The result on the page: first and large, played in step with its source, taken with a name, and asked again."""

import re
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import InpaintSettings, ScoreSettings
from pipelines.spec import task_spec
from pipelines.workers.in_process import InProcess
from ui.jobs import again, dropped
from ui.jobs.uploads import keep
from ui.server.policy import Policy
from ui.server.visitors import Keys

Visit = Callable[..., Page]
Until = Callable[[Callable[[], object]], None]
PATIENCE_MS = 180_000
WIDTH, HEIGHT, BITS, BAR = 160, 120, 9, 8
"""Each half of a frame has its number as bars: the left one is read from the source, the right one from the result."""
FRAMES = 60
IN_VIEW = """(video) => {
  const box = video.getBoundingClientRect();
  return scrollY === 0 && box.top >= 0 && box.bottom <= innerHeight && box.width * box.height;
}"""
COUNT_FRAMES = """(() => {
  const ask = requestAnimationFrame;
  window.asked = 0;
  window.requestAnimationFrame = (draw) => { window.asked += 1; return ask(draw); };
})()"""
ASKS_FOR_NONE = """async () => {
  const before = window.asked;
  await new Promise((next) => setTimeout(next, 500));
  return window.asked === before;
}"""
READ = """async ([seconds, bits, bar, step]) => {
  const film = document.querySelector('.lt-film'), canvas = film.querySelector('canvas');
  const video = film.querySelector('video.lt-stacked'), seen = [];
  const numbers = () => {
    const pen = canvas.getContext('2d'), scale = canvas.width / 160, y = Math.round(60 * scale);
    const line = pen.getImageData(0, y, canvas.width, 1).data;
    return [2, 82].map((left) => Array.from({ length: bits }, (_, bit) => {
      const x = Math.round((left + (bit + 0.5) * bar) * scale);
      return line[4 * x] > 128 ? 2 ** bit : 0;
    }).reduce((sum, each) => sum + each, 0));
  };
  await video.play();
  const begun = performance.now();
  // A busy machine shows few frames a second: what has come to its end is played again.
  while (performance.now() - begun < 1000 * seconds || new Set(seen.map(String)).size < 6) {
    await new Promise((next) => requestAnimationFrame(next));
    seen.push(numbers());
    if (video.ended) await video.play();
  }
  video.pause();
  return seen;
}"""


def numbered(path: Path, tone: int, frames: int, gap: int = 0) -> Path:
    pictures = np.full((frames, HEIGHT, WIDTH, 3), tone, np.uint8)
    for number, picture in enumerate(pictures, gap):
        for left in (2, 82):
            for bit in range(BITS):
                picture[40:80, left + bit * BAR : left + (bit + 1) * BAR] = 255 * (number >> bit & 1)
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "30000/1001", "-i", "-")
    encode = ("-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-y", str(path))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *encode]
    subprocess.run(command, input=pictures.tobytes(), check=True, timeout=300)
    return path


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    """One that makes the versions for viewing itself."""
    queue = JobQueue(tmp_path / "jobs", runner=InProcess())
    yield queue
    queue.close()


@pytest.fixture
def removal(queue: JobQueue, tmp_path: Path, plan: events.Planned) -> Callable[..., Job]:
    """A finished removal, whose result is the source in a lighter tone; it began `start` frames later."""

    def make(frames: int = FRAMES, start: int = 0, invented: float = 0.0, has_map: bool = True) -> Job:
        clip = keep(numbered(tmp_path / "bmx-trees.mp4", 60, frames + start), queue.jobs_dir)
        seconds = start * 1001 / 30000 if start else None
        asked = InpaintSettings(box=("30,20,40,50@5",), point=("90,60@5",), engine="flow", start=seconds)
        version = task_spec("inpaint").result_version
        job = Job.create(queue.jobs_dir, "inpaint", (clip,), asked, version)
        again.save_marks(job, again.Paint("8:100,20,120,60@5"))
        folder = job.folder
        result = numbered(folder / "result.mp4", 150, frames, start)
        (folder / "report.json").write_text(
            '{"task": "inpaint", "video": {"name": "bmx-trees.mp4"}, "lost": [[40, 44]], "summary": {"frames": 60,'
            f'"frames_filled": 50, "mean_hole_share": 0.1, "mean_invented_share": {invented}}}}}'
        )
        Image.new("RGB", (64, 48), "white").save(folder / "report.png")
        heat_map = folder / "heat_map.jpg" if invented and has_map else None
        if heat_map:
            Image.new("RGB", (32, 24), "blue").save(heat_map)
        told = events.Outputs(
            result=result, report=folder / "report.json", picture=folder / "report.png", heat_map=heat_map
        )
        facts = plan.facts.model_copy(
            update={
                "frames": frames + start,
                "frame_rate": "30000/1001",
                "seconds": (frames + start) * 1001 / 30000,
            }
        )
        for event in (
            events.Queued(job=job.id, task="inpaint", name="bmx-trees.mp4"),
            events.Started(job=job.id, worker_pid=1),
            plan.model_copy(update={"job": job.id, "engine": "flow", "frames": frames, "facts": facts}),
            events.Warned(job=job.id, code="lost", message="The object was lost."),
            job.done_with(told),
        ):
            job.journal.append(event)
        return job

    return make


def compare(page: Page) -> None:
    page.get_by_role("button", name="Compare before and after").click()
    page.locator(".lt-film[data-mode=wipe]").wait_for(timeout=PATIENCE_MS)
    expect(page.locator(".lt-stack video")).to_have_js_property("readyState", 4, timeout=PATIENCE_MS)


@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_before_and_after_play_in_step(
    visit: Visit, queue: JobQueue, removal: Callable[..., Job], seconds: int
) -> None:
    """Numbers that are drawn in source and result are read from both sides of the border while it plays."""
    job = removal(30 * seconds, start=20)
    page = visit(queue, query=f"?job={job.id}")
    compare(page)
    seen = page.evaluate(READ, [seconds, BITS, BAR, 0])
    apart = [abs(before - after) for before, after in seen]
    assert len({before for before, _ in seen}) > 5, "it plays"
    assert sum(each <= 1 for each in apart) >= 0.95 * len(apart)
    assert all(20 <= before < 20 + 30 * seconds for before, _ in seen)


def test_a_result_is_first_compared_taken_and_asked_again(
    visit: Visit, queue: JobQueue, removal: Callable[..., Job], until: Until
) -> None:
    job = removal(start=20)
    page = visit(queue, query=f"?job={job.id}", viewport={"width": 1440, "height": 900})
    film = page.locator(".lt-film video.lt-plain")
    expect(film).to_have_js_property("readyState", 4, timeout=PATIENCE_MS)
    for width, height in ((1440, 900), (1280, 720), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        until(lambda: film.evaluate(IN_VIEW) > 40_000)  # it is large and seen without scrolling
    page.set_viewport_size({"width": 1280, "height": 900})
    strip = page.locator(".lt-run .lt-strip")
    expect(strip).to_contain_text("bmx-trees.mp4")
    expect(strip).to_contain_text("Part of the video")
    expect(strip).to_contain_text("2.0 s")

    # Frames, by the exact rate; from the source's first one.
    at, frame = page.locator("[data-film=at]"), 20
    expect(at).to_have_attribute("data-frame", "20")
    for name, way in (("on", 1), ("on", 1), ("on", 1), ("back", -1)):
        page.locator(f"button[data-film={name}]").click()
        frame += way
        expect(at).to_have_attribute("data-frame", str(frame))
    page.locator("button[data-film=on]").press(",")
    expect(at).to_have_attribute("data-frame", "21")

    # Before and after: made once, kept, worked by keyboard.
    compare(page)
    assert len(Job.all(queue.jobs_dir)) == 2
    expect(page.locator("button.lt-compare-button")).to_be_hidden()
    expect(page.locator(".lt-film")).to_have_attribute("data-mode", "wipe")
    border = page.locator("[data-film=border]")
    tone = "(canvas) => canvas.getContext('2d').getImageData(canvas.width / 4, 4, 1, 1).data[0]"
    canvas = page.locator(".lt-stack canvas")
    until(lambda: abs(canvas.evaluate(tone) - 60) < 12)  # left of the border is the source
    border.press("Home")
    expect(border).to_have_value("0")
    until(lambda: abs(canvas.evaluate(tone) - 150) < 12)  # left of it was the result
    page.locator("button[data-film=natural]").click()
    natural = "(canvas) => [canvas.width, canvas.getBoundingClientRect().width * devicePixelRatio]"
    until(lambda: canvas.evaluate(natural) == [WIDTH, WIDTH])

    # What was asked: the input with its marks, and settings.
    asked = page.locator(".lt-input")
    for mark in ("svg rect", "svg circle", "svg polyline"):
        expect(asked.locator(mark)).to_have_count(1)
    expect(asked).to_contain_text("Engine")
    # Nothing of the run is left but what says something.
    expect(page.locator(".lt-latest")).to_have_count(0)
    page.locator(".lt-details button").first.click()
    expect(page.locator(".lt-log")).to_contain_text("started")
    for words in ("so far", "Now", "Latest frame", "The curve appears"):
        expect(page.locator(".lt-run")).not_to_contain_text(words)
    expect(page.locator(".lt-chart, .lt-curve")).to_have_count(0)

    # What ends it stands last, and asks first.
    buttons = page.locator(".lt-run .lt-actions button:visible")
    expect(buttons.last).to_have_text("Delete")
    page.once("dialog", lambda dialog: dialog.dismiss())
    buttons.last.click()

    # Downloads.
    with page.expect_download() as taken:
        page.locator("a.lt-download").click()
    assert taken.value.suggested_filename == "bmx-trees_removed.mp4"
    with page.expect_download() as taken:
        page.get_by_role("link", name="All files (zip)").click()
    assert taken.value.suggested_filename == "bmx-trees_removed.zip"
    with zipfile.ZipFile(taken.value.path()) as found:
        assert {"bmx-trees_removed.mp4", "bmx-trees_report.json"} <= set(found.namelist())

    # Again, with its marks.
    page.get_by_role("button", name="Refine").click()
    page.locator(".lt-pad[data-frame='5'] img").wait_for()
    for field, value in (
        ("#inpaint-setting-box", "30,20,40,50@5"),
        ("#inpaint-setting-point", "90,60@5"),
        ("#inpaint-strokes", "8:100,20,120,60@5"),
    ):
        expect(page.locator(f"{field} textarea, {field} input").first).to_have_value(value)
    expect(page.locator("#inpaint-run")).to_be_enabled(timeout=PATIENCE_MS)
    expect(page.locator("#inpaint-setting-start input, #inpaint-setting-start textarea").first).to_have_value(
        re.compile("^0.667")
    )


def test_whoever_may_only_look_sees_all_and_can_change_nothing(
    visit: Visit, queue: JobQueue, removal: Callable[..., Job]
) -> None:
    job = removal(invented=0.2)
    key = Keys(queue.jobs_dir).view(job)
    page = visit(queue, Policy(local=False), query=f"?job={job.id}&key={key}", color_scheme="dark")
    expect(page.locator(".lt-film video.lt-plain")).to_have_js_property(
        "videoWidth", WIDTH, timeout=PATIENCE_MS
    )
    expect(page.locator(".lt-thumbnail img")).to_have_js_property("naturalWidth", WIDTH, timeout=PATIENCE_MS)
    expect(page.locator(".lt-strip")).to_contain_text("Full run")
    for name in ("again", "refine", "compare-button", "delete", "resume"):
        expect(page.locator(f".lt-run button.lt-{name}")).to_be_hidden()
    expect(page.locator(".lt-turn")).to_have_css("pointer-events", "none")
    expect(page.locator(".lt-files a")).not_to_have_count(0)
    expect(page.locator(".lt-record")).to_have_count(0)
    page.locator(".lt-details button").first.click()
    expect(page.locator(".lt-chart img")).to_be_visible()
    white = page.locator(".lt-chart").evaluate("(chart) => getComputedStyle(chart).backgroundColor")
    assert white != "rgb(255, 255, 255)"
    expect(page.locator(".lt-chart img")).to_have_js_property("naturalWidth", 32)
    # A job of an earlier version has no map of its own: its picture is shown whole.
    earlier = removal(start=10, invented=0.2, has_map=False)
    page.goto(f"{page.url.partition('?')[0]}?job={earlier.id}&key={Keys(queue.jobs_dir).view(earlier)}")
    page.locator(".lt-details button").first.click()
    expect(page.locator(".lt-chart img")).to_have_js_property("naturalWidth", 64)


AT_HAND = """(button) => {
  const box = button.getBoundingClientRect(), bar = button.closest('.lt-ask');
  const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  const opaque = getComputedStyle(bar).backgroundColor.startsWith('rgb(');
  return box.bottom <= innerHeight && button.closest('.lt-ask').contains(there) && opaque;
}"""


def test_a_lost_frame_is_turned_to_with_its_video_and_the_record_is_the_owners(
    visit: Visit, queue: JobQueue, removal: Callable[..., Job], until: Until
) -> None:
    job = removal()
    phone = {"width": 390, "height": 844}
    page = visit(queue, query=f"?job={job.id}", viewport=phone, color_scheme="dark")
    film = page.locator(".lt-film video.lt-plain")
    expect(film).to_have_js_property("readyState", 4, timeout=PATIENCE_MS)
    run = page.locator("#inpaint-run")
    until(lambda: run.evaluate(AT_HAND) and film.evaluate(IN_VIEW))  # beside the result, and not over it
    with page.expect_download() as taken:
        page.locator("a.lt-record").click()
    assert taken.value.suggested_filename == "bmx-trees_job.json"
    text = taken.value.path().read_text()
    assert str(queue.jobs_dir) not in text and dropped.read(text).id == job.id
    page.locator(".lt-report .lt-turn").click()
    page.locator(".lt-pad[data-frame='40'] img").wait_for(timeout=PATIENCE_MS)
    expect(page.locator("#inpaint-setting-box textarea, #inpaint-setting-box input").first).to_have_value(
        "30,20,40,50@5"
    )
    expect(run).to_be_enabled(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    until(lambda: run.evaluate(AT_HAND) and page.locator("#inpaint-check").evaluate(AT_HAND))


def test_a_link_that_leads_nowhere_says_so_where_the_job_would_stand(visit: Visit, queue: JobQueue) -> None:
    page = visit(queue, query="?job=doesnotexist")
    alert = page.locator("[role=alert]").first
    expect(alert).to_contain_text("This job no longer exists, or the link is incomplete.")
    expect(alert).not_to_contain_text("jobs-dir")


def test_a_job_that_runs_shows_one_picture_and_its_progress(
    visit: Visit,
    make_queue: Callable[..., JobQueue],
    endless: Callable[[Job], Iterator[Event]],
    clip: Path,
    until: Until,
) -> None:
    def run(job: Job) -> Iterator[Event]:
        for event in endless(job):
            yield event
            if event.type == "planned":
                picture = job.folder / "preview.jpg"
                Image.new("RGB", (320, 240), "grey").save(picture)
                yield events.Progress(
                    job=job.id, stage="score", done=4, total=40, frames_per_second=1, eta_seconds=36, frame=3
                )
                yield events.Preview(job=job.id, frame=3, path=picture)

    queue = make_queue(run)
    upload = keep(clip, queue.jobs_dir)
    job = Job.create(queue.jobs_dir, "score", (upload,), ScoreSettings(), task_spec("score").result_version)
    queue.start(job)
    page = visit(queue, query=f"?job={job.id}", viewport={"width": 1280, "height": 720})
    picture = page.locator(".lt-big:not(.lt-waiting) img")
    expect(picture).to_have_js_property("naturalWidth", 320, timeout=PATIENCE_MS)
    until(lambda: picture.evaluate(IN_VIEW) > 40_000)
    expect(page.locator(".lt-run progress")).to_have_attribute("value", "4")
    expect(page.locator(".lt-gauge")).to_have_count(0)
    # Once it has loaded, nothing on the page asks for each frame: watching for hours costs next to nothing.
    other = page.context.new_page()
    other.add_init_script(COUNT_FRAMES)
    other.goto(page.url)
    other.locator(".lt-big:not(.lt-waiting) img").wait_for()
    other.wait_for_function(ASKS_FOR_NONE)
    page.locator(".lt-cancel:visible").click()
    page.locator(".lt-run [data-state=cancelled]").wait_for()
    expect(page.locator(".lt-big")).to_have_count(0)
    expect(page.get_by_role("button", name="Edit and run again").locator("visible=true")).to_have_count(1)
