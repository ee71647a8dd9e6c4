"""Requests that fail: what the visitor is told, and what the log says."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pipelines.errors import BadInput, NotAVideo
from ui.server.answers import EXCEPTION_HANDLERS, Answered, AnsweringBlocks, Told, visitor_error

Handler = Callable[[Request], Awaitable[Response]]


def asked(handler: Handler, headers: dict[str, str] | None = None) -> httpx.Response:
    """The answer of a server that has `handler` at its only address."""
    app = Starlette(
        routes=[Route("/x", handler)],
        middleware=[Middleware(Answered)],
        exception_handlers={HTTPException: EXCEPTION_HANDLERS[HTTPException]},
    )

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.get("/x", headers=headers)

    return asyncio.run(ask())


def raises(error: Exception) -> Handler:
    async def handler(_: Request) -> Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (KeyError("a" * 999), 400, "bad_input"),
        (ValueError("embedded null byte"), 400, "bad_input"),
        (RecursionError(), 400, "bad_input"),
        (OSError(28, "No space left on device", "/srv/secret"), 500, "internal"),
        (MemoryError(), 500, "internal"),
        (HTTPException(404), 404, "not_found"),
        (HTTPException(403, "File not allowed: " + "b" * 999), 403, "forbidden"),
        (HTTPException(401, {"auth_message": None}), 401, "not_logged_in"),
        (HTTPException(413, "too much"), 413, "over_limit"),
    ],
)
def test_what_fails_is_answered_with_a_sentence_and_a_code(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = asked(raises(error))
    told = answer.json()["error"]
    assert answer.status_code == status and told.endswith(f" [{code}]") and len(told) < 300
    assert max(map(len, told.split())) <= 80 and "/srv" not in answer.text
    assert len(caplog.records) == (0 if isinstance(error, HTTPException) else 1)
    assert all(len(record.getMessage()) < 300 and not record.exc_info for record in caplog.records)


def test_what_gradios_page_reads_of_a_refusal_stays() -> None:
    answer = asked(raises(HTTPException(401, {"auth_message": "Hello"}, {"WWW-Authenticate": "x"})))
    assert answer.json()["detail"] == {"auth_message": "Hello"} and answer.headers["WWW-Authenticate"] == "x"


def test_a_refusal_in_plain_text_gets_a_code_and_keeps_its_headers() -> None:
    async def handler(_: Request) -> Response:
        return PlainTextResponse("Come back later. " + "c" * 5000, 503, {"Retry-After": "30"})

    answer = asked(handler)
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "30"
    assert answer.json()["error"].startswith("Come back later.") and answer.json()["error"].endswith(
        "[stopping]"
    )
    assert len(answer.text) < 500


def test_text_that_is_no_refusal_passes() -> None:
    async def handler(_: Request) -> Response:
        return PlainTextResponse("d" * 5000)

    assert asked(handler).text == "d" * 5000


def test_a_stream_that_breaks_ends_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def words() -> Any:
        yield b"one"
        raise RuntimeError("response already started")

    async def handler(_: Request) -> Response:
        return StreamingResponse(words())

    assert asked(handler).content == b"one"
    (record,) = caplog.records
    assert "ended early" in record.getMessage() and not record.exc_info


def test_a_file_that_breaks_is_not_passed_off_as_whole() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"123", "more_body": True})
        raise OSError("the disk is gone")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Answered(app)({"type": "http", "path": "/x"}, None, send))  # type: ignore[arg-type]
    assert [message.get("body") for message in sent] == [None, b"123"]


def test_a_visitor_who_leaves_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    asyncio.run(Answered(app)({"type": "http", "path": "/x\nINJECTED"}, None, sent.append))  # type: ignore[arg-type]
    (record,) = caplog.records
    assert not sent and len(record.getMessage().splitlines()) == 1


# -- events -------------------------------------------------------------------------------------------------


def page(handler: Callable[..., Any]) -> AnsweringBlocks:
    with AnsweringBlocks() as blocks:
        text, number = gr.Textbox(), gr.Slider(1, 9)
        gr.Button().click(handler, [text, number], text)
    return blocks


def event(blocks: AnsweringBlocks, *values: Any) -> Any:
    return asyncio.run(blocks.process_api(0, list(values)))["data"]


def test_values_that_do_not_fit_are_bad_input(caplog: pytest.LogCaptureFixture) -> None:
    blocks = page(lambda text, number: text)
    for values in (("a", "5"), ("a", [5]), ("a", None, {}), ("a",), ()):
        caplog.clear()
        try:
            event(blocks, *values)
        except Told as told:
            assert told.message.endswith("[bad_input]") and not told.print_exception
            assert len(caplog.records) == 1
        else:
            assert values == ("a", None, {}), values


def test_a_text_that_is_left_out_is_empty() -> None:
    assert event(page(lambda text, number: text + "!"), None, 2) == ["!"]


def test_a_fault_is_told_as_one_and_its_place_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fails(text: str, number: float) -> str:
        raise KeyError(text)

    with pytest.raises(Told, match=r"fault of the server.*\[internal\]") as told:
        event(page(fails), "e" * 9000, 2)
    assert "eee" not in told.value.message
    (record,) = caplog.records
    assert record.levelno >= logging.WARNING and not record.exc_info
    assert "KeyError" in record.getMessage() and "test_answers.py:" in record.getMessage()
    assert len(record.getMessage()) < 500


def test_known_errors_keep_their_code_and_quote_little() -> None:
    message = visitor_error(NotAVideo(f"{'f' * 900} is no video.", "Convert it.")).message
    assert message.endswith("[not_a_video]") and "Convert it." in message and len(message) < 250
    assert json.dumps(visitor_error(BadInput("a\ud800b \udcff")).message, ensure_ascii=False).encode()


def test_an_error_of_the_system_tells_no_paths() -> None:
    told = visitor_error(OSError(2, "No such file or directory", "/srv/jobs/secret")).message
    assert "No such file" in told and "/srv" not in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("x"), "无法理解此请求"),
        (OSError(28, "No space left on device"), "这是服务器的故障"),
        (HTTPException(404), "此地址没有内容"),
        (HTTPException(413, "File size exceeded"), "超过了服务器接受的大小"),
        (HTTPException(429, "Too many"), "请求过于频繁"),
        (HTTPException(503, {"reason": "full"}), "请求被拒绝"),
    ],
)
def test_a_browser_reads_what_failed_in_its_language(error: Exception, told: str) -> None:
    answer = asked(raises(error), {"accept-language": "zh-CN"})
    assert answer.json()["error"].startswith(told)


def test_a_refusal_in_plain_text_is_told_in_the_language_of_the_browser() -> None:
    async def handler(_: Request) -> Response:
        return PlainTextResponse("Come back later.", 503)

    assert asked(handler, {"accept-language": "zh"}).json()["error"].startswith("服务器现在无法处理")
