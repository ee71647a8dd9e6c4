"""The page of a server with logins, in headless Chromium: in, a job, out; and a page of another site beside it."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000

_ACT = """
const url = location.hash.slice(1), told = [];
const call = async (path, options) => {
  try { const answer = await fetch(url + path, options); return answer.type === "opaque" ? "sent" : answer.status; }
  catch (error) { return "failed"; }
};
(async () => {
  const body = '{"data": []}', headers = {"content-type": "application/json"};
  told.push(await call("/gradio_api/call/jobs", {method: "POST", credentials: "include", headers, body}));
  told.push(await call("/gradio_api/call/jobs", {method: "POST", credentials: "include", body}));
  told.push(await call("/config", {credentials: "include"}));
  await call("/logout", {mode: "no-cors", credentials: "include"});
  document.title = told.join(" ");
})();
"""


@pytest.fixture
def other_site() -> Iterator[str]:
    """A page at another port, whose script acts on the server that its address names."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = f"<!doctype html><title></title><script>{_ACT}</script>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            pass

    site = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{site.server_port}/"
    site.shutdown()
    site.server_close()


def test_in_a_job_and_out_and_no_other_page_gets_in(
    new_context: Callable[..., BrowserContext], start_app: Callable[..., Any], other_site: str, clip: Path
) -> None:
    url = start_app("--auth=ann:open sesame").url.rstrip("/")
    context = new_context()
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    for password in ("wrong", "open sesame"):
        page.get_by_label("User name").fill("ann")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        if password == "wrong":
            page.get_by_text("User name or password is wrong.").wait_for()
    page.get_by_role("tab", name="Score", exact=True).click()
    page.locator("#score-file input[type=file]").set_input_files(clip)
    expect(page.locator("#score-run")).to_be_enabled(timeout=PATIENCE_MS)
    page.locator("#score-run").click()
    page.locator(".lt-run [data-state=done]").wait_for()

    # Of the same site for the browser, which sends the cookie: another port, and another name of this machine.
    evil = context.new_page()
    evil.goto(f"{other_site}#{url}")
    expect(evil).to_have_title("failed failed failed", timeout=PATIENCE_MS)
    evil.close()

    (login,) = [each for each in context.cookies() if each["name"].startswith("access-token")]
    assert login["httpOnly"] and login["sameSite"] == "Lax" and login["expires"] > 0
    page.get_by_role("link", name="Log out").click()
    page.get_by_label("User name").wait_for()
    assert not [each for each in context.cookies() if each["name"].startswith("access-token")]
    assert not errors


def test_the_page_opens_under_any_name_that_it_has(
    new_context: Callable[..., BrowserContext], start_app: Callable[..., Any]
) -> None:
    served = start_app()
    port = served.url.rstrip("/").rpartition(":")[2]
    page = new_context().new_page()
    assert page.goto(f"http://localhost:{port}/", timeout=PATIENCE_MS).status == 200  # type: ignore[union-attr]
    page.locator("#inpaint-file input[type=file]").wait_for(state="attached", timeout=PATIENCE_MS)
    assert "Refused" not in served.log.read_text()
