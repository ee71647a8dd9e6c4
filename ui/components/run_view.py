"""The view of a running job; each task's tab has one, and a job's link leads to it.

A run view only listens. Its buttons ask the service; closing the page stops nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.jobs.events import Outputs
from ui.components.newest import Newest
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.jobs.view import JobView
from ui.render import job as render
from ui.render import media
from ui.reports.view import frame_times, read_report
from ui.server.answers import visitor_error

_ACTIONS = ("cancel", "pause", "resume", "delete")
_VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv")
_VARIANTS: dict[str, Literal["primary", "stop"]] = {"resume": "primary", "delete": "stop"}
_KEEP_LINK = "(link) => { if (link) history.replaceState(null, '', link); }"
_FORGET_LINK = "() => { history.replaceState(null, '', location.pathname); }"
_CONFIRM = """(link) => {
  const words = navigator.language.startsWith('zh') ? '删除任务及其文件？' : 'Delete the job and its files?';
  return [confirm(words) ? link : ''];
}"""
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class RunView:
    """The view, laid out where it is constructed. `link` names the job on show, as the query of the page's address."""

    def __init__(self, service: JobService, texts: gr.I18n) -> None:
        self._service = service
        self._texts = texts
        # The stream of an earlier job ends when the visit follows another.
        self._followed = Newest()
        self.link = gr.Textbox(visible=False)
        with gr.Column(visible=False, elem_classes="lt-run") as self._view:
            self._strip = gr.HTML(elem_classes="lt-strip-block")
            with gr.Row(elem_classes="lt-actions"):
                self._buttons = {name: self._button(name) for name in _ACTIONS}
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=300):
                    self._gauge = gr.HTML(
                        render.gauge(JobView()), html_template=render.GAUGE, elem_classes="lt-gauge-block"
                    )
                    self._curve = gr.HTML(
                        render.curve(JobView()), html_template=render.CURVE, elem_classes="lt-curve-block"
                    )
                with gr.Column(scale=2, min_width=240):
                    self._latest = gr.HTML()
                    self._segment = gr.HTML()
            self._lay_out_results()
            with gr.Accordion(texts("longtake_log"), open=False):
                self._log = gr.HTML(elem_classes="lt-log-block")
        self._live: list[Component] = [
            self._strip,
            self._gauge,
            self._curve,
            self._latest,
            self._segment,
            self._log,
        ]

    def follow_after(self, arrivals: Sequence[Any], submitted: Sequence[Any]) -> None:
        """Follow the job of `link` after the events that arrive at a link and those that submitted a job."""
        outputs = [self._view, *self._live, self._finished, *self._results]
        buttons = {
            name: self._buttons[name].click(self._job_action(name), [self.link], None, **PRIVATE, queue=False)
            for name in ("cancel", "pause", "resume")
        }
        for start in (*arrivals, *submitted, buttons["resume"]):
            # Another job may be opened while one is being followed.
            start.success(
                self._follow,
                [self.link],
                outputs,
                trigger_mode="multiple",
                concurrency_limit=None,
                **PRIVATE,
            )
        for event in submitted:
            event.success(None, [self.link], None, js=_KEEP_LINK, **PRIVATE)
        self._view_here.click(
            self._make_viewable,
            [self.link],
            [self._film],
            trigger_mode="once",
            concurrency_limit=None,
            **PRIVATE,
        )
        deleted = self._buttons["delete"].click(
            self._remover(), [self.link], [self.link, self._view], js=_CONFIRM, **PRIVATE, queue=False
        )
        deleted.success(None, None, None, js=_FORGET_LINK, **PRIVATE)

    # -- layout ----------------------------------------------------------------------------------------------

    def _button(self, name: str) -> gr.Button:
        # The style sheet hides the buttons that do not apply, by the state in the strip.
        return gr.Button(
            self._texts(f"longtake_{name}"),
            size="sm",
            variant=_VARIANTS.get(name, "secondary"),
            elem_classes=f"lt-{name}",
            min_width=100,
            scale=0,
        )

    def _lay_out_results(self) -> None:
        with gr.Column(visible=False) as self._finished:
            report = gr.HTML()
            self._film = gr.HTML()
            # The style sheet shows it where the browser has told that it cannot play the film.
            self._view_here = gr.Button(
                self._texts("longtake_view_here"), size="sm", elem_classes="lt-view-here", scale=0
            )
            # Not gr.Image and gr.Gallery: their scripts add half a megabyte to the first load of the page.
            pictures = gr.HTML()
            files = gr.File(
                label=self._texts("longtake_files"),
                file_count="multiple",
                interactive=False,
                elem_classes="lt-files",
            )
        self._results: list[Component] = [report, self._film, pictures, files]

    # -- handlers --------------------------------------------------------------------------------------------

    async def _follow(self, link: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        if not link:
            return
        last, state = JobView(), ""
        try:
            visitor, (id, key) = self._service.visitor(request), parse_link(link)
            job = self._service.find(visitor, id, key)
            right = self._service.right(visitor, job, key)
            with self._followed.run(request) as is_newest:
                async with aclosing(self._service.watch(job, right)) as views:
                    async for view in views:
                        if not is_newest():
                            return
                        yield await asyncio.to_thread(self._values, view, last, state)
                        last, state = view, view.status.state
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error

    def _values(self, view: JobView, last: JobView, last_state: str) -> tuple[Any, ...]:
        state = view.status.state
        changed = state != last_state
        new_preview = view.preview is not None and view.preview is not last.preview
        return (
            gr.update(visible=True) if not last_state else gr.skip(),
            render.strip(view),
            render.gauge(view),
            render.curve(view),
            media.latest(view) if new_preview else gr.update(value="") if not last_state else gr.skip(),
            self._newest(view) if changed or view.segment is not last.segment else gr.skip(),
            render.log_lines(view) if view.log != last.log else gr.skip(),
            gr.update(visible=view.outputs is not None) if changed else gr.skip(),
            *(self._outcome(view) if view.outputs else (gr.skip(),) * len(self._results)),
        )

    def _newest(self, view: JobView) -> str:
        segment = view.segment
        # The finished result replaces the newest segment.
        if (
            segment is None
            or view.outputs
            or segment.path.suffix not in _VIDEO_SUFFIXES
            or not segment.path.exists()
        ):
            return ""
        path = hand_out(segment.path, self._cache, view.files)
        return media.segment(path, segment.start, segment.stop)

    def _outcome(self, view: JobView) -> tuple[Any, ...]:
        outputs, name = view.outputs or Outputs(), view.files
        cache = self._cache
        video = outputs.result if outputs.result and outputs.result.suffix in _VIDEO_SUFFIXES else None
        pictures = outputs.pictures
        return (
            read_report(outputs.report) if outputs.report else "",
            self._film_of(view, video) if video else "",
            media.pictures(
                [hand_out(path, cache, name) for path in pictures],
                frame_times(outputs.report) if outputs.report else {},
            ),
            [hand_out(path, cache, name) for path in outputs.paths() if path not in pictures[1:]],
        )

    def _film_of(self, view: JobView, video: Path) -> str:
        """The version for viewing, where one was made, else the result itself."""
        made = self._service.viewing.find(view.job) if view.job else None
        return media.video(hand_out(made or video, self._cache, view.files), is_made=made is not None)

    async def _make_viewable(self, link: str, request: gr.Request) -> AsyncIterator[str]:
        try:
            job = await asyncio.to_thread(self._find_to_act, link, request)
            made = await self._service.make_viewable(self._service.visitor(request), job)
            async with aclosing(self._service.watch(made)) as views:
                async for view in views:
                    yield media.making(view.status.done, view.status.total)
            if view.status.state != "done":
                yield media.not_made(view.status.message)
                return
            whole = await asyncio.to_thread(self._service.snapshot, job)
            yield await asyncio.to_thread(self._film_of, whole, self._service.viewing.source(job))
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error

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
                self._followed.end(request)
                self._service.delete(self._service.visitor(request), self._find_to_act(link, request))
            except (LongtakeError, OSError) as error:
                raise visitor_error(error) from error
            return "", gr.update(visible=False)

        return remove

    def _find_to_act(self, link: str, request: gr.Request) -> Any:
        return self._service.find_to_act(self._service.visitor(request), *parse_link(link))


def parse_link(link: str) -> tuple[str, str]:
    """Job id and key from the query of a link, each empty where missing."""
    query = parse_qs(link.removeprefix("?"))
    return query.get("job", [""])[0], query.get("key", [""])[0]
