"""Requests of every wrong kind, to every handler of page and API, and to the addresses around them."""

import contextlib
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.attack.blackbox import Raw, Server, clip, main, served, until


def _file(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


_JSON = {"content-type": "application/json"}
_ANY_WHERE: list[Any] = [
    *(
        None,
        "",
        0,
        -7,
        2.5,
        True,
        [],
        [[None]],
        {},
        {"value": "x"},
        "\ud9ff",
        "nul\x00",
        "w" * 4000,
        10**25,
        10**350,
    ),
    *(
        float("inf"),
        float("nan"),
        1e308,
        _file("/etc/hostname"),
        _file("a\x00"),
        _file(None),
        _file(9),
        ["a", ["b"]],
    ),
    *(
        "٤",
        "1" * 5000,
        "٤:1,2,3",
        "7@x#" + "8" * 4500,
        "?job=&key=%ff",
        "face " + "3" * 4400,
        "0:1e999,nan,inf",
    ),
    *("5,5,5,5@" + "7" * 4400, "9999:" + ",".join(["3"] * 60) + "@999999999"),
]


def _said(server: Server, since: int) -> list[str]:
    return server.log.read_bytes()[since:].decode(errors="replace").splitlines()


def _check(server: Server, since: int, answer: str, asked: object) -> None:
    """The answer is a sentence, with a code for programs; the log has one line about it and no traceback."""
    about = f"{ascii(asked)[:200]}: {answer[:300]}"
    error = json.loads(answer)["error"]
    assert isinstance(error, str) and len(error) > 15 and error.rstrip().endswith(("]", ".")), about
    assert "[internal]" not in error and "500" not in error, about
    assert max(map(len, error.split())) <= 100, about
    told = _said(server, since)
    assert not [line for line in told if "Traceback" in line or line.startswith("  File")], told
    told = [line for line in told if line.startswith(("WARNING", "ERROR"))]
    assert len(told) <= 1 and max(map(len, told), default=0) < 1200, told


def _handlers(visitor: Raw) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Each kind of handler of the page and the API, with the default values of its inputs."""
    config = visitor.http.get("/config").json()
    components = {each["id"]: (each["type"], each["props"].get("value")) for each in config["components"]}
    seen = set()
    for handler in config["dependencies"]:
        kind = re.sub(r"_[0-9]+$", "", handler["api_name"]), *(components[id][0] for id in handler["inputs"])
        if handler["backend_fn"] and handler["inputs"] and kind not in seen:
            seen.add(kind)
            yield handler, [components[id][1] for id in handler["inputs"]]


def _asked(number: int, defaults: list[Any]) -> Iterator[list[Any]]:
    """What a handler is asked: a wrong value in all places, in some alone, and too few values."""
    places = len(defaults)
    for value in _ANY_WHERE if places <= 3 else _ANY_WHERE[number % 9 :: 9]:
        yield [value] * places
    for place in range(number % 7 if places > 7 else 0, places, 7 if places > 7 else 1):
        for turn in range(1 if places > 7 else 6):
            value = _ANY_WHERE[(3 * number + place + 7 * turn) % len(_ANY_WHERE)]
            yield [*defaults[:place], value, *defaults[place + 1 :]]
    yield [None] * (places - 1)


def attack_every_handler_with_every_kind_of_value(out: Path) -> None:
    """Each handler, asked with wrong types, answers normally or with a sentence, a code and one line in the log."""
    server = served(out)
    visitor = Raw(server)
    refused = 0
    for number, (handler, defaults) in enumerate(_handlers(visitor)):
        for data in _asked(number, defaults):
            since = server.log.stat().st_size
            body = json.dumps({"fn_index": handler["id"], "data": data, "session_hash": visitor.session})
            sent = visitor.http.post("/gradio_api/run/predict", content=body, headers=_JSON)
            if sent.status_code != 200:
                refused += 1
                _check(server, since, sent.text, (handler["api_name"], data))
    assert refused > 300, refused


def attack_the_api_with_foreign_and_wrong_files(out: Path) -> None:
    """Over the queue, too, each wrong value ends in an error event with a sentence and a code."""
    server = served(out)
    visitor = Raw(server)
    wrong = (
        _file("/etc/hostname"),
        _file("//host/share"),
        _file("x\x00"),
        _file(None),
        "/etc/hostname",
        5,
        [],
        {},
    )
    other = _file("/x", url="http://127.0.0.1:9/x.mp4"), _file("http://127.0.0.1:9/x.mp4"), _file("q" * 3000)
    for value in (*wrong, *other):
        since = server.log.stat().st_size
        kind, data = visitor.answer("inspect", file=value)
        assert kind == "error", (value, data)
        _check(server, since, json.dumps(data), value)
    numbers: tuple[dict[str, Any], ...] = (
        {"window": "16"},
        {"window": None},
        {"start": "inf"},
        {"end": 1e400},
    )
    for values in (*numbers, {"box": {"a": 1}}, {"task": 5}, {"engine": "\ud9ff"}, {"task": "w" * 9000}):
        since = server.log.stat().st_size
        kind, data = visitor.answer("submit", file=None, **values)
        assert kind == "error", (values, data)
        _check(server, since, json.dumps(data), values)


def attack_the_addresses_with_bodies_of_no_sense(out: Path) -> None:
    """Requests that no client sends get a 4xx with a sentence and a code; nothing of them comes back in full."""
    server = served(out)
    visitor = Raw(server)
    long = "z" * 20_000
    bodies: tuple[Any, ...] = (
        {},
        [],
        5,
        None,
        b"{",
        b"\xff",
        b"[" * 4000,
        {"data": {}},
        {"data": None, long: long},
    )
    for name in ("call/nowhere", "call/v2/nowhere", "call/v2/score", "run/nowhere", "queue/join", "reset"):
        for body in bodies:
            since = server.log.stat().st_size
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = visitor.http.post(f"/gradio_api/{name}", content=content, headers=_JSON)
            assert 400 <= sent.status_code < 500 and len(sent.text) < 1000, (name, body, sent.text[:300])
            _check(server, since, sent.text, (name, body))
    for name in (
        "/gradio_api/proxy=%00",
        "/gradio_api/file=%00",
        "/nowhere/%ff",
        "/gradio_api/call/job/%00/x",
    ):
        sent = visitor.http.get(name)
        assert 400 <= sent.status_code < 500 and sent.json()["error"].endswith("]"), (name, sent.text[:300])


def attack_by_closing_what_was_opened(out: Path) -> None:
    """Two hundred streams and uploads that are closed in the middle leave no traceback, and others are served."""
    server = served(out)
    visitor = Raw(server)
    film = visitor.uploaded("long.mp4", clip(out / "long.mp4").read_bytes())
    since = server.log.stat().st_size
    upload = (
        "POST /gradio_api/upload?upload_id=u{n} HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; "
        "boundary=b\r\nContent-Length: 90000\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\nabc'
    )
    stream = "GET /gradio_api/queue/data?session_hash=c{n} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    progress = "GET /gradio_api/upload_progress?upload_id=u{n} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    with contextlib.ExitStack() as opened:
        for n in range(200):
            begun = opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            begun.sendall((upload, stream, progress)[n % 3].format(n=n, host=server.url[7:]).encode())
    until(lambda: visitor.answer("inspect", file=film)[0] == "complete")
    assert visitor.http.get("/healthz").status_code == 200
    told = _said(server, since)
    assert not [line for line in told if "Traceback" in line or line.startswith("  File")], told[:40]
    assert len(told) <= 220, len(told)


if __name__ == "__main__":
    sys.exit(main(globals()))
