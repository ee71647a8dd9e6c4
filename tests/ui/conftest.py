"""A page over a job queue whose runner is a script of events: quick, and without a decoder."""

import copy
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import Any, NoReturn

import gradio as gr
import httpx
import imageio_ffmpeg
import psutil
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from starlette.middleware import Middleware

from memory.units import GIB, MIB
from pipelines.jobs import events
from pipelines.jobs.events import Event, Facts, Outputs, Planned
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.workers.runner import WorkerState
from ui import theme
from ui.front.pages import Front
from ui.jobs.service import JobService
from ui.page import I18N, build
from ui.server.answers import EXCEPTION_HANDLERS, Answered
from ui.server.monitor import Monitor
from ui.server.policy import Policy
from ui.server.visitors import GiveCookie

Script = Callable[[Job], Iterator[Event]]
ROOT = Path(__file__).parents[2]


REPORT: dict[str, Any] = {
    "task": "score",
    "summary": {
        "frames": 40,
        "mean_sharpness": 0.7,
        "blurred": {"frames": 0, "ratio": 0.0, "interval_count": 0, "intervals": []},
        "frozen": {"frames": 0, "ratio": 0.0, "run_count": 0, "runs": []},
        "cuts": {"count": 0, "frames": []},
        "motion": {"mean": 0.1, "jerkiness": 0.2},
        "exposure": {"under": 0.0, "over": 0.0},
        "smoothness": {"score": 1.0, "threshold": 0.1, "artifact_frames": 0},
    },
}


class ScriptedRunner:
    """Runs a job by telling the events of a script; between two it looks whether the job is to be cancelled."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.ran: list[str] = []
        self.worker = WorkerState()
        self._closed = threading.Event()

    def run(self, job: Job, hear: Callable[[Event], None]) -> str | None:
        self.ran.append(job.id)
        self.worker = WorkerState("busy", os.getpid(), "builtin", len(self.ran), time.time())
        self._tell(job, hear)
        self.worker = replace(self.worker, state="warm")
        return None

    def _tell(self, job: Job, hear: Callable[[Event], None]) -> None:
        with job.runner():
            for event in self.script(job):
                if self._closed.is_set():
                    return
                told = events.CancelledEvent(job=job.id) if job.requested() else event
                job.journal.append(told)
                hear(told)
                if told is not event:
                    return

    def let_go(self) -> None:
        if self.worker.state == "busy":
            self._closed.set()
        self.worker = WorkerState()


def _planned(job: str = "", **changes: object) -> Planned:
    facts = Facts(
        name="clip.mp4",
        container="mp4",
        codec="h264",
        width=160,
        height=120,
        frames=40,
        seconds=1.6,
        frame_rate="25/1",
        variable_frame_rate=False,
        rotation=0,
        sound=None,
        damage=None,
    )
    plan = Planned(
        job=job,
        facts=facts,
        engine="builtin",
        frames=40,
        frames_kept=0,
        window_frames=3,
        batch_frames=8,
        predicted_host_bytes=200 * MIB,
        predicted_device_bytes=0,
        budget_host_bytes=GIB,
        budget_device_bytes=0,
        disk_bytes=MIB,
        risk="low",
        reason="Three frames at a time fit well.",
        preset="none",
        preset_reason="No GPU was found.",
    )
    return plan.model_copy(update=changes)


def _progress(job: str, done: int, total: int = 40, value: float | None = None) -> events.Progress:
    return events.Progress(
        job=job,
        stage="score",
        done=done,
        total=total,
        frames_per_second=25.0,
        eta_seconds=(total - done) / 25,
        frame=done - 1,
        value=value,
    )


def _memory(job: str, now: int, peak: int) -> events.Memory:
    return events.Memory(
        job=job,
        host_bytes=now,
        host_peak_bytes=peak,
        host_available_bytes=2**32,
        device_bytes=0,
        device_peak_bytes=0,
    )


def _good_run(job: Job) -> Iterator[Event]:
    """A short run that goes well and leaves its files."""
    yield events.Started(job=job.id, worker_pid=1)
    yield _planned(job.id)
    for done in range(1, 41):
        yield _progress(job.id, done, value=0.5 + done / 100)
        yield _memory(job.id, done * MIB, done * MIB)
    report, scores = job.folder / "report.json", job.folder / "scores.csv"
    report.write_text(json.dumps(REPORT))
    scores.write_text("frame,sharpness\n0,0.5\n")
    picture, worst = job.folder / "report.png", job.folder / "worst-00000007.jpg"
    for path in (picture, worst):
        Image.new("RGB", (8, 8)).save(path)
    outputs = Outputs(report=report, scores=scores, picture=picture, worst=(worst,))
    yield job.done_with(outputs)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """40 frames of a drawn picture, 160 x 120 at 25 a second."""
    path = tmp_path / "clip.mp4"
    source = "testsrc2=size=160x120:rate=25:duration=1.6"
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-y", str(path)]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True, timeout=300)
    return path


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    """One whose jobs really run."""
    real = JobQueue(tmp_path / "jobs")
    yield real
    real.close()


@pytest.fixture
def make_queue(tmp_path: Path) -> Iterator[Callable[..., JobQueue]]:
    """Makes a queue whose jobs follow a script; closed at the end."""
    made: list[JobQueue] = []

    def make(script: Script, **options: Any) -> JobQueue:
        made.append(JobQueue(tmp_path / "jobs", runner=ScriptedRunner(script), **options))
        return made[-1]

    yield make
    for queue in made:
        for job in queue.running:  # a script hears of nothing else
            job.request("cancel")
        queue.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Serves a page in this process and returns its address; closed at the end."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "jobs" / "cache"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setattr("gradio.http_server.INITIAL_PORT_VALUE", _quiet_port())
    served: list[gr.Blocks] = []

    def launch(page: gr.Blocks, **options: Any) -> str:
        served.append(page)
        _, url, _ = page.launch(
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            show_error=False,
            _frontend=False,  # a busy machine is taken for one without an address otherwise
            app_kwargs={
                "routes": [*Front(page).routes(), *getattr(page, "routes", [])],
                "exception_handlers": EXCEPTION_HANDLERS,
                "middleware": [Middleware(Answered), Middleware(GiveCookie)],
            },
            **options,
        )
        return url

    yield launch
    for page in served:
        page.close(verbose=False)


@pytest.fixture
def page_over() -> Iterator[Callable[..., gr.Blocks]]:
    """Builds the page over a queue, under a policy; nobody is waited for after they left."""
    services: list[JobService] = []

    def make(queue: JobQueue, policy: Policy | None = None, **options: Any) -> gr.Blocks:
        services.append(JobService(queue, policy or Policy(), grace_seconds=0))
        return build(services[-1], Monitor(queue), **options)

    yield make
    for service in services:
        service.presence.close()


@pytest.fixture
def plan() -> Planned:
    return _planned()


@pytest.fixture
def report() -> dict[str, Any]:
    return copy.deepcopy(REPORT)


@pytest.fixture
def good_run() -> Script:
    return _good_run


@pytest.fixture
def endless() -> Script:
    """A run that goes on until it is asked to stop."""

    def run(job: Job) -> Iterator[Event]:
        yield events.Started(job=job.id, worker_pid=1)
        yield _planned(job.id)
        while job.requested() is None:
            threading.Event().wait(0.05)
        yield _progress(job.id, 1)

    return run


@pytest.fixture
def progress() -> Callable[..., events.Progress]:
    return _progress


PATIENCE_SECONDS = 180
expect.set_options(timeout=1000 * PATIENCE_SECONDS)


@dataclass(frozen=True)
class Served:
    """`python app.py` as a process that answers at `url` and writes its stderr to `log`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def family(self) -> list[psutil.Process]:
        """The process and all its children."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


def _quiet_port() -> int:
    """A free port that no system gives to whoever asks for any: nobody takes it before its server starts."""
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@contextmanager
def _starter(folder: Path) -> Iterator[Callable[..., Served]]:
    """Starts `python app.py` with its jobs in `folder/jobs` and waits until it answers."""
    started: list[Served] = []

    def answers(served: Served) -> bool:
        try:
            return httpx.get(f"{served.url}healthz", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def start(*flags: str, env: dict[str, str] | None = None) -> Served:
        port = _quiet_port()
        command = [sys.executable, "app.py", f"--server-port={port}", f"--jobs-dir={folder / 'jobs'}"]
        log = folder / f"app-{port}.log"
        with log.open("wb") as words:
            process = subprocess.Popen(
                [*command, *flags], cwd=ROOT, stderr=words, env={**os.environ, **(env or {})}
            )
        served = Served(process, f"http://127.0.0.1:{port}/", log)
        started.append(served)
        _until(lambda: process.poll() is not None or answers(served))
        assert process.poll() is None, log.read_text()
        return served

    try:
        yield start
    finally:
        for served in started:
            served.process.kill()
            served.process.wait()


def _until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Waits until something is so."""
    return _until


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts `python app.py`, with its jobs in `tmp_path/jobs`."""
    with _starter(tmp_path) as start:
        yield start


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Remember that a test failed: the pages that it visited say what they showed."""
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Headless Chromium. Closed before other modules: an open Playwright holds the thread's event loop."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        _go_without("there is no chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


# What a document says after it has been left is nobody's complaint: its requests broke off because it was.
_LEFT_QUIETLY = """(() => {
  let left = false;
  const say = console.error;
  console.error = (...words) => { if (!left) say.apply(console, words); };
  addEventListener("pagehide", () => { left = true; });
  addEventListener("pageshow", () => { left = false; });
  for (const kind of ["error", "unhandledrejection"])
    addEventListener(kind, (event) => { if (left) event.preventDefault(); });
})()"""


@pytest.fixture
def new_context(chromium: Any) -> Iterator[Callable[..., BrowserContext]]:
    """Makes a context of Chromium that is as patient as all else, and whose pages are left quietly."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        contexts.append(chromium.new_context(**options))
        contexts[-1].set_default_timeout(1000 * PATIENCE_SECONDS)
        contexts[-1].add_init_script(_LEFT_QUIETLY)
        return contexts[-1]

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def visit(
    request: pytest.FixtureRequest,
    serve: Callable[..., str],
    page_over: Callable[..., gr.Blocks],
    new_context: Callable[..., BrowserContext],
) -> Iterator[Callable[..., Page]]:
    """Opens a page over a queue; fails at the end if it asked anybody else for anything, or complained."""
    outside, errors = [], []
    pages: list[tuple[Page, list[str]]] = []

    def open_page(queue: JobQueue, policy: Policy | None = None, *, query: str = "", **options: Any) -> Page:
        look_of_it = {"theme": theme.theme(), "css_paths": theme.CSS_PATHS, "i18n": I18N}
        url = serve(page_over(queue, policy), **look_of_it)
        page: Page = new_context(**options).new_page()
        pages.append((page, []))
        page.on("response", functools.partial(_note, pages[-1][1]))
        page.on("requestfailed", lambda r: pages[-1][1].append(f"{r.method} {r.url} failed: {r.failure}"))
        page.on(
            "request",
            lambda r: outside.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else None,
        )
        page.on("console", lambda m: errors.append(f"{m.text} {m.location}") if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url + query)
        return page

    yield open_page
    said = list(errors)
    if said or request.node.stash.get(FAILED, False):
        for page, answered in pages:
            request.node.add_report_section("teardown", "page", _shown(page))
            request.node.add_report_section("teardown", "answers", "\n".join(answered[-80:]))
    assert not outside
    assert not said


def _note(answered: list[str], response: Any) -> None:
    """Note an answer to something that a page asked, with what it asked for."""
    if response.request.resource_type in ("fetch", "xhr", "eventsource"):
        sent = (response.request.post_data or "")[-600:] if "/queue/join" in response.url else ""
        answered.append(f"{response.status} {response.request.method} {response.url[-100:]} {sent}")


def _shown(page: Page) -> str:
    """What a page shows, as text."""
    try:
        return str(page.locator("body").aria_snapshot(timeout=5_000))
    except PlaywrightError as error:
        return f"nothing could be read: {error}"


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Installs a package (`name@version`) from npm's registry, once; returns the `node_modules` that has it."""

    @functools.cache
    def installed(package: str) -> tuple[Path, str]:
        folder, told = tmp_path_factory.mktemp("node"), ""
        quick = ["--prefer-offline", "--fetch-retries=2", "--fetch-timeout=20000"]
        command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", *quick, package]
        for _ in range(2):
            try:
                run = subprocess.run(command, capture_output=True, text=True, timeout=100)
            except subprocess.TimeoutExpired:
                told = "npm took too long"
                continue
            if run.returncode == 0:
                return folder / "node_modules", ""
            told = run.stderr.strip()[-300:]
        return folder, told

    def install(package: str) -> Path:
        if shutil.which("npm") is None or shutil.which("node") is None:
            pytest.skip("there is no node with npm on PATH")
        folder, told = installed(package)
        if told:
            # That a registry cannot be asked is no fault of ours.
            pytest.skip(f"{package} could not be installed: {told}")
        return folder

    return install


def _go_without(reason: str) -> NoReturn:
    if os.environ.get("LONGTAKE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"LONGTAKE_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


_TRAP = """
import os, sys
_log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_here = ("127.", "::1", "localhost", "0.0.0.0")
def _look(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        host = args[1][0] if isinstance(args[1], tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = args[0]
    else:
        return
    if host and not str(host).startswith(_here):
        os.write(_log, f"{{event}} {{host}}\\n".encode())
sys.addaudithook(_look)
"""


@dataclass(frozen=True)
class Trap:
    """An environment in which Python programs write down whom they ask on other machines."""

    env: dict[str, str]
    log: Path


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Trap:
    """The trap; there is a proxy in it, which is no way out, and none to this machine either."""
    folder = tmp_path_factory.mktemp("trap")
    (folder / "sitecustomize.py").write_text(_TRAP.format(log=str(folder / "log")))
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    return Trap({"PYTHONPATH": str(folder), **dict.fromkeys(names, "http://192.0.2.1:9")}, folder / "log")


@pytest.fixture(scope="module")
def trapped_app(trap: Trap, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One `python app.py` for a module, in a trap."""
    with _starter(tmp_path_factory.mktemp("trapped")) as start:
        yield start(env=trap.env)
