"""Who is there: where the rule is to pause the jobs of those who left, the last tab that closes says so."""

import threading
from collections.abc import Callable

GRACE_SECONDS = 20.0
"""A page that is loaded anew is gone for a moment only."""


class Presence:
    """Counts the sessions (tabs, API calls) of each visitor; `gone(visitor)` is called when the last has ended.

    Thread-safe. Holds a name per session and a timer per visitor that left just now.
    """

    def __init__(self, gone: Callable[[str], None], *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._gone = gone
        self._grace_seconds = grace_seconds
        self._sessions: dict[str, str] = {}
        self._leaving: dict[str, threading.Timer] = {}
        self._lock = threading.Lock()

    def arrive(self, session: str, visitor: str) -> None:
        """A session of `visitor` begins."""
        with self._lock:
            self._sessions[session] = visitor
            if timer := self._leaving.pop(visitor, None):
                timer.cancel()

    def leave(self, session: str) -> None:
        """A session ends; one that never began is passed over."""
        with self._lock:
            visitor = self._sessions.pop(session, None)
            if visitor is None or visitor in self._sessions.values():
                return
            timer = threading.Timer(self._grace_seconds, self._after_grace, (visitor,))
            timer.daemon = True
            self._leaving[visitor] = timer
            timer.start()

    def is_there(self, visitor: str) -> bool:
        """Whether `visitor` has a session, or left only a moment ago."""
        with self._lock:
            return visitor in self._sessions.values() or visitor in self._leaving

    def close(self) -> None:
        """Forget everybody; nobody is told."""
        with self._lock:
            for timer in self._leaving.values():
                timer.cancel()
            self._leaving.clear()
            self._sessions.clear()

    def _after_grace(self, visitor: str) -> None:
        with self._lock:
            if self._leaving.get(visitor) is not threading.current_thread():
                return  # they came back meanwhile
            del self._leaving[visitor]
        self._gone(visitor)
