"""Draw the pictures of the page again: `python docs/screens.py` writes `docs/page-*.png`.

The examples, which Longtake draws itself or which are in the public domain, are run by a click, in headless Chromium.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
PATIENCE_MS = 600_000
COLOURS = 256
"""Of a picture: as good as all of them for a page, at a third of the size."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the page with its jobs in `folder`; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", f"--server-port={port}", f"--jobs-dir={folder}"]
    process = subprocess.Popen(command, cwd=ROOT)
    url = f"http://127.0.0.1:{port}/"
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(f"{url}healthz", timeout=5)
                break
            except OSError:
                time.sleep(1)
        yield url
    finally:
        process.terminate()
        process.wait()


def opened(browser: Browser, url: str, **options: object) -> Page:
    """Open the page in a window of its own."""
    context = browser.new_context(**{"viewport": DESK, "locale": "en-US", **options})  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(url)
    return page


def run_example(browser: Browser, url: str, task: str) -> str:
    """Run the example of a task; returns the address of its job."""
    page = opened(browser, url)
    page.locator(f"[role=tab][data-tab-id={task}]:visible").click()
    page.locator(".lt-examples:visible button").first.click()
    page.locator(".lt-run:visible [data-state=done]").wait_for()
    page.wait_for_url("**?job=*")
    return page.url


def keep(page: Page, name: str) -> None:
    """Write what is seen of a page from its top, when it has settled."""
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(2500)
    # A folder of a moment says nothing to readers.
    page.evaluate("document.querySelectorAll('#system code').forEach((each) => (each.textContent = 'jobs'))")
    with Image.open(BytesIO(page.screenshot())) as shown:
        small = shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
        small.save(ROOT / "docs" / f"page-{name}.png", optimize=True)


def finished(page: Page) -> Page:
    """Wait until the result of a job is there."""
    page.locator(".lt-run:visible [data-state=done]").wait_for()
    film = page.locator(".lt-film video.lt-plain")
    if film.count():
        page.wait_for_function("document.querySelector('.lt-film video.lt-plain').readyState == 4")
    return page


def main() -> None:
    """Run the examples and write the pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "jobs") as url,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        removal, portrait, score = (
            run_example(browser, url, task) for task in ("inpaint", "animate", "score")
        )
        keep(finished(opened(browser, removal, viewport=PHONE)), "phone")
        page = finished(opened(browser, removal))
        page.get_by_role("button", name="Compare before and after").click()
        page.locator(".lt-film[data-mode=wipe]").wait_for()
        keep(page, "light")
        keep(finished(opened(browser, portrait, color_scheme="dark")), "dark")
        keep(finished(opened(browser, score)), "done")
        page = opened(browser, url)
        page.locator("[role=tab][data-tab-id=system]:visible").click()
        page.locator(".lt-hour").wait_for()
        keep(page, "system")
        browser.close()


if __name__ == "__main__":
    main()
