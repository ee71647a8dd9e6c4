"""Uploads as they come: counted for their visitor, refused in time, and nothing stays of those that break off."""

import asyncio
import inspect
import json
import logging
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import route_utils
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory.units import MIB
from ui.i18n.catalogue import language_of, speaking
from ui.i18n.messages import error_text
from ui.limits.room import Arrival, NoRoom, Room
from ui.server.answers import SAID
from ui.server.visitors import Visitor

log = logging.getLogger(__name__)

_STEP_BYTES = 4 * MIB
"""What an upload of unknown length is granted at a time: each grant looks at the visitor's files."""
_LINGER_BYTES = 64 * MIB
_LINGER_SECONDS = 10.0
"""What a refused upload may go on sending, and for how long: a browser reads no answer while it sends, and reports a
closed connection instead of our sentence."""

_arrival: ContextVar[Arrival | None] = ContextVar("arrival", default=None)


class _Parser(route_utils.GradioMultiPartParser):
    """Gradio's parser, which leaves its files behind where an upload breaks off: reports them to the arrival."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        arrival, file = _arrival.get(), self._current_part.file
        if arrival and file:
            arrival.begin(Path(file.file.name))


route_utils.GradioMultiPartParser = _Parser  # type: ignore[misc]


class CountUploads:
    """ASGI middleware that gives room to uploads, by their length beforehand or else as they come.

    What exceeds a visitor's quota is answered by 413 (more than they may ever keep) or 507 and a sentence, which the
    page shows. Knows afterwards who uploaded what. Holds nothing of an upload but its size.
    """

    def __init__(self, app: ASGIApp, room: Room, *, behind_proxy: bool = False) -> None:
        self._app = app
        self._room = room
        self._behind_proxy = behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; an upload only as far as there is room for it."""
        path = str(scope.get("path", "")).rstrip("/")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.endswith("/upload"):
            await self._app(scope, receive, send)
            return
        request, app = Request(scope), scope.get("app")
        user = await _user(app, request)
        if user is None and _asks_for_login(app):
            await self._app(scope, receive, send)  # refuses before it reads
            return
        sender = gr.Request(request=request, username=user)
        arrival = Arrival(self._room, Visitor.of(sender, behind_proxy=self._behind_proxy).counted_as)
        _arrival.set(arrival)
        exchange = _Exchange(arrival, receive, send)
        is_browser = "accept-language" in request.headers  # programs send none
        try:
            with speaking(language_of(request.headers)) if is_browser else nullcontext():
                await exchange.serve(self._app, scope)
        finally:
            _arrival.set(None)
            await asyncio.shield(asyncio.to_thread(arrival.end))


class _Exchange:
    """One upload and its answer."""

    def __init__(self, arrival: Arrival, receive: Receive, send: Send) -> None:
        self._arrival = arrival
        self._receive = receive
        self._send = send
        self._granted_bytes = 0
        self._read_bytes = 0
        self._has_all = False
        self._is_answered = False
        self._status = 0
        self._answer = b""

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Let `app` read the upload while there is room for it."""
        try:
            await self._grant(_length(scope))
            await app(scope, self._counted, self._kept)
        except NoRoom as error:
            await self._refuse(error)
        except ClientDisconnect:
            log.info("an upload broke off after %.1f MiB", self._read_bytes / MIB)

    async def _grant(self, wanted_bytes: int) -> None:
        if wanted_bytes > 0:
            await asyncio.to_thread(self._arrival.grant, wanted_bytes)
            self._granted_bytes += wanted_bytes

    async def _counted(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self._has_all = not message.get("more_body", False)
            if (missing := self._read_bytes - self._granted_bytes) > 0:
                try:
                    await self._grant(max(missing, _STEP_BYTES))
                except NoRoom:
                    await self._grant(missing)
        return message

    async def _kept(self, message: Message) -> None:
        """Pass an answer on; before its end, record what has arrived."""
        if message["type"] == "http.response.start":
            self._status, self._is_answered = message["status"], True
        elif message["type"] == "http.response.body" and self._status == 200:
            self._answer += message.get("body", b"")
            if not message.get("more_body", False):
                await asyncio.to_thread(self._arrival.keep, _paths(self._answer))
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._finish(message.get("body", b""))
        else:
            await self._send(message)

    async def _refuse(self, error: NoRoom) -> None:
        log.warning("an upload was refused: %s", error)
        if self._is_answered:
            return
        words = error_text(error).encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(words)).encode()),
            (b"connection", b"close"),
            (SAID, error.code.encode()),
        ]
        status = 413 if error.is_final else 507
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._finish(words)

    async def _finish(self, body: bytes) -> None:
        """Send the end of an answer; first let the visitor send what they are about to, unread."""
        if self._has_all:
            # Before the answer: whoever has it may send the next file, and this one must not count twice.
            await asyncio.to_thread(self._arrival.end)
            await self._send({"type": "http.response.body", "body": body})
            return
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.to_thread(self._arrival.end)
        left = _LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while left > 0 and not self._has_all:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        break
                    left -= len(message.get("body", b""))
                    self._has_all = not message.get("more_body", False)
        await self._send({"type": "http.response.body", "body": b""})


async def _user(app: Any, request: Request) -> str | None:
    """Who is logged in, as Gradio's routes find out."""
    if (asks := getattr(app, "auth_dependency", None)) is not None:
        user = asks(request)
        name: str | None = await user if inspect.isawaitable(user) else user
        return name
    tokens, cookie = getattr(app, "tokens", {}), getattr(app, "cookie_id", "")
    names = f"access-token-{cookie}", f"access-token-unsecure-{cookie}"
    return next((user for name in names if (user := tokens.get(request.cookies.get(name)))), None)


def _asks_for_login(app: Any) -> bool:
    return any(getattr(app, name, None) is not None for name in ("auth", "auth_dependency"))


def _length(scope: Scope) -> int:
    """The length that an upload announces, 0 where it announces none."""
    text = dict(scope["headers"]).get(b"content-length", b"")
    return int(text) if text.isdigit() else 0


def _paths(answer: bytes) -> list[Path]:
    try:
        return [Path(path) for path in json.loads(answer)]
    except (ValueError, TypeError):
        return []
