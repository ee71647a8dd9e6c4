"""What watching a job costs: the tab's share of a core, its traffic, and its messages, beside the page at rest.

    python tests/bench/bench_watch.py [--seconds 60]

A runner tells the events of a long score (15 frames a second, a picture of 90 kB each second), so that nothing else
computes beside the browser. Watched are the page as it opens and with its details open, each after the pace of updates
has settled. Results are printed and kept in tests/bench/results/watch.md.
"""

import argparse
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import CDPSession, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from pipelines.jobs import events  # noqa: E402  after the path is set
from pipelines.jobs.events import Event, Facts, Planned  # noqa: E402  after the path is set
from pipelines.jobs.job import Job  # noqa: E402  after the path is set
from pipelines.scheduler.queue import JobQueue  # noqa: E402  after the path is set
from pipelines.settings import ScoreSettings  # noqa: E402  after the path is set
from pipelines.spec import task_spec  # noqa: E402  after the path is set
from pipelines.workers.runner import WorkerState  # noqa: E402  after the path is set
from ui import theme  # noqa: E402  after the path is set
from ui.front.pages import Front  # noqa: E402  after the path is set
from ui.jobs.service import JobService  # noqa: E402  after the path is set
from ui.page import I18N, build  # noqa: E402  after the path is set
from ui.server.monitor import Monitor  # noqa: E402  after the path is set
from ui.server.policy import Policy  # noqa: E402  after the path is set

PATIENCE_SECONDS = 120.0
FRAMES, FRAMES_PER_SECOND, SPAN_FRAMES = 100_000, 15, 60
SETTLED_SECONDS = 25
"""After ten times the longest period between two updates (ui/jobs/stream.py) the pace no longer changes."""
MOST_SHARE, MOST_MB_PER_HOUR = 0.05, 60
METRICS = ("TaskDuration", "ThreadTime", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


# -- the server ------------------------------------------------------------------------------------------------


class ToldRunner:
    """Tells the events of a long score, at their pace."""

    def __init__(self) -> None:
        self.worker = WorkerState()
        self._closed = threading.Event()

    def run(self, job: Job, hear: Callable[[Event], None]) -> str | None:
        """Run `job` until the server stops."""
        with job.runner():
            for event in long_score(job, self._closed):
                job.journal.append(event)
                hear(event)
        return None

    def let_go(self) -> None:
        """Stop at the next event."""
        self._closed.set()


def long_score(job: Job, closed: threading.Event) -> Iterator[Event]:
    """The events of a score of a video of 720p."""
    picture, random = job.folder / "preview.jpg", np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (180, 320, 3), np.uint8)).resize((1280, 720))
    noise.save(picture, quality=50)
    facts = Facts(
        name="long.mp4",
        container="mp4",
        codec="h264",
        width=1280,
        height=720,
        frames=FRAMES,
        seconds=FRAMES / 25,
        frame_rate="25/1",
        variable_frame_rate=False,
        rotation=0,
        sound=None,
        damage=None,
    )
    yield events.Started(job=job.id, worker_pid=1)
    yield Planned(
        job=job.id,
        facts=facts,
        engine="builtin",
        frames=FRAMES,
        frames_kept=0,
        window_frames=3,
        batch_frames=8,
        predicted_host_bytes=2**28,
        predicted_device_bytes=0,
        budget_host_bytes=2**33,
        budget_device_bytes=0,
        disk_bytes=2**20,
        risk="low",
        reason="Three frames at a time fit well.",
        preset="none",
        preset_reason="No GPU was found.",
    )
    for frame in range(FRAMES):
        if closed.wait(1 / FRAMES_PER_SECOND):
            return
        value, left = float(random.random()), FRAMES - frame - 1
        yield events.Progress(
            job=job.id,
            stage="score",
            done=frame + 1,
            total=FRAMES,
            frames_per_second=FRAMES_PER_SECOND + value,
            eta_seconds=left / FRAMES_PER_SECOND,
            frame=frame,
            value=value,
        )
        if frame % FRAMES_PER_SECOND == 0:
            held = 2**28 + int(value * 2**24)
            yield events.Preview(job=job.id, frame=frame, path=picture)
            yield events.Memory(
                job=job.id,
                host_bytes=held,
                host_peak_bytes=2**28 + 2**24,
                host_available_bytes=2**33,
                device_bytes=0,
                device_peak_bytes=0,
            )


def serve(port: int, jobs_dir: Path) -> None:
    """Serve the page with a job that runs, and print the job's name."""
    queue = JobQueue(jobs_dir, runner=ToldRunner())
    clip = jobs_dir / "long.mp4"
    clip.write_bytes(b"not looked at")
    job = Job.create(jobs_dir, "score", (clip,), ScoreSettings(), task_spec("score").result_version)
    queue.start(job)
    page = build(JobService(queue, Policy()), Monitor(queue))
    page.launch(
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        _frontend=False,
        run_history=False,
        enable_monitoring=False,
        app_kwargs={"routes": [*Front(page).routes(), *getattr(page, "routes", [])]},
        theme=theme.theme(),
        css_paths=theme.CSS_PATHS,
        i18n=I18N,
    )
    print(job.id, flush=True)
    threading.Event().wait()


# -- the tab ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a tab took while it was open for `seconds`."""

    seconds: float
    metrics: dict[str, float]
    received_bytes: int
    messages: int

    @property
    def share(self) -> float:
        """The share of a core that the tab's tasks took."""
        return self.metrics["TaskDuration"] / self.seconds

    @property
    def mb_per_hour(self) -> float:
        """What the line would carry in an hour."""
        return self.received_bytes / self.seconds * 3600 / 1e6


def watch(page: Page, session: CDPSession, seconds: float) -> Cost:
    """Measure a tab for some time."""
    received, messages = [0], [0]

    def count(event: dict[str, int]) -> None:
        received[0] += event["encodedDataLength"]
        messages[0] += 1

    session.on("Network.dataReceived", count)
    before, begun = read(session), time.monotonic()
    page.wait_for_timeout(1000 * seconds)
    after, lasted = read(session), time.monotonic() - begun
    session.remove_listener("Network.dataReceived", count)
    return Cost(lasted, {name: after[name] - before[name] for name in METRICS}, received[0], messages[0])


def read(session: CDPSession) -> dict[str, float]:
    """Chromium's counters of the tab, in seconds."""
    told = session.send("Performance.getMetrics")["metrics"]
    return {each["name"]: each["value"] for each in told if each["name"] in METRICS}


def measure(seconds: float) -> dict[str, Cost]:
    """What a tab costs at rest, while it shows a job that runs, and with the job's details open."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("There is no Chromium on PATH.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, costs = f"http://127.0.0.1:{port}/", {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, __file__, "--serve", str(port), folder]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"}
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            assert server.stdout
            job = server.stdout.readline().strip()
            httpx.get(url, timeout=PATIENCE_SECONDS).raise_for_status()
            for name, query, opens in (
                ("at rest", "", False),
                ("a job that runs", f"?job={job}", False),
                ("and its details", f"?job={job}", True),
            ):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                session = page.context.new_cdp_session(page)
                session.send("Performance.enable")
                session.send("Network.enable")
                page.goto(url + query)
                page.locator(".lt-run [data-state=running]" if query else "#inpaint-run").first.wait_for()
                if opens:
                    page.locator(".lt-details button").locator("visible=true").first.click()
                    page.locator(".lt-curve polyline").wait_for()
                page.wait_for_timeout(1000 * SETTLED_SECONDS)
                costs[name] = watch(page, session, seconds)
                page.close()
        finally:
            browser.close()
            server.kill()
            server.wait()
    return costs


def table(costs: dict[str, Cost]) -> str:
    """The costs as Markdown."""
    load = os.getloadavg()[0]
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores at a load of {load:.1f}, Gradio {version('gradio')}",
        "",
        f"Allowed are {100 * MOST_SHARE:.0f} % of a core and {MOST_MB_PER_HOUR} MB an hour.",
        "",
        "| the tab shows | share of a core, % | CPU of its thread, % | script | layout | MB an hour | parts a minute |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cost in costs.items():
        script, laid, thread = (
            100 * sum(cost.metrics[each] for each in names) / cost.seconds
            for names in (("ScriptDuration",), ("LayoutDuration", "RecalcStyleDuration"), ("ThreadTime",))
        )
        lines.append(
            f"| {name} | {100 * cost.share:.1f} | {thread:.1f} | {script:.1f} | {laid:.1f} "
            f"| {cost.mb_per_hour:.1f} | {60 * cost.messages / cost.seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(int(asked.serve[0]), Path(asked.serve[1]))
        return
    text = table(measure(asked.seconds))
    print(text)
    (ROOT / "tests" / "bench" / "results" / "watch.md").write_text(text)


if __name__ == "__main__":
    main()
