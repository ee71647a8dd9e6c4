"""Which of several runs of a handler may still write to a visit's page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr


class Newest:
    """The newest run of a handler in each visit.

    Gradio starts an event that was put off without asking whether the next one starts at this moment, so that two runs
    can overlap and the earlier may end last. Results of one that is no longer the newest would undo those of the newer.
    """

    def __init__(self) -> None:
        self._runs: dict[str, object] = {}

    @contextmanager
    def run(self, request: gr.Request) -> Iterator[Callable[[], bool]]:
        """A run that begins now; the value tells whether no later one of this visit began, and `end` did not."""
        session, mine = str(request.session_hash), object()
        self._runs[session] = mine
        try:
            yield lambda: self._runs.get(session) is mine
        finally:
            if self._runs.get(session) is mine:
                del self._runs[session]

    def end(self, request: gr.Request) -> None:
        """Let no run of this visit write any more."""
        self._runs.pop(str(request.session_hash), None)
