"""Bodies that are larger than anything a visitor has to say."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.attack.blackbox import Raw, Server, main, served
from tests.attack.origins import FLAGS

MIB = 2**20
ROOM_BYTES = 30 * MIB

_JSON = (b'{"data":["', b'"]}', "application/json")
_FORM = (b"username=", b"&password=x", "application/x-www-form-urlencoded")
_DEEP = (b'{"data":' + b"[" * 10_000, b"]", "application/json")
_PART = (
    b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n',
    b"\r\n--B--\r\n",
    "multipart/form-data; boundary=B",
)


class Watched:
    """The most memory that a server held while something went on."""

    def __init__(self, server: Server) -> None:
        self.before = self.most = server.rss_bytes()
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._server.rss_bytes())

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _body(head: bytes, tail: bytes, size: int) -> Iterator[bytes]:
    yield head
    for start in range(0, size, MIB):
        yield b"A" * min(MIB, size - start)
    yield tail


def _sent(
    visitor: Raw, path: str, kind: tuple[bytes, bytes, str], size: int, *, declared: bool
) -> httpx.Response:
    head, tail, content_type = kind
    headers = {"content-type": content_type}
    if declared:
        headers["content-length"] = str(len(head) + size + len(tail))
    return visitor.http.post(path, content=_body(head, tail, size), headers=headers)


def attack_giants(out: Path) -> None:
    """Each is answered 413, logged in or not, declared or not, and the server's memory grows by at most 30 MiB."""
    closed = served(out, *FLAGS)
    ann = Raw(closed)
    assert ann.login("ann", "secret-1") == 200
    for visitor in (Raw(closed), ann, Raw(served(out))):
        lines = len(visitor.server.log.read_text())
        with Watched(visitor.server) as watched:
            for path, kind in (
                ("/gradio_api/call/jobs", _JSON),
                ("/gradio_api/queue/join", _DEEP),
                ("/login", _FORM),
                ("/login", _PART),
                ("/gradio_api/component_server", _PART),
                ("/nowhere", _JSON),
            ):
                for declared in (True, False):
                    size = 40 * MIB if kind is _FORM and not declared else 3 * MIB
                    answer = _sent(visitor, path, kind, size, declared=declared)
                    assert answer.status_code == 413 and answer.text.endswith("."), (path, declared, answer)
        assert watched.most - watched.before <= ROOM_BYTES
        assert len(visitor.server.log.read_text()) - lines < 20_000


def attack_many_at_once(out: Path) -> None:
    """Of 24 giants at once each is answered 413, and the server's memory grows by at most 30 MiB."""
    server = served(out)
    assert Raw(server).answer("jobs")[0] == "complete"
    with Watched(server) as watched, ThreadPoolExecutor(24) as pool:
        kinds = (_JSON, _DEEP, _FORM)
        sent = [
            pool.submit(
                _sent, Raw(server), "/gradio_api/run/jobs", kinds[i % 3], 4 * MIB, declared=i % 4 == 0
            )
            for i in range(24)
        ]
        statuses = {each.result().status_code for each in sent}
    assert statuses == {413}
    assert watched.most - watched.before <= ROOM_BYTES


def attack_fields_among_uploads(out: Path) -> None:
    """A field that is no file, in an upload, is not kept in memory either: it is refused."""
    server = served(out)
    with Watched(server) as watched:
        answer = _sent(Raw(server), "/gradio_api/upload", _PART, 50 * MIB, declared=False)
    assert 400 <= answer.status_code < 500, answer
    assert watched.most - watched.before <= ROOM_BYTES


def attack_that_keeps_friends_out(out: Path) -> None:
    """Uploads may be large, and a call nearly as large as the limit is read."""
    visitor = Raw(served(out))
    assert visitor.uploaded("large.mp4", b"A" * 5 * MIB)["path"]
    kind, data = visitor.answer("job", job="A" * (2 * MIB - 1000), key="", follow=False)
    assert kind == "error", data


if __name__ == "__main__":
    sys.exit(main(globals()))
