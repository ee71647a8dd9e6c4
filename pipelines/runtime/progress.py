"""Throughput of a run: frames per second and time remaining."""

import time
from collections.abc import Callable

_MARKS = 12
"""At four reports a second these cover three seconds: recent, and steady enough to read."""


class Throughput:
    """Frames per second over the last dozen reports, and the time remaining.

    A mean over the whole run would hide that a run has become slower.
    """

    def __init__(self, total: int, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._clock = clock
        self._marks = [(clock(), done)]

    def at(self, done: int) -> tuple[float, float | None]:
        """Frames per second and seconds remaining, with `done` of the total frames done; 0.0 and None at first."""
        now = self._clock()
        self._marks = [*self._marks[1 - _MARKS :], (now, done)]
        then, before = self._marks[0]
        if now <= then or done <= before:
            return 0.0, None
        rate = (done - before) / (now - then)
        return rate, (self.total - done) / rate
