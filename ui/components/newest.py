"""Which of several runs of a handler may still write to a visit's page."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr

_MOST_REMEMBERED = 1_000
"""Visits whose last number is remembered, 0.1 MB."""

NUMBERED = """(...values) =>
  [...values.slice(0, -1), String(window.longtakeAsked = (window.longtakeAsked ?? 0) + 1)]"""
"""JavaScript that puts a number in place of the last input of an event: later events have larger ones."""


class Newest:
    """The newest run of a handler in each visit.

    Gradio starts an event that was put off without asking whether the next one starts at this moment, so that two runs
    can overlap and the earlier may end last. Results of one that is no longer the newest would undo those of the newer.
    """

    def __init__(self) -> None:
        self._runs: dict[str, object] = {}
        self._numbers: OrderedDict[str, int] = OrderedDict()

    @contextmanager
    def run(self, request: gr.Request, number: str = "") -> Iterator[Callable[[], bool]]:
        """A run that begins now; the value tells whether no later one of this visit began, and `end` did not.

        Requests may come in another order than they were sent: with the `number` of `NUMBERED`, one that was sent
        before another that came already is not the newest.
        """
        session, mine = str(request.session_hash), object()
        if self._is_late(session, number):
            yield lambda: False
            return
        self._runs[session] = mine
        try:
            yield lambda: self._runs.get(session) is mine
        finally:
            if self._runs.get(session) is mine:
                del self._runs[session]

    def _is_late(self, session: str, number: str) -> bool:
        if not (isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) < 16):
            return False
        if int(number) < self._numbers.get(session, 0):
            return True
        self._numbers[session] = int(number)
        self._numbers.move_to_end(session)
        while len(self._numbers) > _MOST_REMEMBERED:
            self._numbers.popitem(last=False)
        return False

    def end(self, request: gr.Request) -> None:
        """Let no run of this visit write any more."""
        self._runs.pop(str(request.session_hash), None)
