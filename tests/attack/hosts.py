"""Names that somebody else made to point to the server (DNS rebinding)."""

import socket
import sys
from pathlib import Path

from tests.attack.blackbox import Raw, Server, clip, main, served
from tests.attack.origins import FLAGS

_STRANGE = (
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "2130706433",
    "a:b:c",
    "evil.example.",
)


def attack_a_rebound_name(out: Path) -> None:
    """Under a name that is not the server's nothing is told or done (421): jobs, files, metrics, uploads."""
    server = served(out)
    owner = Raw(server)
    film = owner.uploaded("film.mp4", clip(out / "film.mp4").read_bytes())
    kind, data = owner.answer("score", file=film)
    assert kind == "complete", data
    job, files = data[0]["job"], data[1]
    for name in _STRANGE:
        host = f"{name}:{server.port}"
        evil = Raw(server, {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"})
        for path in ("/", "/config", "/metrics", "/gradio_api/info", f"/gradio_api/file={files[0]['path']}"):
            assert evil.http.get(path).status_code == 421, (host, path)
        for headers in ({}, {"x-forwarded-host": "localhost"}, {"x-forwarded-for": "127.0.0.1"}):
            body = {"data": [job, ""]}
            answer = evil.http.post("/gradio_api/call/delete", json=body, headers=headers)
            assert answer.status_code == 421 and answer.text.endswith("."), (host, headers)
        assert evil.upload("x.mp4", b"x").status_code == 421
        assert evil.http.get("/healthz").status_code == 200
    (listed,) = owner.answer("jobs")[1]
    assert [each["job"] for each in listed] == [job]
    assert owner.answer("delete", job=job)[0] == "complete"
    assert "Traceback" not in server.log.read_text()


def attack_a_name_told_by_others(out: Path) -> None:
    """A name in a proxy's header or in the request's first line opens nothing, and no page is made for it."""
    server = served(out, *FLAGS)
    for name in ("evil.example", "localhost.", "longtake.example.evil.example"):
        told = {"x-forwarded-host": name, "x-forwarded-proto": "https"}
        answer = Raw(server, told).http.get("/")
        assert name == "localhost." or (answer.status_code == 421 and f"https://{name}" not in answer.text)
        acts = Raw(server, {**told, "origin": f"https://{name}"}).http.post("/login", data={})
        assert acts.status_code in (403, 421), name
    for lines in (
        "GET http://evil.example/config HTTP/1.1\r\nHost: localhost",
        "GET http://localhost/config HTTP/1.1\r\nHost: evil.example",
        "GET /config HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
        "GET /config HTTP/1.1\r\nHost: evil.example\r\nHost: localhost",
        "GET /config HTTP/1.0",
        "GET //localhost/config HTTP/1.1\r\nHost: evil.example",
    ):
        assert _status(served(out), lines) in (400, 403, 421), lines


def attack_that_keeps_friends_out(out: Path) -> None:
    """Its own names in every spelling, and addresses, are answered."""
    for name in (
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.3.2.1:1",
        "[::1]",
        "[0:0::1]:80",
        "192.168.0.7",
    ):
        assert Raw(served(out), {"host": name}).http.get("/config").status_code == 200, name
    for name in ("longtake.example", "LongTake.Example.:443"):
        visitor = Raw(served(out, *FLAGS), {"host": name, "origin": f"https://{name.removesuffix(':443')}"})
        assert visitor.login("bob", "secret-2") == 200


def _status(server: Server, lines: str) -> int:
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as raw:
        raw.sendall(f"{lines}\r\nConnection: close\r\n\r\n".encode())
        return int(raw.makefile("rb").readline().split()[1])


if __name__ == "__main__":
    sys.exit(main(globals()))
