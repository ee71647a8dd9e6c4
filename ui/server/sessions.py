"""Sessions of visitors: when a visitor's last tab closes, their jobs can be paused."""

import threading
from collections.abc import Callable

GRACE_SECONDS = 20.0
"""How long after the last session a visitor counts as gone: reloading a page ends its session for a moment."""


class Presence:
    """The sessions (tabs, API calls) of each visitor; `gone(visitor)` is called some time after the last has ended.

    Thread-safe. Holds a name per session and a timer per visitor who left just now.
    """

    def __init__(self, gone: Callable[[str], None], *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._gone = gone
        self._grace_seconds = grace_seconds
        self._sessions: dict[str, str] = {}
        self._leaving: dict[str, threading.Timer] = {}
        self._lock = threading.Lock()

    def arrive(self, session: str, visitor: str) -> None:
        """Begin a session of `visitor`."""
        with self._lock:
            self._sessions[session] = visitor
            if timer := self._leaving.pop(visitor, None):
                timer.cancel()

    def leave(self, session: str) -> None:
        """End a session; one that never began is ignored."""
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
        """Forget all sessions, without calling `gone`."""
        with self._lock:
            for timer in self._leaving.values():
                timer.cancel()
            self._leaving.clear()
            self._sessions.clear()

    def _after_grace(self, visitor: str) -> None:
        with self._lock:
            if self._leaving.get(visitor) is not threading.current_thread():
                return  # the visitor came back meanwhile
            del self._leaving[visitor]
        self._gone(visitor)
