"""Refuse a request: a sentence that says what to do, and one line in the log."""

import logging
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from pipelines.storage.names import shortened
from ui.i18n.refusals import Refusal

log = logging.getLogger(__name__)


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    why: Refusal,
    *,
    response: Response | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer `status` with a sentence in the sender's language, or with a `response` of one's own, and log it."""
    log.warning("Refused (%d) %s %s: %s", status, scope["method"], shortened(scope["path"]), why)
    sentence = why.to(Headers(raw=list(scope.get("headers", ()))))
    await (response or PlainTextResponse(sentence, status, headers))(scope, receive, send)
