"""Handlers whose runs overlap: the newest run's results stay."""

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from pipelines.errors import BadInput
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import ScoreSettings
from pipelines.spec import task_spec
from ui.components.run_view import where_wanted
from ui.components.updates import ends_quietly
from ui.jobs.service import JobService
from ui.page import I18N, tab_of
from ui.server.policy import Policy
from ui.tabs.base import TaskTab


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


@pytest.fixture
def handlers(queue: JobQueue, page_over: Callable[..., gr.Blocks]) -> dict[str, Any]:
    return {str(fn.name): fn.fn for fn in page_over(queue).fns.values()}


@pytest.fixture
def visitor() -> Any:
    return SimpleNamespace(**vars(request()), username=None, query_params={}, headers={}, client=None)


def test_an_answer_without_a_job_leaves_the_jobs_that_are_on_show(
    handlers: dict[str, Any], visitor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was started before the page had been answered lost its link: it could not be stopped any more."""
    monkeypatch.setattr(gr, "Warning", lambda *_: None)
    assert set(map(repr, handlers["arrive"](visitor))) == {repr(gr.skip())}
    assert set(map(repr, handlers["follow_link"]("?job=gone&key=none", visitor))) == {repr(gr.skip())}


def test_the_link_of_a_job_leaves_the_jobs_of_the_other_tabs(
    queue: JobQueue, handlers: dict[str, Any], visitor: Any, clip: Path
) -> None:
    """They lost their links: what was on show there could not be paused any more."""
    job = queue.submit("score", clip, ScoreSettings())
    tab, *updates = handlers["follow_link"](f"?job={job.id}", visitor)
    cards, links = updates[: len(updates) // 2], updates[len(updates) // 2 :]
    assert tab.selected == "score"
    assert [job.id in each for each in links if isinstance(each, str)] == [True]
    assert sum(repr(each) == repr(gr.skip()) for each in links) == len(links) - 1
    assert sum(repr(each) == repr(gr.skip()) for each in cards) == len(cards) - 1


def test_a_link_to_a_job_of_another_tab_tells_nothing_anew(score_tab: TaskTab, visitor: Any) -> None:
    """The stream that is on show goes on: telling its result once more would set the player back."""

    async def told(link: str, _: gr.Request) -> AsyncGenerator[str]:
        yield link

    only = where_wanted(told)

    async def collect(link: str, wanted: str) -> list[Any]:
        return [update async for update in only(link, wanted, visitor)]

    assert asyncio.run(collect("?job=a", "?job=a&key=k&at=7")) == ["?job=a", gr.skip()]
    assert asyncio.run(collect("?job=a", "?job=b&at=7")) == [gr.skip()]
    assert asyncio.run(collect("", "?job=b&at=7")) == [gr.skip()]


@pytest.mark.parametrize("refused", [False, True])
def test_a_view_that_was_being_made_while_its_job_was_deleted_is_not_shown(
    score_tab: TaskTab,
    queue: JobQueue,
    clip: Path,
    visitor: Any,
    monkeypatch: pytest.MonkeyPatch,
    refused: bool,
) -> None:
    """Seen as a job that came back at the press of *Delete*: its link had been clicked just before.

    Where deleting is refused, the view goes on.
    """
    view, made, go = score_tab.run_view, threading.Event(), threading.Event()
    job = Job.create(queue.jobs_dir, "score", (clip,), ScoreSettings(), 1)
    job.journal.append(events.Queued(job=job.id, task="score", name="clip.mp4"))
    job.journal.append(events.CancelledEvent(job=job.id))

    def values(*_: Any) -> tuple[Any, ...]:
        made.set()
        go.wait()
        return ("shown",)

    def refuse(*_: Any) -> None:
        raise BadInput("It is read just now.", "Try again.")

    def delete() -> Any:
        try:
            return view._remover()(f"?job={job.id}", visitor)
        except gr.Error:
            return None

    monkeypatch.setattr(view, "_values", values)
    if refused:
        monkeypatch.setattr(score_tab.service, "delete", refuse)

    async def run() -> tuple[list[Any], Any]:
        async def collect() -> list[Any]:
            return [update async for update in view._follow(f"?job={job.id}", visitor)]

        following = asyncio.create_task(collect())
        await asyncio.to_thread(made.wait)
        deleted = await asyncio.to_thread(delete)
        go.set()
        return await following, deleted

    shown, answer = asyncio.run(run())
    if refused:
        assert shown == [("shown",), gr.skip()] and answer is None and job.exists()
        return
    link, hidden = answer
    assert shown == [gr.skip()]
    assert link == "" and hidden["visible"] is False and not job.exists()
