"""Scarce work is shared: so many at once, so many of one visitor, and a flood delays only whoever sends it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipelines.errors import QueueFull
from ui.limits.turns import Turns


class Work:
    """Requests that hold their turns until they may end; remembers who held one, in order."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.now: list[str] = []
        self.order: list[str] = []
        self.most: dict[str, int] = {}
        self.most_at_once = 0

    async def one(self, visitor: str) -> str:
        async with self.turns.turn(visitor):
            self.now.append(visitor)
            self.order.append(visitor)
            self.most_at_once = max(self.most_at_once, len(self.now))
            self.most[visitor] = max(self.most.get(visitor, 0), self.now.count(visitor))
            for _ in range(3):
                await asyncio.sleep(0)
            self.now.remove(visitor)
        return "done"


def run(turns: Turns, play: Callable[[Work], Coroutine[Any, Any, Any]]) -> Work:
    work = Work(turns)
    asyncio.run(play(work))
    return work


async def ended(*requests: Coroutine[Any, Any, str]) -> list[str]:
    told = await asyncio.gather(*requests, return_exceptions=True)
    return [each if isinstance(each, str) else str(each) for each in told]


def test_so_many_at_once_and_so_many_of_one() -> None:
    async def play(work: Work) -> None:
        told = await ended(*(work.one(name) for name in "aaaaaabcdef"))
        assert set(told) == {"done"}

    work = run(Turns(4, 2), play)
    assert work.most_at_once == 4 and work.most["a"] == 2


def test_ten_are_served_while_one_floods() -> None:
    async def play(work: Work) -> None:
        flood = [asyncio.ensure_future(work.one("flood")) for _ in range(17)]
        await asyncio.sleep(0)
        assert await ended(*(work.one(str(n)) for n in range(10))) == ["done"] * 10
        await asyncio.gather(*flood)

    work = run(Turns(1, 1), play)
    last = max(work.order.index(str(n)) for n in range(10))
    assert work.order[: last + 1].count("flood") <= 3, "one that ran, and one of the line before the others"


def test_whoever_sends_too_many_is_refused_and_nobody_else() -> None:
    async def play(work: Work) -> None:
        told = await ended(*(work.one("a") for _ in range(10)), work.one("b"))
        assert told[-1] == "done"
        assert told.count("done") == 1 + 1 + 5
        assert sum("5 of your requests wait already" in each and "minute" in each for each in told) == 4

    run(Turns(1, 1, waiting_of_one=5), play)


def test_where_all_wait_the_newest_of_the_longest_line_makes_room() -> None:
    async def play(work: Work) -> None:
        told = await ended(*(work.one(name) for name in "aaaaabc"))
        assert told[-2:] == ["done", "done"]
        assert sum("4 requests wait already" in each for each in told[:5]) == 2

    run(Turns(1, 1, waiting=4), play)


def test_those_who_leave_leave_no_gap() -> None:
    async def play(work: Work) -> None:
        tasks = [asyncio.ensure_future(work.one("a")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in (tasks[0], tasks[2]):
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each == "done" for each in told] == [False, True, False, True, True]
        assert await ended(work.one("b")) == ["done"]
        assert not work.turns._running and not work.turns._lines, "nothing is kept of anybody"

    run(Turns(1, 1), play)


def test_one_that_is_cancelled_as_it_is_admitted_gives_its_turn_on() -> None:
    async def play(work: Work) -> None:
        turns = work.turns
        async with turns.turn("a"):
            waits = asyncio.ensure_future(work.one("b"))
            await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert await ended(work.one("c")) == ["done"]

    run(Turns(1, 1), play)


def test_a_failure_gives_the_turn_on() -> None:
    async def play(work: Work) -> None:
        with pytest.raises(ZeroDivisionError):
            async with work.turns.turn("a"):
                raise ZeroDivisionError
        assert await ended(work.one("a")) == ["done"]

    run(Turns(1, 1), play)


def test_the_error_says_what_to_do() -> None:
    async def play(work: Work) -> None:
        with pytest.raises(QueueFull, match="Try again in a minute"):
            await asyncio.gather(*(work.one("a") for _ in range(3)))

    run(Turns(1, 1, waiting_of_one=1), play)
