"""Let uploads carry files, and little else."""

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory.units import KIB
from ui.gate import headers
from ui.gate.bodies import UPLOADS
from ui.gate.refusal import refuse
from ui.i18n.refusals import Refusal

_MOST_FIELD_BYTES = 64 * KIB
"""Of all parts of an upload that are no files. Gradio keeps those in memory, and its page sends none."""


class OnlyFiles:
    """ASGI middleware that ends uploads, with 413, whose parts that are no files are large: files alone go to disk.

    Reads each upload a second time as it passes, at about 2 GiB/s; holds nothing of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and end it where it must."""
        if scope["type"] != "http" or headers.path(scope) != UPLOADS:
            await self._app(scope, receive, send)
            return
        fields = _Fields(headers.first(scope, b"content-type"))
        started = False

        async def receiving() -> Message:
            message = await receive()
            fields.read(message.get("body", b""))
            return {"type": "http.disconnect"} if fields.are_large else message

        async def sending(message: Message) -> None:
            nonlocal started
            if not fields.are_large:
                started = True
                await send(message)

        try:
            await self._app(scope, receiving, sending)
        except ClientDisconnect:
            if not fields.are_large:
                raise
        if fields.are_large and not started:
            why = Refusal("upload.fields", most=f"{_MOST_FIELD_BYTES // KIB} KB")
            await refuse(scope, receive, send, 413, why)


class _Fields:
    """The size of the parts of a form that are no files, read as it comes."""

    def __init__(self, content_type: str) -> None:
        self._size = 0
        self._is_file = False
        self._name = b""
        self._value = b""
        _, options = parse_options_header(content_type)
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
        }
        boundary = options.get(b"boundary")
        self._parser = MultipartParser(boundary, callbacks) if boundary else None  # type: ignore[arg-type]

    @property
    def are_large(self) -> bool:
        return self._size > _MOST_FIELD_BYTES

    def read(self, data: bytes) -> None:
        """Read on; what is no form is left to whoever reads it next."""
        if self._parser is None or self.are_large:
            return
        try:
            self._parser.write(data)
        except MultipartParseError:
            self._parser = None

    def _begin(self) -> None:
        self._is_file = False
        self._name = self._value = b""

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(self._value)[1]
        self._name = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._size += end - start
