"""What serving costs: cold start, size and CPU time of the page, first paint, memory, beside a bare Gradio page.

    python tests/bench/bench_serve.py [--uploads 50] [--visits 15]

The bare page is a line of Markdown and a button, served by the same Gradio beside ours. Both are started, asked and
visited by the same Chromium in turn, first one and then the other first. Machines are noisy: read the ratios, which are
medians of the ratios of neighbours. Results are printed and kept in tests/bench/results/serve.md.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
UPLOAD_MIB = 20
PATIENCE_SECONDS = 120.0

FRONT = ("/ on the wire, kB", "components at the start")
Pair = tuple[float, float]
"""Ours and the bare page's."""
Row = tuple[str, float, float | None, float | None]
"""A name, ours, the bare page's, and their ratio."""
STARTS = 3
TURNS, GETS = 9, 200
"""Requests are measured together: the kernel tells CPU time in steps of 10 ms."""
VISIT = ("first contentful paint, ms", "main button visible, ms", "CPU of the tab until then, ms")
CONFIG = re.compile(r"window\.gradio_config = (.*?);</script>", re.DOTALL)

BARE = """
import sys
import gradio as gr
with gr.Blocks(analytics_enabled=False) as page:
    gr.Markdown("# Bare")
    gr.Button("Run", elem_id="inpaint-run")
page.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False, run_history=False, enable_monitoring=False)
"""


@dataclass(frozen=True)
class Server:
    """A server that answers, and how long it took to."""

    url: str
    process: psutil.Process
    cold_start_seconds: float

    @property
    def rss_mib(self) -> float:
        """What its process holds now."""
        return self.process.memory_info().rss / MIB


@contextlib.contextmanager
def serving(command: Callable[[int], list[str]], ready: str) -> Iterator[Server]:
    """Start a server and wait until `ready` answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.perf_counter()
    env = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(command(port), cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        while not answers(url + ready):
            if process.poll() is not None or time.perf_counter() - begin > PATIENCE_SECONDS:
                sys.exit(f"{command(port)} does not answer")
            time.sleep(0.02)
        yield Server(url, psutil.Process(process.pid), time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Whether `url` answers with 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ours(jobs_dir: str) -> Callable[[int], list[str]]:
    """The command line of our page."""
    return lambda port: [sys.executable, "app.py", f"--server-port={port}", f"--jobs-dir={jobs_dir}"]


def bare(port: int) -> list[str]:
    """The command line of the bare page."""
    return [sys.executable, "-c", BARE, str(port)]


def size(server: Server) -> tuple[float, float]:
    """The page at `/`: kB on the wire, and components."""
    answer = httpx.get(server.url, headers={"accept-encoding": "gzip, br"})
    components = json.loads(CONFIG.findall(answer.text)[0])["components"]
    return answer.num_bytes_downloaded / 1000, len(components)


def cpu_per_get(server: Server) -> float:
    """The server's CPU milliseconds per request of `/`; the first was rendered before."""
    with httpx.Client(headers={"accept-encoding": "gzip, br"}) as client:
        client.get(server.url)
        before = server.process.cpu_times()
        for _ in range(GETS):
            client.get(server.url)
        after = server.process.cpu_times()
    return 1000 * (after.user + after.system - before.user - before.system) / GETS


def in_turn(measure: Callable[[Server], float], page: Server, other: Server, turns: int) -> list[Pair]:
    """Measure both, `turns` times; the one that was second is first the next time."""
    pairs = []
    for turn in range(turns):
        order = (page, other) if turn % 2 else (other, page)
        found = {server.url: measure(server) for server in order}
        pairs.append((found[page.url], found[other.url]))
    return pairs


def visit(browser: Browser, url: str) -> tuple[float, ...]:
    """Milliseconds to the first paint with content, until the main button is seen, and of the CPU, in a fresh browser.

    The CPU time is that of the tab's main thread, which other programs do not change.
    """
    context = browser.new_context()
    try:
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(url)
        page.wait_for_selector("#inpaint-run", state="visible", timeout=PATIENCE_SECONDS * 1000)
        seen = page.evaluate("performance.now()")
        found = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        return paint, seen, 1000 * found["TaskDuration"]
    finally:
        context.close()


def upload(url: str, look: Callable[[], None]) -> None:
    """Upload UPLOAD_MIB of noise, a MiB at a time, with a look after each."""

    def body() -> Iterator[bytes]:
        yield b'--cut\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        for _ in range(UPLOAD_MIB):
            yield os.urandom(MIB)
            look()
        yield b"\r\n--cut--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    answer = httpx.post(f"{url}gradio_api/upload", content=body(), headers=headers, timeout=PATIENCE_SECONDS)
    answer.raise_for_status()
    # The disk is not what is measured.
    Path(answer.json()[0]).unlink()


def paints(page: Server, other: Server, visits: int) -> list[list[Pair]] | None:
    """What VISIT names, of both pages; None without Chromium."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        return None
    times: dict[str, list[tuple[float, ...]]] = {page.url: [], other.url: []}

    def once(server: Server) -> float:
        times[server.url].append(visit(browser, server.url))
        return times[server.url][-1][0]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        in_turn(once, page, other, visits + 1)
        browser.close()
    # The first visits warm the servers' caches.
    pairs = list(zip(times[page.url], times[other.url], strict=True))[1:]
    return [[(ours[each], theirs[each]) for ours, theirs in pairs] for each in range(len(VISIT))]


def row(name: str, pairs: Sequence[Pair]) -> Row:
    """The medians of both, and of the ratios of neighbours."""
    mine, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return name, mine, theirs, statistics.median(one / another for one, another in pairs if another)


def cold_start(command: Callable[[int], list[str]], ready: str) -> float:
    """Seconds until a server answers."""
    with serving(command, ready) as server:
        return server.cold_start_seconds


def measure(uploads: int, visits: int) -> list[Row]:
    """What was measured."""
    with serving(bare, "config"):
        pass  # what both load is in the disk's cache now
    with tempfile.TemporaryDirectory() as jobs:
        starts = [(cold_start(ours(jobs), "healthz"), cold_start(bare, "config")) for _ in range(STARTS)]
        with serving(bare, "config") as other, serving(ours(jobs), "healthz") as page:
            rows = [row("cold start, s", starts), row("memory at rest, MiB", [(page.rss_mib, other.rss_mib)])]
            for name, *pair in zip(FRONT, size(page), size(other), strict=True):
                rows.append(row(name, [(pair[0], pair[1])]))
            rows.append(row("CPU of the server per GET of /, ms", in_turn(cpu_per_get, page, other, TURNS)))
            if found := paints(page, other, visits):
                rows += [row(name, pairs) for name, pairs in zip(VISIT, found, strict=True)]
            rows.append(row("memory after the visits, MiB", [(page.rss_mib, other.rss_mib)]))
            if uploads:
                held = [page.rss_mib]
                for _ in range(uploads):
                    upload(page.url, lambda: held.append(page.rss_mib))
                told = f"most memory in {uploads} uploads of {UPLOAD_MIB} MiB, MiB"
                rows.append((told, max(held), None, None))
                rows.append(("growth from before to after them, MiB", page.rss_mib - held[0], None, None))
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores at a load of {os.getloadavg()[0]:.1f}"
    head = f"{machine}, Python {platform.python_version()}"
    lines = [
        f"{head}, Gradio {version('gradio')}",
        "",
        "| | ours | a bare page | ratio |",
        "|---|---|---|---|",
    ]
    for name, mine, other, ratio in rows:
        beside = f"{other:.1f} | {ratio:.2f}" if other is not None else "|"
        lines.append(f"| {name} | {mine:.1f} | {beside} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--visits", type=int, default=15)
    asked = parser.parse_args()
    text = table(measure(asked.uploads, asked.visits))
    print(text)
    results = ROOT / "tests" / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "serve.md").write_text(text)


if __name__ == "__main__":
    main()
