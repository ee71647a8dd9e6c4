"""Looks at uploads before there is a job: in turn, within memory, and what they draw counts for its visitor."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from memory.units import GIB
from pipelines.jobs.events import Event, Preview
from pipelines.workers.inspect import Asked, PlanQuestion
from ui.jobs import uploads
from ui.limits.room import Room
from ui.limits.turns import Turns
from ui.server.policy import Policy
from ui.server.visitors import Visitor

_POSES_WAITING = 8
"""Poses that wait to be drawn, of all visitors: one process draws them, in seconds each."""


class Looks:
    """The processes that work for visitors before their jobs. One for a server; belongs to its event loop."""

    def __init__(self, policy: Policy, room: Room) -> None:
        self._room = room
        self._most_bytes = int(policy.inspect_max_gb * GIB)
        self._turns = Turns(policy.inspect_at_once, policy.inspect_at_once_of_one)
        self._poses = Turns(1, 1, waiting=_POSES_WAITING, waiting_of_one=_POSES_WAITING // 2)

    def by(self, visitor: Visitor) -> uploads.Ask:
        """What answers the questions of `visitor`. It raises QueueFull, NoRoom and what `ask_process` raises."""

        async def ask(question: Asked) -> Event:
            return await self._take(
                self._turns,
                visitor,
                question.files,
                lambda: uploads.ask_process(question, self._most_bytes),
                draws=not isinstance(question, PlanQuestion),
            )

        return ask

    async def pose(self, visitor: Visitor, source: Path, draw: Callable[[], Awaitable[Path]]) -> Path:
        """Have a pose of `source` drawn at the turn of `visitor`. Raises QueueFull, NoRoom, what `draw` raises."""

        async def drawn() -> Event:
            return Preview(job="", frame=0, path=await draw())

        event = await self._take(self._poses, visitor, (source,), drawn)
        assert isinstance(event, Preview)
        return event.path

    async def _take(
        self,
        turns: Turns,
        visitor: Visitor,
        files: tuple[Path, ...],
        work: Callable[[], Awaitable[Event]],
        *,
        draws: bool = True,
    ) -> Event:
        mine, ledger = visitor.counted_as, self._room.ledger
        async with turns.turn(mine):
            if draws:
                await asyncio.to_thread(self._room.check, mine)
            await asyncio.to_thread(ledger.use, files)
            answer = await work()
            if isinstance(answer, Preview) and answer.path.is_file():
                await asyncio.to_thread(ledger.add, mine, [answer.path])
            return answer
