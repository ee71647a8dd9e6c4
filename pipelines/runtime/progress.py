"""Throughput of a run: frames per second, and the time that is left."""

import time
from collections.abc import Callable


class Throughput:
    """Frames per second over the last seconds, and the time that is left.

    Holds a dozen numbers. A mean over the whole run would hide that a run has become slower.
    """

    def __init__(self, total: int, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._clock = clock
        self._marks = [(clock(), done)]

    def at(self, done: int) -> tuple[float, float | None]:
        """Frames per second and seconds left, when `done` of the total frames are done."""
        now = self._clock()
        self._marks = [*self._marks[-11:], (now, done)]
        then, before = self._marks[0]
        if now <= then or done <= before:
            return 0.0, None
        rate = (done - before) / (now - then)
        return rate, (self.total - done) / rate
