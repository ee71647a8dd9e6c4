"""The page: what stands on it, which event does what, in which lane, under which API name.

A handler only listens to a job. The job queue starts jobs one at a time, so no event of the page needs a lane of its
own; leaving the page, reloading it or ending an API call stops no job, the Cancel button does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import BadInput, LongtakeError
from pipelines.events import Outputs
from pipelines.folders import VIDEO_SUFFIXES
from pipelines.jobs import Job
from pipelines.queue import JobQueue
from pipelines.settings import ScoreSettings
from ui import forms, render
from ui.listening import views
from ui.reading import read_report
from ui.texts import error_text, i18n, label
from ui.uploads import inspect_video, keep
from ui.view import Status, View

log = logging.getLogger(__name__)

I18N = i18n(forms.field_texts(ScoreSettings))
_MAIN_FIELDS = ("quality", "start", "end")
_LOOKS_AT_ONCE = 2
_CACHE_AGE_SECONDS = 6 * 3600


def build(queue: JobQueue, *, ram_limit_gb: float | None = None) -> gr.Blocks:
    """The page over `queue`. `ram_limit_gb`: no visitor's job may hold more host memory than this, GiB."""
    page = gr.Blocks(
        title="Longtake", analytics_enabled=False, delete_cache=(600, _CACHE_AGE_SECONDS), fill_width=True
    )
    with page:
        with gr.Column(elem_classes="lt-head"):
            gr.Markdown("# Longtake", container=False)
            gr.Markdown(I18N("longtake_tagline"), container=False)
        _ScorePage(queue, ram_limit_gb).lay_out()
    # Listeners are light and many; what is heavy waits in the job queue.
    page.queue(default_concurrency_limit=None, max_size=32)
    return page


@dataclass(frozen=True)
class _Live:
    """What a running job shows; the API gives these in this order."""

    status: gr.JSON
    strip: gr.HTML
    gauge: gr.HTML
    curve: gr.HTML
    latest: gr.HTML
    report: gr.HTML
    picture: gr.Image
    worst: gr.Gallery
    files: gr.File

    def components(self) -> list[Component]:
        """All of them, in order."""
        return [getattr(self, name) for name in self.__dataclass_fields__]

    def values(self, view: View, last: View) -> tuple[Any, ...]:
        """Their values: the status always in full, what is heavy only where it has changed since `last`."""
        pictures = view.preview is not None and view.preview is not last.preview
        return (
            view.status.model_dump(mode="json"),
            render.strip(view),
            render.gauge(view),
            render.curve(view),
            render.latest(view) if pictures else gr.skip(),
            *(self._results(view.outputs) if view.outputs else (gr.skip(),) * 4),
        )

    def _results(self, outputs: Outputs) -> tuple[Any, ...]:
        downloads = [path for path in outputs.paths() if path not in outputs.worst]
        return (
            read_report(outputs.report) if outputs.report else "",
            self._cached(outputs.picture) if outputs.picture else None,
            [
                (self._cached(path), f"{label('frame')} {path.stem.split('-')[-1].lstrip('0') or '0'}")
                for path in outputs.worst
            ],
            [self._cached(path) for path in downloads],
        )

    def _cached(self, path: Path) -> str:
        """A copy of a result in the page's cache, so that no part of the jobs' folder is ever served."""
        return str(self.files.move_resource_to_block_cache(path))


class _ScorePage:
    """Upload, look, run, watch, report."""

    def __init__(self, queue: JobQueue, ram_limit_gb: float | None) -> None:
        self._queue = queue
        self._ram_limit_gb = ram_limit_gb
        self._names = forms.field_names(ScoreSettings)

    def lay_out(self) -> None:
        """Place the components and tie them together."""
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                file, fields, run, cancel = self._question()
            with gr.Column(scale=9, min_width=320):
                card = gr.HTML(render.welcome(), elem_id="card")
                live, running, finished = self._answer()
        settings = [fields[name] for name in self._names]
        gr.on(
            [file.change, *(field.change for field in settings)],
            self._inspector(),
            [file, *settings],
            [card, run],
            trigger_mode="always_last",
            concurrency_limit=_LOOKS_AT_ONCE,
            show_progress="hidden",
            api_visibility="private",
        )
        private: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        busy, over = [run, cancel, running, finished], [live.status, file]
        run.click(_show_running, None, busy, **private)
        scoring = run.click(
            self._scorer(live),
            [file, *settings],
            live.components(),
            api_name="score",
            api_description="Score sharpness, blur, frozen frames, cuts and smoothness of a video.",
            concurrency_limit=None,
            show_progress="hidden",
        )
        scoring.success(_show_ended, over, busy, **private)
        scoring.failure(_show_ended, over, busy, **private)
        cancel.click(self._cancel, [live.status], None, **private)

    def _question(self) -> tuple[gr.File, dict[str, Any], gr.Button, gr.Button]:
        file = gr.File(
            label=I18N("longtake_file"),
            file_types=sorted(VIDEO_SUFFIXES),
            elem_id="file",
            height=150,
            scale=0,
        )
        fields: dict[str, Any] = {}
        for name in _MAIN_FIELDS[:1]:
            fields[name] = forms.make_component(ScoreSettings, name, I18N)
        with gr.Row():
            for name in _MAIN_FIELDS[1:]:
                fields[name] = forms.make_component(ScoreSettings, name, I18N)
        with gr.Accordion(I18N("longtake_more"), open=False):
            for name in self._names:
                if name not in _MAIN_FIELDS:
                    fields[name] = forms.make_component(ScoreSettings, name, I18N)
        run = gr.Button(I18N("longtake_run"), variant="primary", interactive=False, elem_id="run")
        cancel = gr.Button(I18N("longtake_cancel"), visible=False, elem_id="cancel")
        return file, fields, run, cancel

    def _answer(self) -> tuple[_Live, gr.Column, gr.Column]:
        with gr.Column(visible=False) as running:
            strip = gr.HTML(elem_id="strip")
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=300):
                    gauge = gr.HTML(render.gauge(View()), html_template=render.GAUGE, elem_id="gauge")
                    curve = gr.HTML(render.curve(View()), html_template=render.CURVE, elem_id="curve")
                with gr.Column(scale=2, min_width=240):
                    latest = gr.HTML(elem_id="latest")
        with gr.Column(visible=False) as finished:
            report = gr.HTML(elem_id="report")
            picture = gr.Image(
                label=I18N("longtake_picture"),
                show_label=False,
                interactive=False,
                elem_id="picture",
                buttons=["download", "fullscreen"],
            )
            worst = gr.Gallery(
                label=I18N("longtake_worst"),
                columns=4,
                height=280,
                object_fit="contain",
                interactive=False,
                elem_id="worst",
                buttons=[],
            )
            files = gr.File(
                label=I18N("longtake_files"), file_count="multiple", interactive=False, elem_id="files"
            )
        status = gr.JSON(label="Job", visible="hidden", elem_id="status")
        return _Live(status, strip, gauge, curve, latest, report, picture, worst, files), running, finished

    def _inspector(self) -> Any:
        async def inspect(file: str | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
            if file is None:
                yield render.welcome(), gr.update(interactive=False)
                return
            yield render.looking(), gr.update(interactive=False)
            try:
                settings = self._settings(values)
                plan = await inspect_video("score", Path(file), settings, self._queue.jobs_dir)
            except LongtakeError as error:
                # The card stays when the message has gone.
                yield render.refusal(error), gr.update(interactive=False)
                raise _shown(error) from error
            yield render.card(plan, file), gr.update(interactive=plan.risk != "cannot")

        return inspect

    def _scorer(self, live: _Live) -> Any:
        async def score(file: str | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
            try:
                job = await asyncio.to_thread(self._submit, file, values)
                last = View()
                async with aclosing(views(self._queue, job)) as listening:
                    async for view in listening:
                        yield await asyncio.to_thread(live.values, view, last)
                        last = view
            except (LongtakeError, OSError) as error:
                known = error if isinstance(error, LongtakeError) else LongtakeError(str(error))
                log.warning("a visitor's job could not be run: %s", error)
                raise _shown(known) from error
            if last.status.state == "failed":
                raise _shown(_told(last.status))

        # Gradio reads the names of the API's parameters here.
        score.__signature__ = forms.signature(ScoreSettings, first="file")  # type: ignore[attr-defined]
        return score

    def _submit(self, file: str | None, values: tuple[Any, ...]) -> Job:
        if not file:
            raise BadInput("There is no video.", "Choose one first.")
        kept = keep(Path(file), self._queue.jobs_dir)
        return self._queue.submit("score", kept, self._settings(values))

    def _settings(self, values: tuple[Any, ...]) -> ScoreSettings:
        asked = forms.read(ScoreSettings, dict(zip(self._names, values, strict=True)))
        limits = [limit for limit in (asked.ram_limit_gb, self._ram_limit_gb) if limit is not None]
        return asked.model_copy(update={"ram_limit_gb": min(limits, default=None)})

    def _cancel(self, status: dict[str, Any] | None) -> None:
        if status and status["job"]:
            self._queue.stop(Job.find(self._queue.jobs_dir, status["job"]), "cancel")


def _show_running() -> tuple[Any, ...]:
    """Run, Cancel, the running part, the finished part: while a job runs."""
    shown = gr.update(visible=True)
    return gr.update(interactive=False), shown, shown, gr.update(visible=False)


def _show_ended(status: dict[str, Any] | None, file: str | None) -> tuple[Any, ...]:
    """The same when the listening is over, however it ended."""
    done = bool(status) and Status.model_validate(status).state == "done"
    return (
        gr.update(interactive=file is not None),
        gr.update(visible=False),
        gr.update(visible=status is not None),
        gr.update(visible=done),
    )


def _told(status: Status) -> LongtakeError:
    error = LongtakeError(status.message, status.hint)
    error.code = status.code
    return error


def _shown(error: LongtakeError) -> gr.Error:
    return gr.Error(error_text(error), print_exception=False)
