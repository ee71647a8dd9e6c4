"""Handlers whose runs overlap: the newest run's results stay."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from pipelines.errors import BadInput
from pipelines.scheduler.queue import JobQueue
from pipelines.spec import task_spec
from ui.components.updates import ends_quietly
from ui.jobs.service import JobService
from ui.page import I18N, tab_of
from ui.server.policy import Policy
from ui.tabs.base import TaskTab

_ARRIVALS = ("arrive", "follow_link")


@pytest.fixture
def score_tab(queue: JobQueue) -> TaskTab:
    with gr.Blocks():
        spec = task_spec("score")
        return tab_of(spec)(JobService(queue, Policy()), I18N, spec)


def request() -> Any:
    return SimpleNamespace(session_hash="visit", request=SimpleNamespace(cookies={}))


def test_an_inspection_that_a_newer_one_overtook_writes_nothing(score_tab: TaskTab) -> None:
    """Seen as a button that stayed disabled: an inspection without the marked face ended after that with it."""
    released: list[asyncio.Event] = []

    async def inspection(*_: Any) -> Any:
        mine = asyncio.Event()
        released.append(mine)
        number = len(released)
        yield (f"begun {number}",)
        await mine.wait()
        yield (f"ended {number}",)

    score_tab.inspected._inspection = inspection  # type: ignore[assignment, method-assign]

    async def run() -> tuple[list[Any], list[Any]]:
        async def collect() -> list[Any]:
            return [update async for update in score_tab.inspected.inspect_form(request(), "video", "")]

        first = asyncio.create_task(collect())
        await asyncio.sleep(0)
        second = asyncio.create_task(collect())
        while len(released) < 2:
            await asyncio.sleep(0)
        released[1].set()
        newer = await second
        released[0].set()
        return await first, newer

    first, second = asyncio.run(run())
    assert first == [("begun 1",), gr.skip()]
    assert second == [("begun 2",), ("ended 2",), gr.skip()]


def test_every_handler_that_updates_the_page_several_times_ends_quietly(
    queue: JobQueue, page_over: Callable[..., gr.Blocks]
) -> None:
    """Gradio sends null for all outputs of a generator that ends without an update: forms lost their settings so."""
    page = page_over(queue)
    several = [
        fn
        for fn in page.fns.values()
        if inspect.isasyncgenfunction(fn.fn) or inspect.isgeneratorfunction(fn.fn)
    ]
    of_the_page = [fn for fn in several if fn.api_visibility == "private"]
    assert len(of_the_page) > 10
    assert not [fn.name for fn in of_the_page if not getattr(fn.fn, "ends_quietly", False)]


def test_the_last_update_of_a_handler_that_ends_quietly_changes_nothing() -> None:
    closed: list[str] = []

    @ends_quietly
    async def told(*updates: str) -> AsyncIterator[str]:
        try:
            for update in updates:
                yield update
        finally:
            closed.append("closed")

    async def collect(*updates: str) -> list[Any]:
        return [update async for update in told(*updates)]

    async def left() -> None:
        await anext(run := told("one", "two"))
        await run.aclose()

    assert asyncio.run(collect()) == [gr.skip()]
    assert asyncio.run(collect("one", "two")) == ["one", "two", gr.skip()]
    asyncio.run(left())
    assert closed == ["closed"] * 3


def test_an_inspection_that_is_refused_ends_without_an_error(
    score_tab: TaskTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio forgets the event that waits for one that fails, so the next file would never be inspected."""

    async def refuse(*_: Any) -> Any:
        raise BadInput("There are no frames.", "Choose another file.")

    monkeypatch.setattr(score_tab.service, "inspect", refuse)
    monkeypatch.setattr(score_tab.service, "visitor", lambda _: None)
    values = score_tab.form.showing({})

    async def last() -> Any:
        return [update async for update in score_tab.inspected.inspect_form(request(), "video", *values, "")][
            -2
        ]

    assert "There are no frames." in asyncio.run(last())[0]


def test_an_answer_without_a_job_leaves_the_jobs_that_are_on_show(
    queue: JobQueue, page_over: Callable[..., gr.Blocks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was started before the page had been answered lost its link: it could not be stopped any more."""
    monkeypatch.setattr(gr, "Warning", lambda *_: None)
    page = page_over(queue)
    arrive, follow = (next(fn for fn in page.fns.values() if fn.name == name) for name in _ARRIVALS)
    visitor = SimpleNamespace(**vars(request()), username=None, query_params={}, headers={}, client=None)
    assert set(map(repr, arrive.fn(visitor))) == {repr(gr.skip())}
    assert set(map(repr, follow.fn("?job=gone&key=none", visitor))) == {repr(gr.skip())}
