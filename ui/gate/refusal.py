"""Refuse a request: a sentence that says what to do, and one line in the log."""

import logging
from collections.abc import Mapping

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

_MOST_CHARACTERS = 80
"""Characters of a text from outside that are quoted."""


def quoted(text: str) -> str:
    """`text` from outside as one printable line, shortened in the middle."""
    half = _MOST_CHARACTERS // 2
    short = text if len(text) <= _MOST_CHARACTERS else f"{text[: half - 1]}…{text[-half:]}"
    return "".join(each if each.isprintable() else "?" for each in short)


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    sentence: str,
    *,
    response: Response | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer `status` with `sentence`, or with a `response` of one's own, and log it."""
    log.warning("Refused (%d) %s %s: %s", status, scope["method"], quoted(scope["path"]), sentence)
    await (response or PlainTextResponse(sentence, status, headers))(scope, receive, send)
