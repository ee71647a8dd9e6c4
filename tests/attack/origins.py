"""Pages of other sites, open in the browser of somebody who may use the server."""

import sys
from pathlib import Path

import httpx

from tests.attack.blackbox import PY, Raw, Server, main, served, start_program

LOGINS = ("--auth=ann:secret-1", "--auth=bob:secret-2", "--allowed-host=longtake.example")
SITE = "https://site.example"
FLAGS = (*LOGINS, f"--allowed-origin={SITE}")

_FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "https://wiki.longtake.example", "sec-fetch-site": "same-site"},
    {"origin": "http://127.0.0.1:9"},
    {"origin": "null"},
    {"origin": "null", "sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    {"origin": "http://127.0.0.1.evil.example", "x-forwarded-host": "127.0.0.1.evil.example"},
]


def _visitors(out: Path) -> list[Raw]:
    """One of a server without logins, and one who has logged in."""
    ann = Raw(served(out, *FLAGS))
    assert ann.login("ann", "secret-1") == 200
    return [Raw(served(out)), ann]


def _is_refused(answer: httpx.Response) -> bool:
    opened = [name for name in answer.headers if name.startswith("access-control-allow")]
    return answer.status_code in (403, 421) and not opened and "set-cookie" not in answer.headers


def attack_other_sites_act(out: Path) -> None:
    """What changes something is refused (403), with a sentence and one line of the log: nothing is done or stored."""
    for visitor in _visitors(out):
        server = visitor.server
        assert visitor.answer("jobs")[0] == "complete"
        files, lines = _files(server), len(server.log.read_text().splitlines())
        sent = 0
        for headers in _FOREIGN:
            for path in ("/login", "/gradio_api/call/delete", "/gradio_api/queue/join", "/gradio_api/cancel"):
                for content, kind in ((b'{"data": []}', "application/json"), (b"{}", "text/plain")):
                    answer = visitor.http.post(
                        path, content=content, headers={**headers, "content-type": kind}
                    )
                    assert _is_refused(answer) and answer.text.endswith("."), (headers, path, answer)
                    sent += 1
            upload = visitor.http.post(
                "/gradio_api/upload", files={"files": ("x.mp4", b"x")}, headers=headers
            )
            assert _is_refused(upload), headers
            assert _is_refused(visitor.http.get("/logout", headers={**headers, "sec-fetch-mode": "navigate"}))
            sent += 2
        assert visitor.answer("jobs")[0] == "complete", "and nobody is logged out"
        assert _files(server) == files
        log = server.log.read_text()
        assert "Traceback" not in log and len(log.splitlines()) - lines <= sent


def attack_other_sites_read(out: Path) -> None:
    """No page of another site is let in by CORS, whatever the name of the server is; links to the page work."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    for visitor in _visitors(out):
        hosts = ["localhost", "127.0.0.1:1", "[::1]"]
        hosts += ["longtake.example"] if visitor.server.log == served(out, *FLAGS).log else []
        for host in hosts:
            for headers in _FOREIGN:
                there = {**headers, "host": host}
                for path in ("/", "/config", "/gradio_api/info", "/gradio_api/call/jobs/1", "/metrics"):
                    answer = visitor.http.get(path, headers=there)
                    assert "access-control-allow-origin" not in answer.headers, (there, path)
                if "origin" in headers:
                    preflight = visitor.http.options("/gradio_api/call/jobs", headers={**there, **asked})
                    assert "access-control-allow-origin" not in preflight.headers, there
                    assert preflight.status_code in (403, 421)
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert visitor.http.get("/?job=0&key=0", headers=link).status_code == 200


def attack_that_keeps_friends_out(out: Path) -> None:
    """Its own pages, a site that was allowed, curl and gradio_client go on working, with and without a login."""
    for visitor in _visitors(out):
        own = Raw(visitor.server, {"origin": visitor.server.url, "sec-fetch-site": "same-origin"})
        own.http.cookies = visitor.http.cookies
        assert own.answer("jobs")[0] == "complete"
        assert own.uploaded("x.mp4", b"x")["path"]
    site = Raw(served(out, *FLAGS), {"origin": SITE, "sec-fetch-site": "same-site"})
    assert site.login("bob", "secret-2") == 200
    assert site.answer("jobs")[0] == "complete"
    answer = site.http.get("/gradio_api/info")
    assert answer.headers["access-control-allow-origin"] == SITE
    assert answer.headers["access-control-allow-credentials"] == "true"
    code = (
        "import sys; from gradio_client import Client; "
        "print(Client(sys.argv[1], auth=('ann', 'secret-1'), verbose=False).predict(api_name='/jobs'))"
    )
    assert start_program(PY, "-c", code, served(out, *FLAGS).url).strip().startswith("[")


def _files(server: Server) -> set[str]:
    return {str(path) for path in server.jobs.rglob("*") if path.is_file() and "cache" in path.parts}


if __name__ == "__main__":
    sys.exit(main(globals()))
