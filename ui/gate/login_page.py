"""Leave out of the page that asks for a password what is not for strangers."""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

_API = re.compile(rb"(<script>window\.gradio_api_info = ).*?(;</script>)", re.DOTALL)
"""Gradio describes the API in the page itself, whoever asks."""
_NO_API = b'{"named_endpoints":{},"unnamed_endpoints":{}}'


def without_api(send: Send) -> Send:
    """`send` for a page without the description of the API. Holds the page, a quarter of a MiB.

    The answer must not be compressed.
    """
    started: list[Message] = []
    body = bytearray()

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body", False):
            return
        page = _API.sub(rb"\1" + _NO_API + rb"\2", bytes(body))
        start = {**started[0], "headers": list(started[0].get("headers", ()))}
        if body:
            MutableHeaders(raw=start["headers"])["Content-Length"] = str(len(page))
        await send(start)
        await send({"type": "http.response.body", "body": page})

    return sending
