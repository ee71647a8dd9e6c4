"""Guessing, flooding and keeping logins."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path

from tests.attack.blackbox import Raw, main, served, until
from tests.attack.origins import FLAGS

_CLOSED = [
    *("/openapi.json", "/docs", "/redoc", "/config", "/config/", "/monitoring", "/monitoring/x", "/login/x"),
    *(
        f"/gradio_api/{name}"
        for name in (
            *("openapi.json", "info", "app_id", "token", "user", "heartbeat/x", "queue/data?session_hash=x"),
            *("queue/status", "stream/a/1/2/playlist.m3u8", "custom_component/x/client/component/index.js"),
            *("upload_progress?upload_id=1", "file=/etc/passwd", "file/etc/passwd", "proxy=http://127.0.0.1"),
            *("runs", "deep_link", "vibe-code", "call/jobs/1", "dev/reload", "mcp/", "profiling/traces"),
        )
    ),
]
_ACTS = (
    "call/jobs",
    "run/jobs",
    "api/jobs",
    "call/v2/jobs",
    "queue/join",
    "cancel",
    "reset",
    "upload",
    "stream/x",
)


def attack_before_the_login(out: Path) -> None:
    """Strangers get 401 everywhere but at the page that asks for a password, which does not describe the API."""
    stranger = Raw(served(out, *FLAGS))
    for path in _CLOSED:
        assert stranger.http.get(path).status_code == 401, path
    for path in _ACTS:
        assert stranger.http.post(f"/gradio_api/{path}", json={"data": []}).status_code == 401, path
    page = stranger.http.get("/", headers={"accept-encoding": "br, gzip"})
    assert page.status_code == 200 and "/score" not in page.text and "named_endpoints" not in page.text
    for cookie in ("access-token-x=y", "access-token-unsecure-=; a=b", "longtake_visitor=ann"):
        assert stranger.http.get("/config", headers={"cookie": cookie}).status_code == 401


def attack_a_flood_of_guesses(out: Path) -> None:
    """Sixty wrong passwords at once are few checks, whatever their names: a right one of another overtakes."""
    server = served(out, *FLAGS)
    begun = time.monotonic()
    assert Raw(server).login("bob", "secret-2") == 200
    alone = time.monotonic() - begun
    for name in ("ann", "nobody{}"):
        with ThreadPoolExecutor(60) as pool:
            wrong = [pool.submit(Raw(server).login, name.format(i), f"guess {i}") for i in range(60)]
            until(lambda guesses=wrong: any(each.done() for each in guesses))
            begun = time.monotonic()
            assert Raw(server).login("bob", "secret-2") == 200
            took = time.monotonic() - begun
            statuses = [each.result() for each in wrong]
        assert set(statuses) <= {400, 429}
        # One after another, they would take sixty times as long as one.
        assert took < 5 + 10 * alone, (name, took, alone)
    assert statuses.count(400) == 60, "names made up wait for one check together"
    for _ in range(5):
        Raw(server).login("ann", "guess")
    refused = Raw(server).http.post("/login", data={"username": "ann", "password": "secret-1"})
    assert refused.status_code == 429, "also the right one"
    assert int(refused.headers["retry-after"]) >= 1
    basic = Raw(server).http.get("/metrics", auth=("ann", "secret-1"))
    assert basic.status_code == 429, "the same line"
    assert Raw(server).http.get("/metrics", auth=("bob", "secret-2")).status_code == 200
    assert "Traceback" not in server.log.read_text()


def attack_the_cookie(out: Path) -> None:
    """A login's cookie is for no script and no other site, behind TLS for TLS alone, has an end, and logout ends it."""
    server = served(out, *FLAGS)
    for front, secure in (({}, False), ({"x-forwarded-proto": "https", "host": "longtake.example"}, True)):
        visitor = Raw(server, front)
        answer = visitor.http.post("/login", data={"username": "bob", "password": "secret-2"})
        assert answer.status_code == 200
        for text in answer.headers.get_list("set-cookie") + visitor.http.get("/").headers.get_list(
            "set-cookie"
        ):
            (cookie,) = SimpleCookie(text).values()
            assert cookie["httponly"] and cookie["samesite"] == "Lax" and int(cookie["max-age"]) > 0, text
            assert bool(cookie["secure"]) == secure, text
        sent = "; ".join(text.partition(";")[0] for text in answer.headers.get_list("set-cookie"))
        kept = Raw(server, {**front, "cookie": sent})
        assert kept.http.get("/config").status_code == 200
        assert kept.http.get("/logout").status_code in (302, 303, 307)
        assert kept.http.get("/config").status_code == 401


if __name__ == "__main__":
    sys.exit(main(globals()))
