"""Bound what a request may send before anything reads it."""

import asyncio
from contextlib import AsyncExitStack

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory.units import KIB, MIB
from ui.gate import headers
from ui.gate.refusal import refuse
from ui.i18n.refusals import Refusal

MOST_BYTES = 2 * MIB
"""Largest body outside uploads: the longest strokes have 400 kB, all other calls a few."""
_SMALL_BYTES = 64 * KIB
"""Bodies up to this size need no turn; the server's own buffer of a connection is as large."""
_LARGE_AT_ONCE = 4
"""Larger bodies that are held at a time: read as JSON, one of 2 MiB takes some 10 MiB."""
_SECONDS = 30.0
"""Time for a body to come, its turn included: 2 MiB at half a megabit a second."""
UPLOADS = "/gradio_api/upload"
_MOST_DIGITS = 18
"""Digits of a declared length that are read as a number."""


class BoundedBodies:
    """ASGI middleware that answers 413 to bodies of more than `most_bytes`, except uploads, which go to disk.

    A body is read whole before anybody behind sees the request, so that none is parsed in part. Holds 64 KiB a
    request, and _LARGE_AT_ONCE bodies of `most_bytes`.
    """

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BYTES, seconds: float = _SECONDS) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._turn = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its whole body, or refuse it."""
        if scope["type"] != "http" or headers.path(scope) == UPLOADS or not _has_body(scope):
            await self._app(scope, receive, send)
        elif self._is_declared_too_large(scope):
            await self._refuse(scope, receive, send)
        else:
            async with AsyncExitStack() as turns:
                await self._after_reading(scope, receive, send, turns)

    async def _after_reading(self, scope: Scope, receive: Receive, send: Send, turns: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive, turns)
        except TimeoutError:
            why = Refusal("body.slow", seconds=f"{self._seconds:g}")
            await refuse(scope, receive, send, 408, why, headers={"Connection": "close"})
            return
        if body is None:
            return
        if len(body) > self._most_bytes:
            await self._refuse(scope, receive, send)
            return
        await self._app(scope, _replayed(bytes(body), receive), send)

    async def _read(self, receive: Receive, turns: AsyncExitStack) -> bytearray | None:
        """The body, or as much of it as tells that it is too large; None where the sender has left."""
        body = bytearray()
        has_turn = False
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._most_bytes or not message.get("more_body", False):
                return body
            if len(body) > _SMALL_BYTES and not has_turn:
                await turns.enter_async_context(self._turn)
                has_turn = True

    def _is_declared_too_large(self, scope: Scope) -> bool:
        length = headers.first(scope, b"content-length")
        return length.isdecimal() and (len(length) > _MOST_DIGITS or int(length) > self._most_bytes)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = Refusal("body.large", most=f"{self._most_bytes / MIB:g} MB", uploads=UPLOADS)
        await refuse(scope, receive, send, 413, why)


def _has_body(scope: Scope) -> bool:
    length = headers.first(scope, b"content-length")
    return bool(headers.values(scope, b"transfer-encoding")) or length not in ("", "0")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first."""
    told = False

    async def receiving() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
