"""The tab *Score*: choose a video, see what it is and what a run would hold, run it, watch it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from pipelines.errors import LongtakeError
from pipelines.folders import VIDEO_SUFFIXES
from pipelines.settings import ScoreSettings
from ui import forms, render
from ui.desk import Desk
from ui.run_view import PRIVATE, RunView, shown
from ui.uploads import example_clip, take_uploads_alone
from ui.visitors import Visitor

TASK = "score"
_MAIN_FIELDS = ("quality", "start", "end")
_LOOKS_AT_ONCE = 2


class ScoreTab:
    """Lays out the tab where it is made."""

    def __init__(self, desk: Desk, texts: gr.I18n) -> None:
        self._desk = desk
        self._texts = texts
        self._names = forms.field_names(ScoreSettings)
        with gr.Row(equal_height=False, elem_classes="lt-task"):
            with gr.Column(scale=4, min_width=300, elem_classes="lt-question"):
                self._lay_out_question()
            with gr.Column(scale=9, min_width=320):
                self.card = gr.HTML(render.welcome(), elem_id="card")
                self.run_view = RunView(desk, texts)
        self._tie_together()

    def _lay_out_question(self) -> None:
        texts = self._texts
        self._file = take_uploads_alone(
            gr.File(
                label=texts("longtake_file"),
                file_types=sorted(VIDEO_SUFFIXES),
                elem_id="file",
                height=150,
                scale=0,
            )
        )
        self._example = gr.Button(texts("longtake_example"), size="sm", elem_id="example")
        fields: dict[str, Any] = {}
        fields[_MAIN_FIELDS[0]] = forms.make_component(ScoreSettings, _MAIN_FIELDS[0], texts)
        with gr.Row():
            for name in _MAIN_FIELDS[1:]:
                fields[name] = forms.make_component(ScoreSettings, name, texts)
        with gr.Accordion(texts("longtake_more"), open=False):
            for name in self._names:
                if name not in _MAIN_FIELDS:
                    fields[name] = forms.make_component(ScoreSettings, name, texts)
        self._run = gr.Button(texts("longtake_run"), variant="primary", interactive=False, elem_id="run")
        self._settings = [fields[name] for name in self._names]

    def _tie_together(self) -> None:
        self._example.click(self._give_example, None, [self._file], **PRIVATE, concurrency_limit=1)
        gr.on(
            [self._file.change, *(field.change for field in self._settings)],
            self._inspect,
            [self._file, *self._settings],
            [self.card, self._run],
            trigger_mode="always_last",
            concurrency_limit=_LOOKS_AT_ONCE,
            **PRIVATE,
        )
        self.started = self._run.click(
            forms.named(self._starter(), ScoreSettings, "file"),
            [self._file, *self._settings],
            [self.run_view.link, self.card],
            **PRIVATE,
            concurrency_limit=None,
        )

    async def _give_example(self) -> str:
        try:
            return str(await example_clip(self._desk.queue.jobs_dir))
        except LongtakeError as error:
            raise shown(error) from error

    async def _inspect(self, file: str | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        if file is None:
            yield gr.update(value=render.welcome(), visible=True), gr.update(interactive=False)
            return
        yield gr.update(value=render.looking(), visible=True), gr.update(interactive=False)
        try:
            plan = await self._desk.inspect(TASK, file, self._read(values))
        except LongtakeError as error:
            # The card stays when the message has gone.
            yield render.refusal(error), gr.update(interactive=False)
            raise shown(error) from error
        yield render.card(plan, file), gr.update(interactive=plan.risk != "cannot")

    def _starter(self) -> Any:
        async def start(file: str | None, *values: Any) -> tuple[Any, Any]:
            *given, request = values
            try:
                job = await self._desk.submit(Visitor.of(request), TASK, file, self._read(given))
            except (LongtakeError, OSError) as error:
                raise shown(error) from error
            return self._desk.query(job), gr.update(visible=False)

        return start

    def _read(self, values: Sequence[Any]) -> ScoreSettings:
        return forms.read(ScoreSettings, dict(zip(self._names, values, strict=True)))
