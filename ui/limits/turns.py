"""Turns of visitors at something scarce: so many at once, and a bounded line that serves each in turn."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pipelines.errors import QueueFull

MOST_WAITING_OF_ONE = 16
"""Requests of one visitor that may wait: a page sends up to four for each file that it is given, and people behind one
address count as one."""
MOST_WAITING = 64
"""Requests of all visitors that may wait: at four a time and about a second each, the last waits a quarter minute."""


class Turns:
    """Admits `at_once` requests at a time, `of_one` of them of one visitor; lets the others wait, up to a bound.

    Visitors who wait take turns, so that a flood of one delays only that one's own requests. Where the line is full,
    the newest request of whoever has most in it is refused. Belongs to one event loop; holds a future per request.
    """

    def __init__(
        self,
        at_once: int,
        of_one: int,
        *,
        waiting: int = MOST_WAITING,
        waiting_of_one: int = MOST_WAITING_OF_ONE,
    ) -> None:
        self._at_once = at_once
        self._of_one = of_one
        self._most_waiting = waiting
        self._most_waiting_of_one = waiting_of_one
        self._running: Counter[str] = Counter()
        # In the order of their next turns.
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, visitor: str) -> AsyncIterator[None]:
        """Wait for a turn of `visitor` and hold it. Raises QueueFull, at once or when others need the place."""
        await self._arrive(visitor)
        try:
            yield
        finally:
            self._leave(visitor)

    async def _arrive(self, visitor: str) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._lines.setdefault(visitor, deque()).append(mine)
        self._admit()
        self._keep_bounds(visitor)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                self._forget(visitor, mine)
            elif mine.exception() is None:  # admitted at the same moment
                self._leave(visitor)
            raise

    def _leave(self, visitor: str) -> None:
        self._running[visitor] -= 1
        if not self._running[visitor]:
            del self._running[visitor]
        self._admit()

    def _admit(self) -> None:
        while self._running.total() < self._at_once:
            visitor = next((each for each in self._lines if self._running[each] < self._of_one), None)
            if visitor is None:
                return
            line = self._lines.pop(visitor)
            first = line.popleft()
            if line:
                self._lines[visitor] = line  # behind the others
            if not first.done():
                self._running[visitor] += 1
                first.set_result(None)

    def _keep_bounds(self, visitor: str) -> None:
        if len(self._lines.get(visitor, ())) > self._most_waiting_of_one:
            self._refuse(
                visitor, f"{self._most_waiting_of_one} of your requests wait already, as many as may."
            )
        if sum(map(len, self._lines.values())) > self._most_waiting:
            longest = max(self._lines, key=lambda each: len(self._lines[each]))
            self._refuse(longest, f"{self._most_waiting} requests wait already, as many as may.")

    def _refuse(self, visitor: str, message: str) -> None:
        newest = self._lines[visitor][-1]
        self._forget(visitor, newest)
        if not newest.done():
            newest.set_exception(QueueFull(message, "Try again in a minute.", "queue.looks"))

    def _forget(self, visitor: str, request: asyncio.Future[None]) -> None:
        line = self._lines.get(visitor, deque())
        with suppress(ValueError):
            line.remove(request)
        if not line:
            self._lines.pop(visitor, None)
