"""Stands for the package `spaces` on ZeroGPU: a call forks, all that crosses is pickled, and whoever asks must pay.

Seconds are not waited for: `account` says at which word of a call its GPU is taken away.
"""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

_FORK = multiprocessing.get_context("fork")
TOKEN: ContextVar[str | None] = ContextVar("token", default=None)
"""Of the visitor, for tests without a page."""


class Error(Exception):
    """As Gradio's, with a title."""

    def __init__(self, title: str, message: str) -> None:
        super().__init__(message)
        self.title = title


@dataclass
class Account:
    """What was asked for, by whom, and what becomes of a call, by its number from 0 (None: of each)."""

    seconds: list[int] = field(default_factory=list)
    arguments: list[tuple[Any, ...]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    refusals: dict[int | None, Error] = field(default_factory=dict)
    taken_at: dict[int | None, str] = field(default_factory=dict)
    began: Callable[[int], object] = lambda number: None


account = Account()


def GPU(*, duration: Callable[..., int]) -> Callable[[Any], Any]:
    """Make a generator function one that runs on a lent GPU."""

    def decorated(task: Callable[..., Generator[Any]]) -> Callable[..., Generator[Any]]:
        def call(*arguments: Any) -> Generator[Any]:
            number = len(account.seconds)
            account.seconds.append(duration(*arguments))
            account.arguments.append(arguments)
            account.tokens.append(_token())
            if account.tokens[-1] is None:
                raise Error("ZeroGPU quota exceeded", "Space app has reached its GPU limit.")
            if refusal := account.refusals.get(number, account.refusals.get(None)):
                raise refusal
            account.began(number)
            yield from _forked(task, arguments, account.taken_at.get(number, account.taken_at.get(None)))

        return call

    return decorated


def gradio_auto_wrap(task: Any) -> Any:
    """Gradio asks for it."""
    return task


def _forked(task: Any, arguments: tuple[Any, ...], taken_at: str | None) -> Generator[Any]:
    here, there = _FORK.Pipe(duplex=False)
    stop = _FORK.Event()
    fork = _FORK.Process(target=_serve, args=(task, pickle.dumps(arguments), there, stop), daemon=True)
    fork.start()
    account.pids.append(fork.pid or 0)
    there.close()
    try:
        while answer := pickle.loads(here.recv_bytes()):
            if isinstance(answer[0], Exception):
                raise Error("ZeroGPU worker error", type(answer[0]).__name__)
            if taken_at and taken_at in str(answer[0]):
                os.kill(fork.pid or 0, signal.SIGKILL)
            yield answer[0]
    except EOFError:
        raise Error("ZeroGPU worker error", "GPU task aborted") from None
    finally:
        stop.set()
        fork.join()


def _serve(task: Any, arguments: bytes, there: Any, stop: Any) -> None:
    answers = task(*pickle.loads(arguments))
    try:
        for answer in answers:
            if stop.is_set():
                break
            there.send_bytes(pickle.dumps((answer,)))
        answers.close()
    except Exception as error:  # noqa: BLE001  as the package does
        there.send_bytes(pickle.dumps((error,)))
    there.send_bytes(pickle.dumps(()))


def _token() -> str | None:
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    return TOKEN.get() or (request.headers.get("x-ip-token") if request else None)
