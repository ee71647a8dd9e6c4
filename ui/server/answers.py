"""Answers to requests that cannot be carried out: always a sentence and a code, and one line in the log.

Gradio answers `{"error": null}` and a traceback in the log to whatever its own code raises. Of it this module uses
`Blocks.preprocess_data` and `Blocks.process_api`, through which every event of page and API goes, by overriding them.
Requests that fail before there is an event are answered by ASGI middleware and exception handlers.
"""

import json
import logging
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio.exceptions import InvalidPathError
from gradio.route_utils import FnIndexInferError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import BadInput, LongtakeError
from pipelines.storage.names import shortened
from pipelines.storage.paths import PROJECT_ROOT
from ui.i18n.catalogue import ENGLISH, catalogue_of, language_of, speaking
from ui.i18n.messages import error_text
from ui.i18n.refusals import Refusal

log = logging.getLogger(__name__)

_LOGGED_CHARACTERS = 1000
"""The longest line of the log about a request; the longest of our own messages has a third of this."""
_REASON_CHARACTERS = 160
"""The most that is told of a reason in the words of Gradio and Starlette; the longest list of choices has 130."""
_CHOICES = " is not in the list of choices: "
"""What stands in Gradio's words between a value of a request and what it could have been."""
_PLACES = 3
"""So many places of ours in the code are named where a fault is logged, the innermost last."""
_PASSING = ("__call__", "preprocess_data", "process_api")
"""Functions of this package through which every request goes: they say nothing about a fault."""
_FAULTS = (OSError, MemoryError, RuntimeError, AssertionError)
"""What is the server's fault where a request fails before there is an event. Anything else is raised by Gradio's code
at names, numbers and bodies that it does not expect."""
SAID = b"x-longtake-code"
"""A header, with the code, of refusals in plain text that have a sentence of ours already: they pass as they are."""
_OF_THE_BODY = ("content-type", "content-length")
_MOST_PLAIN_BYTES = 1000
"""So much of a refusal in plain text is told; those of Gradio's upload are a short line."""
_CODES = {401: "not_logged_in", 403: "forbidden", 404: "not_found", 413: "over_limit", 503: "stopping"}
"""The codes of answers by HTTP status; of other statuses below 500 it is `bad_input`, above `internal`."""
_KEYS = {"Not Found": "address.none", "Not authenticated": "login.first", "Method Not Allowed": "method"}
"""The refusals of the catalogues for what the web framework says in two words."""
_GENERAL = {
    401: "login.first",
    403: "forbidden",
    404: "address.none",
    413: "too_large",
    429: "often",
    503: "busy",
}
"""Refusals for the status of what Gradio and the web framework say in English, for those who read another language."""


class Told(gr.Error):
    """An error in the words that visitors see; raised by `visitor_error` alone."""


def visitor_error(error: Exception) -> Told:
    """Return `error` as the message that visitors see, in their language; also writes it to the log.

    Programs get the sentence of the command line, with its code.
    """
    known = error if isinstance(error, LongtakeError) else _known(error)
    _log("error shown to a visitor: %s", known if known is error else f"{known} {_fault(error)}")
    return Told(error_text(known), print_exception=False)


def _known(error: Exception) -> LongtakeError:
    if isinstance(error, OSError):  # its text names paths of the server
        return LongtakeError(
            f"The server could not do this: {error.strerror or type(error).__name__}.", "", "internal.system"
        )
    return LongtakeError("This is a fault of the server.", "Its log says more.", "internal")


class AnsweringBlocks(gr.Blocks):
    """Blocks whose events answer with a sentence and a code, whatever they are asked and whatever they raise."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.routes: list[Route] = []
        """Further routes that are served with it."""

    async def preprocess_data(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Check and convert the values of a request. Raises BadInput as `Told` where they do not fit."""
        try:
            values = await super().preprocess_data(block_fn, *args, **kwargs)
        except Told:
            raise
        except Exception as error:
            raise visitor_error(_refused(error)) from error
        # A program may leave a text out; handlers get texts.
        return [
            "" if value is None and isinstance(component, gr.Textbox) else value
            for value, component in zip(values, block_fn.inputs, strict=True)
        ]

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer an event, one of the page in its visitor's language. Raises whatever goes wrong as `Told`."""
        try:
            with self._speaking(block_fn, kwargs.get("request")):
                return await super().process_api(block_fn, *args, **kwargs)
        except Told:
            raise
        except Exception as error:
            raise visitor_error(error) from error

    def _speaking(self, block_fn: Any, request: Any) -> AbstractContextManager[None]:
        event = self.fns.get(block_fn) if isinstance(block_fn, int) else block_fn
        asked = request[0] if isinstance(request, list) and request else request
        if event is None or event.api_visibility != "private" or not hasattr(asked, "headers"):
            return nullcontext()  # a program's, whose words are those of the command line
        return speaking(language_of(asked.headers))


def _refused(error: Exception) -> BadInput:
    """The error for values that Gradio refused with `error`."""
    if isinstance(error, InvalidPathError):
        return BadInput(
            "This file was not uploaded to this server.", "Upload it first.", "input.not_uploaded"
        )
    if isinstance(error, gr.Error):
        value, middle, choices = error.message.rpartition(_CHOICES)
        reason = f"{shortened(value)}{middle}{shortened(choices, _REASON_CHARACTERS)}"
        return BadInput(f"A value of the request cannot be used: {reason}.", "", "request.value")
    cause = error.__cause__ or error
    return BadInput(
        f"A value of the request is of another kind than expected ({type(cause).__name__}).",
        "*Use via API* lists the parameters and their kinds.",
        "request.kind",
    )


class Answered:
    """ASGI middleware: a request that fails is answered with a sentence and a code; a stream that breaks just ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer for what it raises."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        plain: bytes | None = None

        async def watched(message: Message) -> None:
            nonlocal begun, plain
            if begun is None:
                begun, plain = message, b"" if _is_plain_refusal(message) else None
                if plain is None:
                    await send(message)
            elif plain is None:
                await send(message)
            else:
                plain = (plain + message.get("body", b""))[:_MOST_PLAIN_BYTES]
                if not message.get("more_body"):
                    text = shortened(plain.decode(errors="replace"), _REASON_CHARACTERS)
                    said = _translated(begun["status"], text, Headers(scope=scope))
                    kept = {n: v for n, v in Headers(raw=begun["headers"]).items() if n not in _OF_THE_BODY}
                    plain, answer = None, _refusal(begun["status"], said, headers=kept)
                    await answer(scope, receive, send)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            _log("a visitor left in the middle of %s", scope["path"])
        except Exception as error:  # noqa: BLE001  the server's log would get a traceback of each
            if begun is None or plain is not None:
                _log("a request to %s failed: %s", scope["path"], _fault(error))
                await _answer(error, Headers(scope=scope))(scope, receive, send)
                return
            _log("an answer to %s ended early: %s", scope["path"], _fault(error))
            if not any(name.lower() == b"content-length" for name, _ in begun["headers"]):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _is_plain_refusal(begun: Message) -> bool:
    headers = {name.lower(): value for name, value in begun["headers"]}
    is_plain = headers.get(b"content-type", b"").startswith(b"text/plain")
    return int(begun["status"]) >= 400 and is_plain and SAID not in headers


def _answer(error: Exception, asking: Headers) -> Response:
    if isinstance(error, _FAULTS) and not isinstance(error, RecursionError):
        return _refusal(500, Refusal("server.fault").to(asking))
    if isinstance(error, FnIndexInferError):
        return _refusal(404, Refusal("endpoint.none").to(asking))
    return _refusal(400, Refusal("request.unread").to(asking))


def _translated(status: int, sentence: str, asking: Mapping[str, str]) -> str:
    """A sentence in English for those who read it; for others, ours of this status. Ours in their language passes."""
    if catalogue_of(asking).language == ENGLISH or not sentence.isascii():
        return sentence
    return Refusal(_GENERAL.get(status, "refused" if status < 500 else "server.fault")).to(asking)


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer a refusal of the web framework; `detail` is kept, since Gradio's page reads it."""
    assert isinstance(error, HTTPException)
    detail: Any = error.detail  # Gradio also gives dictionaries
    if isinstance(detail, str):
        detail = shortened(detail, _LOGGED_CHARACTERS)
        sentence = " ".join(map(shortened, detail.split()))
        if detail in _KEYS:
            sentence = Refusal(_KEYS[detail]).to(request.headers)
        sentence = _translated(error.status_code, sentence, request.headers)
    else:
        sentence = Refusal("login.first" if error.status_code == 401 else "refused").to(request.headers)
    return _refusal(error.status_code, sentence, detail, error.headers)


async def _refuse_body(request: Request, error: Exception) -> Response:
    """Answer a body of other fields or types than the address takes; by default all of it would be sent back."""
    assert isinstance(error, RequestValidationError)
    first: Mapping[str, Any] = next(iter(error.errors()), {})
    where, what = ".".join(map(str, first.get("loc", ()))), str(first.get("msg", ""))
    why = Refusal("request.fields", where=shortened(where), what=shortened(what))
    return _refusal(422, why.to(request.headers))


EXCEPTION_HANDLERS: dict[Any, Any] = {HTTPException: _refuse, RequestValidationError: _refuse_body}
"""The handlers of refusals, for the `app_kwargs` of Gradio's `launch`."""


def _refusal(
    status: int, sentence: str, detail: Any = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    code = _CODES.get(status, "bad_input" if status < 500 else "internal")
    content = {"detail": detail or sentence, "error": f"{sentence} [{code}]"}
    return JSONResponse(json.loads(json.dumps(content, default=str)), status, dict(headers or {}))


def _fault(error: BaseException) -> str:
    """What went wrong, in a line: the error and the places of ours that led to it."""
    ours = [
        f"{Path(place.filename).relative_to(PROJECT_ROOT)}:{place.lineno}"
        for place in traceback.extract_tb(error.__traceback__)
        if Path(place.filename).is_relative_to(PROJECT_ROOT)
        and "site-packages" not in place.filename
        and place.name not in _PASSING
    ]
    where = f" at {' > '.join(ours[-_PLACES:])}" if ours else ""
    return f"{type(error).__name__}: {shortened(str(error))}{where}"


def _log(line: str, *values: object) -> None:
    log.warning(line, *(shortened(str(value), _LOGGED_CHARACTERS) for value in values))
