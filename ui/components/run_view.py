"""What a job at work looks like; each task's tab has one, and a job's link leads to it.

A run view only listens. Its buttons ask the desk; closing the page asks nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.jobs.events import Outputs
from ui.i18n.texts import error_text
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.jobs.view import JobView
from ui.render import job as render
from ui.render import media
from ui.reports.view import read_report

log = logging.getLogger(__name__)

_ACTIONS = ("cancel", "pause", "resume", "delete")
_FILMS = (".mp4", ".webm", ".mov")
_VARIANTS: dict[str, Literal["primary", "stop"]] = {"resume": "primary", "delete": "stop"}
_KEEP_LINK = "(link) => { if (link) history.replaceState(null, '', link); }"
_FORGET_LINK = "() => { history.replaceState(null, '', location.pathname); }"
_ASK_FIRST = """(link) => {
  const words = navigator.language.startsWith('zh') ? '删除任务及其文件？' : 'Delete the job and its files?';
  return [confirm(words) ? link : ''];
}"""
PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class RunView:
    """Lays out the view where it is made. `link` names the job that is shown: the query of the page's address."""

    def __init__(self, desk: JobService, texts: gr.I18n) -> None:
        self._desk = desk
        self._texts = texts
        # What each session follows now: when it turns to another job, the one before goes on unseen.
        self._followed: dict[str, object] = {}
        self.link = gr.Textbox(visible=False)
        with gr.Column(visible=False, elem_classes="lt-run") as self._whole:
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

    def listen(self, arrivals: Sequence[Any], asking: Sequence[Any]) -> None:
        """Follow the job that `link` names after `arrivals` at it, and after those events that asked for one."""
        shown = [self._whole, *self._live, self._finished, *self._results]
        buttons = {
            name: self._buttons[name].click(self._asker(name), [self.link], None, **PRIVATE, queue=False)
            for name in ("cancel", "pause", "resume")
        }
        for start in (*arrivals, *asking, buttons["resume"]):
            # Multiple: another job may be asked for while one is followed.
            start.success(
                self._follow,
                [self.link],
                shown,
                trigger_mode="multiple",
                concurrency_limit=None,
                **PRIVATE,
            )
        for asked in asking:
            asked.success(None, [self.link], None, js=_KEEP_LINK, **PRIVATE)
        deleted = self._buttons["delete"].click(
            self._remover(), [self.link], [self.link, self._whole], js=_ASK_FIRST, **PRIVATE, queue=False
        )
        deleted.success(None, None, None, js=_FORGET_LINK, **PRIVATE)

    # -- layout ----------------------------------------------------------------------------------------------

    def _button(self, name: str) -> gr.Button:
        # Which of them can be pressed follows from the state that the strip tells: the style sheet hides the others.
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
            # Not an image and a gallery: with those the browser would load half a megabyte before it shows the page.
            pictures = gr.HTML()
            files = gr.File(
                label=self._texts("longtake_files"),
                file_count="multiple",
                interactive=False,
                elem_classes="lt-files",
            )
        self._results: list[Component] = [report, pictures, files]

    # -- handlers --------------------------------------------------------------------------------------------

    async def _follow(self, link: str, request: gr.Request) -> AsyncIterator[tuple[Any, ...]]:
        if not link:
            return
        last, state = JobView(), ""
        session, mine = str(request.session_hash), object()
        self._followed[session] = mine
        try:
            job = self._find(link, request)
            async with aclosing(self._desk.watch(job)) as listening:
                async for view in listening:
                    if self._followed.get(session) is not mine:
                        return
                    yield await asyncio.to_thread(self._values, view, last, state, link)
                    last, state = view, view.status.state
        except (LongtakeError, OSError) as error:
            raise shown(error) from error
        finally:
            if self._followed.get(session) is mine:
                del self._followed[session]

    def _values(self, view: JobView, last: JobView, last_state: str, link: str) -> tuple[Any, ...]:
        state = view.status.state
        changed = state != last_state
        pictured = view.preview is not None and view.preview is not last.preview
        return (
            gr.update(visible=True) if not last_state else gr.skip(),
            render.strip(view, link),
            render.gauge(view),
            render.curve(view),
            media.latest(view) if pictured else gr.update(value="") if not last_state else gr.skip(),
            self._newest(view) if changed or view.segment is not last.segment else gr.skip(),
            render.log_lines(view) if view.log != last.log else gr.skip(),
            gr.update(visible=view.outputs is not None) if changed else gr.skip(),
            *(self._outcome(view) if view.outputs else (gr.skip(),) * len(self._results)),
        )

    def _newest(self, view: JobView) -> str:
        part = view.segment
        # The whole result says more than its last part.
        if part is None or view.outputs or part.path.suffix not in _FILMS or not part.path.exists():
            return ""
        return media.segment(hand_out(part.path, self._cache, view.status.key), part.start, part.stop)

    def _outcome(self, view: JobView) -> tuple[Any, ...]:
        outputs, key = view.outputs or Outputs(), view.status.key
        cache = self._cache
        film = outputs.result if outputs.result and outputs.result.suffix in _FILMS else None
        pictures = outputs.pictures
        return (
            read_report(outputs.report) if outputs.report else "",
            (media.film(hand_out(film, cache, key)) if film else "")
            + media.pictures([hand_out(path, cache, key) for path in pictures]),
            [hand_out(path, cache, key) for path in outputs.paths() if path not in pictures[1:]],
        )

    @property
    def _cache(self) -> Path:
        return Path(self._strip.GRADIO_CACHE)

    def _asker(self, what: str) -> Any:
        def ask(link: str, request: gr.Request) -> None:
            try:
                job = self._find(link, request)
                if what == "resume":
                    self._desk.resume(self._desk.visitor(request), job)
                else:
                    self._desk.queue.stop(job, what)
            except (LongtakeError, OSError) as error:
                raise shown(error) from error

        return ask

    def _remover(self) -> Any:
        def remove(link: str, request: gr.Request) -> tuple[Any, Any]:
            if not link:  # thought better of it
                return gr.skip(), gr.skip()
            try:
                self._followed.pop(str(request.session_hash), None)
                self._desk.delete(self._desk.visitor(request), self._find(link, request))
            except (LongtakeError, OSError) as error:
                raise shown(error) from error
            return "", gr.update(visible=False)

        return remove

    def _find(self, link: str, request: gr.Request) -> Any:
        return self._desk.find(self._desk.visitor(request), *named_in(link))


def named_in(link: str) -> tuple[str, str]:
    """Job id and key in a link's query; empty where it names none."""
    query = parse_qs(link.removeprefix("?"))
    return query.get("job", [""])[0], query.get("key", [""])[0]


def shown(error: Exception) -> gr.Error:
    """`error` as a visitor is told it: in both languages, with its code."""
    known = error if isinstance(error, LongtakeError) else LongtakeError(str(error))
    log.warning("a visitor was told: %s", known)
    return gr.Error(error_text(known), print_exception=False)
