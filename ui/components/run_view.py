"""The view of a job; each task's tab has one, and a job's link leads to it: its picture or result first, then the rest.

A run view only listens. Its buttons ask the service; closing the page stops nothing.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from ui.components.newest import Newest
from ui.components.outcome import Outcome
from ui.components.updates import ends_quietly
from ui.i18n.texts import script_label
from ui.jobs import again
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.jobs.view import JobView
from ui.jobs.viewing import Kind
from ui.render import crew, film, media
from ui.render import job as render
from ui.server.answers import visitor_error

_ACTIONS = ("refine", "again", "compare", "resume", "pause", "cancel", "view_here", "delete")
_VARIANTS: dict[str, Literal["primary", "stop"]] = {"resume": "primary", "delete": "stop"}
_KEEP_LINK = "(link) => { if (link) history.replaceState(null, '', link); }"
_FORGET_LINK = "() => { history.replaceState(null, '', location.pathname); }"
_CONFIRM = f"(link) => [confirm({script_label('jobs.ask.delete')}) ? link : '']"
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LONGEST_SECONDS = 2.0
"""How often a job that is watched for longer is told anew: each time costs the tab 15 ms and the line 2 KB."""
_PICTURE_BYTES_PER_SECOND = 9_000
"""What the pictures of a job that is watched may take of the line: 32 MB an hour, one of 90 KB every ten seconds."""
_MOST_CURIOUS = 1000
"""Sessions whose details are remembered to be open; bounds what is kept of those that just left."""


class RunView:
    """The view, laid out where it is constructed. `link` names the job on show, as the query of the page's address."""

    def __init__(self, service: JobService, texts: gr.I18n) -> None:
        self._service = service
        self._texts = texts
        self._outcome = Outcome(service, lambda: self._cache)
        # The stream of an earlier job ends when the visit follows another.
        self._followed = Newest()
        # Sessions whose details are open: others are not sent what they do not see.
        self._curious: set[str] = set()
        self.link = gr.Textbox(visible=False)
        with gr.Column(visible=False, elem_classes="lt-run") as self._view:
            self._strip = gr.HTML(elem_classes="lt-strip-block")
            self._stage = gr.HTML(elem_classes="lt-stage")
            self._making = gr.HTML()
            with gr.Row(elem_classes="lt-actions"):
                self._buttons = {name: self._button(name) for name in _ACTIONS}
            self._part = gr.HTML()
            self._report = gr.HTML()
            self._question = gr.HTML()
            with gr.Accordion(
                texts("longtake_details"), open=False, elem_classes="lt-details"
            ) as self._details:
                self._gauge = gr.HTML(
                    render.gauge(JobView()), html_template=render.GAUGE, elem_classes="lt-gauge-block"
                )
                self._curve = gr.HTML(
                    render.curve(JobView()), html_template=render.CURVE, elem_classes="lt-curve-block"
                )
                self._crew = gr.HTML()
                self._charts = gr.HTML()
                self._log = gr.HTML(elem_classes="lt-log-block")
        self._folded: list[Component] = [self._gauge, self._curve, self._log, self._crew]
        self._shown: list[Component] = [self._strip, self._stage, self._part, self._report, self._charts]

    def follow_after(self, arrived: Any, clicked: Any, wanted: Component, submitted: Sequence[Any]) -> None:
        """Follow the job of `link` after the page was opened, a link was clicked, or a job was submitted.

        `wanted` holds the link that was clicked; it may be that of another tab's job, and then this one's goes on.
        """
        free: dict[str, Any] = {**PRIVATE, "trigger_mode": "multiple", "concurrency_limit": None}
        buttons = {
            name: self._buttons[name].click(self._job_action(name), [self.link], None, **PRIVATE, queue=False)
            for name in ("cancel", "pause", "resume")
        }
        view, asked = [self._view, *self._shown, *self._folded], [self._question, self._stage, self._making]
        for start in (arrived, *submitted, buttons["resume"]):
            # Another job may be opened while one is being followed.
            start.success(self._follow, [self.link], view, **free)
            start.success(self._ask, [self.link], asked, **free)
        clicked.success(where_wanted(self._follow), [self.link, wanted], view, **free)
        clicked.success(where_wanted(self._ask), [self.link, wanted], asked, **free)
        for event in submitted:
            event.success(None, [self.link], None, js=_KEEP_LINK, **PRIVATE)
        kinds: dict[str, Kind] = {"view_here": "copy", "compare": "compare"}
        for name, kind in kinds.items():
            self._buttons[name].click(
                self._maker(kind),
                [self.link],
                [self._making, self._stage],
                **{**free, "trigger_mode": "once"},
            )
        self._details.expand(self._look_closer, [self.link], self._folded, **PRIVATE, queue=False)
        self._details.collapse(self._look_away, None, None, **PRIVATE, queue=False)
        deleted = self._buttons["delete"].click(
            self._remover(), [self.link], [self.link, self._view], js=_CONFIRM, **PRIVATE, queue=False
        )
        deleted.success(None, None, None, js=_FORGET_LINK, **PRIVATE)

    def ask_again(self, handler: Any, outputs: Sequence[Component]) -> None:
        """Have the buttons that ask a job's question again fill a form: `handler` takes the link."""
        for name in ("refine", "again"):
            self._buttons[name].click(handler, [self.link], list(outputs), **PRIVATE, concurrency_limit=None)

    def _button(self, name: str) -> gr.Button:
        # The style sheet hides the buttons that do not apply, by the state in the strip.
        return gr.Button(
            self._texts(f"longtake_{name}"),
            size="sm",
            variant=_VARIANTS.get(name, "secondary"),
            elem_classes=f"lt-{name.replace('_', '-')}" + ("-button" if name == "compare" else ""),
            min_width=100,
            scale=0,
        )

    # -- following -------------------------------------------------------------------------------------------

    @ends_quietly
    async def _follow(self, link: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        if not link:
            return
        last, state = JobView(), ""
        session, pictures = str(request.session_hash), _Pace(_PICTURE_BYTES_PER_SECOND)
        try:
            visitor, (id, key) = self._service.visitor(request), parse_link(link)
            job = self._service.find(visitor, id, key)
            right, asks = (
                self._service.right(visitor, job, key),
                again.may_ask_again(self._service, visitor, job),
            )
            watched = self._service.watch(job, right, longest_seconds=_LONGEST_SECONDS)
            with self._followed.run(request) as is_newest:
                async with aclosing(watched) as views:
                    async for view in views:
                        if not is_newest():
                            return
                        view = replace(view, is_mine=asks)
                        is_curious = session in self._curious
                        values = await asyncio.to_thread(
                            self._values, view, last, state, pictures, is_curious
                        )
                        if (
                            not is_newest()
                        ):  # the job was deleted meanwhile: what shows it would bring it back
                            return
                        yield values
                        last, state = view, view.status.state
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error

    def _values(
        self, view: JobView, last: JobView, last_state: str, pictures: "_Pace", is_curious: bool
    ) -> tuple[Any, ...]:
        skip = gr.skip()
        if view.outputs:
            stage, report, charts = self._outcome.of(view)
            shown: tuple[Any, ...] = (stage, "", report, charts)
        else:
            begins, ends = not last_state, view.ended
            picture = "" if begins or ends else skip
            if not ends and view.preview is not None and pictures.is_due():
                picture = media.latest(view)
                pictures.spend(len(picture))
            part = self._newest(view) if begins or view.segment is not last.segment else skip
            shown = (picture, "" if ends else part, "" if begins else skip, "" if begins else skip)
        sent = last if last_state else None
        folded = details(view, sent) if is_curious or view.ended else (skip,) * len(self._folded)
        return (gr.update(visible=True) if not last_state else skip, render.strip(view), *shown, *folded)

    def _newest(self, view: JobView) -> str:
        segment = view.segment
        if (
            segment is None
            or segment.path.suffix not in self._outcome.VIDEO_SUFFIXES
            or not segment.path.exists()
        ):
            return ""
        path = hand_out(segment.path, self._cache, view.files)
        return media.segment(path, segment.start, segment.stop)

    @ends_quietly
    async def _ask(self, link: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        """Show what the job was asked, then its input as a picture, also in place of the first frame."""
        if not link:
            return
        visitor = self._service.visitor(request)
        try:
            job = self._service.find(visitor, *parse_link(link))
            view = await asyncio.to_thread(self._service.snapshot, job, "view")
            yield self._outcome.question(view, ""), gr.skip(), ""
            frame = self._outcome.frame(view)
            picture = await again.thumbnail(self._service, visitor, job, frame, self._cache)
            if picture:
                now = await asyncio.to_thread(self._service.snapshot, job, "view")
                first = media.waiting(str(picture)) if not now.ended and now.preview is None else gr.skip()
                yield self._outcome.question(now, str(picture)), first, gr.skip()
        except (LongtakeError, OSError):
            return  # following the job says what is wrong

    async def _look_closer(self, link: str, request: gr.Request) -> tuple[Any, ...]:
        """Send the details, which have been opened."""
        if len(self._curious) >= _MOST_CURIOUS:
            self._curious.clear()
        self._curious.add(str(request.session_hash))
        try:
            job = self._service.find(self._service.visitor(request), *parse_link(link))
            return details(await asyncio.to_thread(self._service.snapshot, job, "view"))
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error

    def _look_away(self, request: gr.Request) -> None:
        self._curious.discard(str(request.session_hash))

    # -- acting ----------------------------------------------------------------------------------------------

    def _maker(self, kind: Kind) -> Any:
        @ends_quietly
        async def make(link: str, request: gr.Request) -> AsyncIterator[tuple[Any, Any]]:
            key = "viewing.comparing" if kind == "compare" else "viewing.making"
            try:
                job = await asyncio.to_thread(self._find_to_act, link, request)
                made = await self._service.make_viewable(self._service.visitor(request), job, kind)
                async with aclosing(self._service.watch(made, longest_seconds=_LONGEST_SECONDS)) as views:
                    async for view in views:
                        yield film.making(key, view.status.done, view.status.total), gr.skip()
                if view.status.state != "done":
                    yield film.not_made(view.status.message), gr.skip()
                    return
                whole = await asyncio.to_thread(self._service.snapshot, job)
                stage = await asyncio.to_thread(self._outcome.stage, whole, shows_wipe=kind == "compare")
                yield "", stage
            except (LongtakeError, OSError) as error:
                yield "", gr.skip()
                raise visitor_error(error) from error

        return make

    @property
    def _cache(self) -> Path:
        return Path(self._strip.GRADIO_CACHE)

    def _job_action(self, action: str) -> Any:
        def act(link: str, request: gr.Request) -> None:
            try:
                job = self._find_to_act(link, request)
                if action == "resume":
                    self._service.resume(self._service.visitor(request), job)
                else:
                    self._service.queue.stop(job, action)
            except (LongtakeError, OSError) as error:
                raise visitor_error(error) from error

        return act

    def _remover(self) -> Any:
        def remove(link: str, request: gr.Request) -> tuple[Any, Any]:
            if not link:  # the visitor did not confirm
                return gr.skip(), gr.skip()
            try:
                self._service.delete(self._service.visitor(request), self._find_to_act(link, request))
                # Not before: where it is refused, the view goes on; and a run may begin while the job is deleted.
                self._followed.end(request)
            except (LongtakeError, OSError) as error:
                raise visitor_error(error) from error
            return "", gr.update(visible=False)

        return remove

    def _find_to_act(self, link: str, request: gr.Request) -> Any:
        return self._service.find_to_act(self._service.visitor(request), *parse_link(link))


def where_wanted(told: Callable[[str, gr.Request], AsyncGenerator[Any]]) -> Any:
    """A handler with the updates of `told` where the first link's job is that of the second; else it has none."""

    @ends_quietly
    async def only(link: str, wanted: str, request: gr.Request) -> AsyncIterator[Any]:
        if parse_link(link)[0] == parse_link(wanted)[0]:
            async with aclosing(told(link, request)) as updates:
                async for each in updates:
                    yield each

    return only


class _Pace:
    """Lets something of varying size through as often as a line of so many bytes a second allows."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._due = 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self._due

    def spend(self, size_bytes: int) -> None:
        self._due = time.monotonic() + size_bytes / self._bytes_per_second


def details(view: JobView, last: JobView | None = None) -> tuple[Any, ...]:
    """What the details show: memory, curve, log and workers; those last seldom change, and are sent when they do.

    `last` is what was sent before; without it all is sent.
    """
    workers = crew.workers(view)
    is_new = last is None or workers != crew.workers(last)
    return render.gauge(view), render.curve(view), render.log_lines(view), workers if is_new else gr.skip()


def parse_link(link: str) -> tuple[str, str]:
    """Job id and key from the query of a link, each empty where missing."""
    query = parse_qs(link.removeprefix("?"))
    return query.get("job", [""])[0], query.get("key", [""])[0]
