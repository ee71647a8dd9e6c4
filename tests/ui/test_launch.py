"""Around the page: answers for machines, why there is no link, a stop that waits for nobody too long, the Space."""

import asyncio
import base64
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import psutil
import pytest
from gradio import networking
from gradio.exceptions import ChecksumMismatchError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp

import app
from ui import launch
from ui.gate import Names
from ui.launch import NoTunnel, open_tunnel
from ui.server.passwords import Passwords
from ui.server.policy import Policy

ROOT = Path(__file__).parents[2]


def app_with(*, stopping: bool = False, users: Passwords | None = None) -> TestClient:
    added = launch.additions(is_stopping=lambda: stopping, metrics=lambda: "jobs 1\n", passwords=users)

    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("a page")

    routes = [*added["routes"], Route("/{path:path}", page, methods=["GET", "POST"])]
    return TestClient(Starlette(routes=routes, middleware=added["middleware"]))


@pytest.mark.parametrize(
    ("kind", "is_compressed"),
    [
        ("text/html", True),
        ("application/json", True),
        ("text/csv", True),
        ("text/event-stream", False),
        ("video/x-matroska", False),
        ("application/zip", False),
        ("application/octet-stream", False),
    ],
)
def test_what_is_text_is_compressed_and_what_streams_is_not(kind: str, is_compressed: bool) -> None:
    body = b"a page " * 1000

    async def answer(_: Request) -> Response:
        return Response(body, media_type=kind)

    behind: ASGIApp = Starlette(routes=[Route("/", answer)])
    for layer in reversed(launch.gate(Policy(), Names(), has_logins=False)):
        behind = layer(behind)
    client = TestClient(behind, base_url="http://localhost")
    answered = client.get("/")
    assert (answered.headers.get("content-encoding") == "gzip") is is_compressed
    assert answered.content == body
    assert "content-encoding" not in client.get("/", headers={"Accept-Encoding": "identity"}).headers


# -- answers for machines ------------------------------------------------------------------------------------


def test_health_is_told_with_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    answer = app_with().get("/healthz")
    assert answer.status_code == 200 and answer.json() == {"status": "ok", "version": version}
    assert app_with().head("/healthz").status_code == 200


def test_a_server_that_stops_says_so_and_takes_nothing_new() -> None:
    stopping = app_with(stopping=True)
    assert stopping.get("/healthz").status_code == 503
    assert stopping.get("/healthz").json()["status"] == "stopping"
    refused = stopping.post("/gradio_api/queue/join")
    assert refused.status_code == 503 and refused.headers["retry-after"]
    assert stopping.get("/gradio_api/queue/data").text == "a page", "who listens goes on"
    assert app_with().post("/gradio_api/queue/join").text == "a page"


def test_our_routes_win_over_a_page_of_the_same_name(serve: Callable[..., str]) -> None:
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("home")
    with page.route("Health", "/healthz"):
        gr.Markdown("not ours")
    routes = launch.additions(is_stopping=lambda: False, metrics=str, passwords=None)["routes"]
    # A page of `gr.Blocks` is served as the app serves it, with our routes.
    url = page.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False, app_kwargs={"routes": routes}
    )[1]
    try:
        assert httpx.get(f"{url}healthz").json()["status"] == "ok"
    finally:
        page.close(verbose=False)


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_metrics_need_a_password_where_users_have_one() -> None:
    assert app_with().get("/metrics").text == "jobs 1\n"
    closed = app_with(users=Passwords(["ann:pass:wörd"]))
    right = closed.get("/metrics", headers=basic("ann:pass:wörd"))
    assert right.status_code == 200 and right.text == "jobs 1\n"
    wrong = [
        {},
        basic("ann:x"),
        basic("bob:pass:wörd"),
        basic("ann"),
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic /w=="},
        {"Authorization": basic("ann:pass:wörd")["Authorization"].replace("Basic", "Bearer")},
    ]
    for headers in wrong:
        refused = closed.get("/metrics", headers=headers)
        assert refused.status_code == 401 and not refused.text
        assert refused.headers["www-authenticate"].startswith("Basic ")


def test_slow_metrics_do_not_hold_up_the_page() -> None:
    async def ask() -> str:
        loop, asked = asyncio.get_running_loop(), asyncio.Event()

        async def answer() -> str:
            asked.set()
            return "done"

        def slow() -> str:
            # Ends only when the loop does something else meanwhile.
            return asyncio.run_coroutine_threadsafe(answer(), loop).result(100)

        routes = launch.additions(is_stopping=lambda: False, metrics=slow, passwords=None)["routes"]
        transport = httpx.ASGITransport(Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return (await client.get("/metrics")).text

    assert asyncio.run(ask()) == "done"


# -- a public link -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("Could not get share link."), "Is there a network?"),
        (httpx.ConnectError("no route"), "executable"),
        (ChecksumMismatchError(), "Delete it"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (ValueError("Could not create share URL.\nlog\nlog"), "Could not create share URL."),
    ],
)
def test_each_reason_for_no_link_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fails(*_: object) -> str:
        raise error

    monkeypatch.setattr(networking, "setup_tunnel", fails)
    page = gr.Blocks()
    page.server_name, page.server_port = "127.0.0.1", 7860
    with pytest.raises(NoTunnel) as told:
        open_tunnel(page)
    assert str(told.value).startswith("No public link: ") and words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_link_is_to_the_address_that_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def works(*given: Any) -> str:
        asked.append(given)
        return "https://abc.gradio.live"

    monkeypatch.setattr(networking, "setup_tunnel", works)
    page = gr.Blocks()
    page.server_name, page.server_port = "127.0.0.1", 7861
    assert open_tunnel(page) == "https://abc.gradio.live"
    assert asked == [("127.0.0.1", 7861, page.share_token, None, None)]


def test_a_link_is_a_name_of_the_server_once_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names.of({"server_name": "127.0.0.1"}, [], {})
    monkeypatch.setattr(launch, "open_tunnel", lambda _: "https://abc.gradio.live")
    app._share(gr.Blocks(), None, names)
    assert names.knows("abc.gradio.live") and not names.knows("gradio.live")


# -- a stop that loses nothing -------------------------------------------------------------------------------


class Hanging:
    """A queue and a page that never end."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def close(self, verbose: bool = True) -> None:
        self.asked.append("page" if not verbose else "queue")
        self.go.wait(60)


def test_what_hangs_is_left_behind_and_no_child_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()
    monkeypatch.setattr(launch, "QUEUE_SECONDS", 0.05)
    monkeypatch.setattr(launch, "PAGE_SECONDS", 0.05)
    monkeypatch.setattr(launch, "OTHERS_SECONDS", 0.05)
    monkeypatch.setattr(launch, "LAST_SECONDS", 0.0)
    monkeypatch.setattr(launch.os, "_exit", lambda code: code == 0 and left.set())
    child = psutil.Process(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    # Other tests may have children too.
    monkeypatch.setattr(psutil.Process, "children", lambda *_, **__: [child])
    hanging = Hanging()
    closed = threading.Event()
    launch.stop(hanging, hanging, closed.set)  # type: ignore[arg-type]
    hanging.go.set()
    assert hanging.asked == ["queue", "page"] and closed.is_set()
    assert not child.is_running()
    assert left.wait(60), "and this process would have ended, whatever happens"


def test_the_shares_of_a_stop_add_up_to_less_than_its_whole() -> None:
    parts = launch.QUEUE_SECONDS + launch.PAGE_SECONDS + launch.OTHERS_SECONDS
    assert parts < launch.LAST_SECONDS < 10


# -- the Space -----------------------------------------------------------------------------------------------


@pytest.fixture
def front_matter() -> dict[str, str]:
    """The head of the README, by which a Space is made."""
    block = re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert block
    pairs = (line.split(":", 1) for line in block[1].splitlines() if re.match(r"\w+:", line))
    return {key: value.strip() for key, value in pairs}


def pinned(name: str) -> str:
    found = re.search(rf"^{name}==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    assert found
    return found[1]


def test_a_space_gets_the_gradio_that_is_pinned_and_a_python_that_fits(front_matter: dict[str, str]) -> None:
    assert front_matter["sdk"] == "gradio" and front_matter["sdk_version"] == pinned("gradio")
    # In quotes: YAML reads 3.10 as 3.1.
    quoted = re.fullmatch(r'"3\.(\d+)"', front_matter["python_version"])
    assert quoted
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    lowest, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", bounds).groups()  # type: ignore[union-attr]
    assert int(lowest) <= int(quoted[1]) < int(above)


def test_a_space_finds_its_app(front_matter: dict[str, str]) -> None:
    assert (ROOT / front_matter["app_file"]).is_file()
    assert len(front_matter["short_description"]) <= 60 and front_matter["license"] == "apache-2.0"


def test_nothing_on_the_page_needs_an_ffprobe_from_the_system() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "ui").glob("*.py"))
    assert "gr.HTML(" in sources and not re.search(r"gr\.(Video|Audio|PlayableVideo)\(", sources)
