"""Uploads are counted for whoever sends them, and what is refused is refused in time and in words."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from memory.units import GIB, MIB
from ui.limits.incoming import CountUploads
from ui.limits.room import Room
from ui.server.policy import Policy


class Behind:
    """Takes uploads as Gradio does, and answers with what it was told to; knows who is logged in."""

    def __init__(self, *names: str, login: bool = False) -> None:
        self.paths: list[Path] = []
        self.names = names
        self.auth = {"ann": "x"} if login else None
        self.cookie_id, self.tokens = "id", {"token-a": "ann", "token-b": "bob"}
        self.read_bytes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            self.read_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        answer = str([str(path) for path in self.paths]).replace("'", '"').encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})


def upload(
    behind: Behind,
    room: Room,
    body: list[bytes],
    *,
    says: int | None = None,
    path: str = "/x/upload",
    **headers: str,
) -> tuple[int, str]:
    """Send an upload; returns the status and the text of the answer."""
    named = {**headers, **({} if says is None else {"content-length": str(says)})}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in named.items()],
        "client": ("192.0.2.1", 5),
        "app": behind,
    }
    left, told = [*body], []

    async def receive() -> Any:
        chunk = left.pop(0) if left else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: Any) -> None:
        told.append(message)

    asyncio.run(CountUploads(behind, room)(scope, receive, send))
    assert not left, "what is sent on is taken, so that the answer is read"
    return told[0]["status"], b"".join(each.get("body", b"") for each in told[1:]).decode()


@pytest.fixture
def room(tmp_path: Path) -> Room:
    (tmp_path / "cache").mkdir()
    return Room(tmp_path, Policy(visitor_max_gb=2 * MIB / GIB))


def test_who_has_the_answer_may_send_the_next_file_at_once(room: Room) -> None:
    coming: list[int] = []

    async def exchange() -> None:
        chunks = [b"x" * MIB]

        async def receive() -> Any:
            return {"type": "http.request", "body": chunks.pop() if chunks else b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                coming.append(room._coming.total())

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/x/upload",
            "query_string": b"",
            "headers": [(b"content-length", str(MIB).encode())],
            "client": ("192.0.2.1", 5),
            "app": Behind(),
        }
        await CountUploads(Behind(), room)(scope, receive, send)

    asyncio.run(exchange())
    assert coming == [0], "what has arrived is no longer coming when that is told"


@pytest.mark.parametrize(("says", "status"), [(3 * MIB, 413), (None, 413)])
def test_too_much_is_refused_and_not_read(room: Room, says: int | None, status: int) -> None:
    behind = Behind()
    told, words = upload(behind, room, [b"x" * MIB] * 3, says=says)
    assert (
        told == status
        and words.startswith("3.0 MiB would be more than the 2.0 MiB")
        and "[over_limit]" in words
    )
    assert behind.read_bytes == (0 if says else 2 * MIB)
    assert not room._coming


def test_who_sends_an_upload_is_known_by_login_else_by_address(room: Room, tmp_path: Path) -> None:
    behind = Behind()
    for name, cookie in (
        ("a", "access-token-id=token-a"),
        ("b", "access-token-unsecure-id=token-b"),
        ("c", "x=y"),
    ):
        file = tmp_path / "cache" / name / "clip.mp4"
        file.parent.mkdir()
        file.write_bytes(b"x" * MIB)
        behind.paths = [file]
        assert upload(behind, room, [b"x" * MIB], says=MIB, cookie=cookie)[0] == 200
    assert len(room.ledger.visitors()) == 3
    # A cookie is easily deleted.
    for cookie in ("", "longtake_visitor=new"):
        told, words = upload(behind, room, [b"x" * 2 * MIB], says=2 * MIB, cookie=cookie)
        assert told == 507 and "Your uploads take up 1.0 MiB" in words
    assert upload(behind, room, [b"x"], says=1, cookie="access-token-id=token-a")[0] == 200


def test_without_the_login_nothing_is_set_aside(room: Room) -> None:
    behind = Behind(login=True)
    assert upload(behind, room, [b"x"], says=3 * MIB)[0] == 200, "the page answers 401 before it reads"
    assert upload(behind, room, [b"x"], says=3 * MIB, cookie="access-token-id=token-a")[0] == 413


def test_other_requests_pass(room: Room) -> None:
    assert upload(Behind(), room, [b"x" * 3 * MIB], says=3 * MIB, path="/x/call")[0] == 200
