"""How much a request may send."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from memory.units import KIB, MIB
from ui.gate import BoundedBodies

Gated = Callable[..., TestClient]


def pieces(size: int) -> Iterator[bytes]:
    """A body whose length nobody declares."""
    for start in range(0, size, 64 * KIB):
        yield b"a" * min(64 * KIB, size - start)


@pytest.mark.parametrize("path", ["/login", "/gradio_api/call/jobs", "/gradio_api/upload/x", "/nowhere"])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_two_mebibytes_pass_and_a_byte_more_does_not(gated: Gated, path: str, method: str) -> None:
    client = gated()
    for size, status in ((2 * MIB, 200), (2 * MIB + 1, 413)):
        for content in (b"a" * size, pieces(size)):
            answer = client.request(method, path, content=content)
            assert answer.status_code == status
            assert answer.text.endswith(".") if status == 413 else answer.json()["bytes"] == size


def test_uploads_are_as_large_as_they_are(gated: Gated) -> None:
    answer = gated().post("/gradio_api/upload", content=pieces(5 * MIB))
    assert answer.status_code == 200 and answer.json()["bytes"] == 5 * MIB
    assert gated().post("/gradio_api//upload", content=pieces(5 * MIB)).status_code == 413


class Sender:
    """A request whose body comes in parts; counts how many were taken."""

    def __init__(self, parts: list[bytes], headers: dict[str, str] | None = None) -> None:
        self.parts = parts
        self.taken = 0
        self.sent: list[Message] = []
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self.scope: Scope = {"type": "http", "method": "POST", "path": "/x", "headers": raw}

    async def receive(self) -> Message:
        if self.taken == len(self.parts):
            return {"type": "http.disconnect"}
        self.taken += 1
        return {"type": "http.request", "body": self.parts[self.taken - 1], "more_body": True}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def never(*_: Any) -> Any:
    raise AssertionError("the page saw the request")


def test_a_declared_giant_is_refused_without_taking_any_of_it() -> None:
    for length in ("2097153", "1" * 30):
        sender = Sender([b"a"], {"content-length": length})
        asyncio.run(BoundedBodies(never)(sender.scope, sender.receive, sender.send))
        assert sender.sent[0]["status"] == 413 and sender.taken == 0


def test_an_endless_body_is_taken_no_further_than_the_limit() -> None:
    sender = Sender([b"a" * MIB] * 100, {"transfer-encoding": "chunked"})
    asyncio.run(BoundedBodies(never)(sender.scope, sender.receive, sender.send))
    assert sender.sent[0]["status"] == 413 and sender.taken == 3


def test_who_leaves_in_the_middle_is_forgotten() -> None:
    sender = Sender([b"a"], {"transfer-encoding": "chunked"})
    asyncio.run(BoundedBodies(never)(sender.scope, sender.receive, sender.send))
    assert sender.sent == []


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def waits() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sender = Sender([], {"content-length": "5"})
    asyncio.run(BoundedBodies(never, seconds=0.01)(sender.scope, waits, sender.send))
    assert sender.sent[0]["status"] == 408


def test_few_large_bodies_are_held_at_a_time_and_small_ones_need_no_turn() -> None:
    async def crowd() -> tuple[list[int], int]:
        go = asyncio.Event()
        inside: list[int] = []

        async def page(scope: Scope, receive: Receive, send: Send) -> None:
            inside.append(len((await receive())["body"]))
            await go.wait()

        gate = BoundedBodies(page)
        large = [Sender([b"a" * MIB, b""], {"transfer-encoding": "chunked"}) for _ in range(12)]
        small = [Sender([b"a" * KIB, b""], {"transfer-encoding": "chunked"}) for _ in range(12)]

        async def ask(sender: Sender) -> None:
            async def receive() -> Message:
                return {**await sender.receive(), "more_body": sender.taken < 2}

            await gate(sender.scope, receive, sender.send)

        tasks = [asyncio.create_task(ask(sender)) for sender in (*large, *small)]
        for _ in range(50):
            await asyncio.sleep(0)
        seen, taken = sorted(inside), sum(sender.taken == 2 for sender in large)
        go.set()
        await asyncio.gather(*tasks)
        assert len(inside) == 24, "each has its turn"
        return seen, taken

    seen, taken = asyncio.run(crowd())
    assert seen == [KIB] * 12 + [MIB] * 4 and taken == 4


def test_json_comes_whole(gated: Gated) -> None:
    text = json.dumps({"data": ["é" * 1000]})
    assert gated().post("/gradio_api/call/jobs", content=text).json()["bytes"] == len(text.encode())
