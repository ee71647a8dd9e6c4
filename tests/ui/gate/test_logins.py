"""Who is let in, and for how long."""

import asyncio
from collections.abc import Callable
from functools import partial
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.gate import OnlyLoggedIn, OnlyOwnOrigins, in_front, origin_of_flag
from ui.gate.logins import SESSION_SECONDS
from ui.gate.names import Names
from ui.server.guesses import ASKING

ID = "abc"
SITE = "https://site.example"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def enter(clock: Clock) -> Callable[..., TestClient]:
    """Makes a client of a page that gives tokens as Gradio does, and forgets none."""
    tokens: dict[str, str] = {}

    def user(request: Request) -> str | None:
        cookies = request.cookies
        return tokens.get(cookies.get(f"access-token-{ID}", "")) or tokens.get(
            cookies.get(f"access-token-unsecure-{ID}", "")
        )

    async def login(request: Request) -> Response:
        name = request.query_params["user"]
        token = f"token-{len(tokens)}"
        tokens[token] = name
        answer = JSONResponse({"success": True})
        answer.set_cookie(f"access-token-{ID}", token, httponly=True, samesite="none", secure=True)
        answer.set_cookie(f"access-token-unsecure-{ID}", token, httponly=True)
        answer.set_cookie("other", "1")
        return answer

    async def logout(_: Request) -> Response:
        answer = RedirectResponse("/")
        answer.delete_cookie(f"access-token-{ID}")
        answer.delete_cookie(f"access-token-unsecure-{ID}")
        return answer

    async def page(request: Request) -> Response:
        if request.url.path == "/":
            return HTMLResponse("<p>page</p>")
        return JSONResponse({"user": user(request), "asking": ASKING.get()})

    routes = [
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout),
        Route("/{path:path}", page, methods=["GET", "POST"]),
    ]

    def make(**options: Any) -> TestClient:
        origins = partial(OnlyOwnOrigins, names=Names(["longtake.example"]), allowed=[origin_of_flag(SITE)])
        app = Starlette(
            routes=routes, lifespan=in_front(origins, partial(OnlyLoggedIn, clock=clock, **options))
        )
        return TestClient(app, base_url="http://127.0.0.1:7860", follow_redirects=False).__enter__()

    return make


def cookies(answer: httpx.Response) -> dict[str, str]:
    """The cookies of logins that an answer sets, as they are."""
    found = answer.headers.get_list("set-cookie")
    return {text.partition("=")[0]: text for text in found if text.startswith("access-token")}


CLOSED = [
    *(
        "/config",
        "/openapi.json",
        "/docs",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/app_id",
    ),
    *(
        "/gradio_api/token",
        "/gradio_api/user",
        "/gradio_api/heartbeat/x",
        "/gradio_api/upload",
        "/monitoring/key",
    ),
    *(
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/stream/x",
        "/gradio_api/cancel",
        "/gradio_api/reset",
        "/assets",
    ),
    *("/login/huggingface", "/gradio_api/startup-events/x", "/static", "/config/", "/healthz/x"),
]


@pytest.mark.parametrize("path", CLOSED)
def test_strangers_see_nothing_but_the_login(enter: Callable[..., TestClient], path: str) -> None:
    client = enter()
    for answer in (client.get(path), client.post(path, content=b"x"), client.head(path)):
        assert answer.status_code == 401
    assert client.get(path).json()["detail"]["error"] == "Not authenticated", "as programs expect it"
    client.post("/login?user=ann")
    assert client.get(path).json()["user"] == "ann"


def test_what_the_page_that_asks_for_a_password_needs_is_open(enter: Callable[..., TestClient]) -> None:
    client = enter()
    for path in ("/", "/assets/index.js", "/theme.css", "/favicon.ico", "/healthz"):
        assert client.get(path).status_code == 200


def test_a_login_is_one_cookie_that_scripts_and_other_sites_cannot_use(
    enter: Callable[..., TestClient],
) -> None:
    answer = enter().post("/login?user=ann")
    ((name, text),) = cookies(answer).items()
    assert name == f"access-token-unsecure-{ID}" and "secure" not in text.partition("=")[2].lower()
    cookie = SimpleCookie(text)[name]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["path"] == "/"
    assert int(cookie["max-age"]) == SESSION_SECONDS
    assert "other=1" in answer.headers["set-cookie"], "other cookies stay as they are"


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-proto": "https", "host": "longtake.example"},
        {"origin": "https://longtake.example", "host": "longtake.example"},
    ],
)
def test_behind_tls_it_is_sent_over_tls_alone(
    enter: Callable[..., TestClient], headers: dict[str, str]
) -> None:
    ((name, text),) = cookies(enter().post("/login?user=ann", headers=headers)).items()
    assert name == f"access-token-{ID}" and "; Secure" in text and "SameSite=Lax" in text


def test_a_site_that_may_ask_logs_in_for_itself(enter: Callable[..., TestClient]) -> None:
    there = {"x-forwarded-proto": "https", "host": "longtake.example", "origin": SITE}
    ((_, text),) = cookies(enter().post("/login?user=ann", headers=there)).items()
    assert all(word in text for word in ("HttpOnly", "SameSite=None", "; Secure", "Partitioned"))


def test_a_login_ends_also_where_the_browser_keeps_it(enter: Callable[..., TestClient], clock: Clock) -> None:
    client = enter()
    client.post("/login?user=ann")
    clock.now += SESSION_SECONDS - 1
    assert client.get("/config").status_code == 200
    clock.now += 2
    assert client.get("/config", headers={"cookie": f"access-token-unsecure-{ID}=token-0"}).status_code == 401


def test_whoever_logs_out_is_out(enter: Callable[..., TestClient]) -> None:
    client, other = enter(), enter()
    client.post("/login?user=ann")
    assert other.post("/login?user=ann").status_code == 200
    kept = {"cookie": f"access-token-unsecure-{ID}=token-0"}
    gone = client.get("/logout")
    assert all("Max-Age=0" in text for text in cookies(gone).values()) and len(cookies(gone)) == 2
    assert client.get("/config").status_code == 401
    assert client.get("/config", headers=kept).status_code == 401
    assert other.get("/config").status_code == 200


def test_one_that_has_ended_does_not_come_in_with_another_that_has_not(
    enter: Callable[..., TestClient], clock: Clock
) -> None:
    client = enter()
    client.post("/login?user=ann")
    clock.now += SESSION_SECONDS + 1
    client.cookies.clear()
    client.post("/login?user=bob")
    both = f"access-token-{ID}=token-0; access-token-unsecure-{ID}=token-1; a=b; access-token-{ID}=token-0"
    assert client.get("/config", headers={"cookie": both}).json()["user"] == "bob"


@pytest.mark.parametrize(
    "cookie", ["", "access-token-abc=", "access-token-abc=x; ;=;a", "access-token-abc", "\xff=\xff"]
)
def test_a_made_up_cookie_opens_nothing(enter: Callable[..., TestClient], cookie: str) -> None:
    client = enter()
    client.post("/login?user=ann")
    client.cookies.clear()
    assert client.get("/config", headers={"cookie": cookie.encode("latin-1")}).status_code == 401


def test_only_so_many_are_remembered(
    enter: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnlyLoggedIn, "MOST_SESSIONS", 2)
    client = enter()
    for _ in range(3):
        client.cookies.clear()
        client.post("/login?user=ann")
    client.cookies.clear()

    def status(number: int) -> int:
        headers = {"cookie": f"access-token-unsecure-{ID}=token-{number}"}
        return client.get("/config", headers=headers).status_code

    assert [status(number) for number in range(3)] == [401, 200, 200]


def test_the_sender_of_a_request_is_known_to_those_who_check_passwords(
    enter: Callable[..., TestClient],
) -> None:
    def asking(forwarded: str, **options: Any) -> str:
        client = enter(**options)
        client.post("/login?user=ann")
        return str(client.get("/config", headers={"x-forwarded-for": forwarded}).json()["asking"])

    assert asking("10.0.0.9") == "testclient", "without a proxy anybody may write anything there"
    assert asking("1.2.3.4, 10.0.0.9", behind_proxy=True) == "10.0.0.9"
    assert asking("2001:db8::1", behind_proxy=True) == asking("2001:db8::ffff", behind_proxy=True)
    assert asking("2001:db8:1::1", behind_proxy=True) != asking("2001:db8::1", behind_proxy=True)
    assert ASKING.get() == ""


def test_a_request_that_passed_no_gate_is_refused() -> None:
    from ui.gate import OnlyBehindGate

    async def ask(scope: dict[str, Any]) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def page(_: Any, __: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        await OnlyBehindGate(page)(scope, None, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    assert asyncio.run(ask({"type": "http", "method": "GET", "path": "/"})) == 503
