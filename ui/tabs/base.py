"""What the tab of a task is: choose a video, see what it is and what a run would hold, run it, watch it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.settings import Settings
from pipelines.spec import TaskSpec, settings_model
from ui.components import forms
from ui.components.engine_choice import EngineChoice
from ui.components.run_view import PRIVATE, RunView, shown
from ui.jobs.service import JobService
from ui.jobs.uploads import example_clip, take_uploads_alone
from ui.render import job as render

_LOOKS_AT_ONCE = 2


def _as_it_is(settings: Settings) -> Settings:
    return settings


@dataclass(frozen=True)
class Action:
    """A button that asks for a job: which task, and what it changes in the settings of the form."""

    name: str
    task: str
    variant: Literal["primary", "secondary"] = "primary"
    changed: Callable[[Settings], Settings] = _as_it_is


@dataclass(frozen=True)
class FormRequest:
    """A question: a video, what else the task reads, and settings."""

    video: str | None
    others: tuple[str, ...]
    settings: Settings


class TaskTab:
    """Lays out the tab of `task` where it is made; a task says what else it asks for.

    A task without a tab of its own has this one: its files, its settings, and a button that runs it.
    """

    main: Sequence[Sequence[str]] = (("quality",), ("start", "end"))
    """The settings that are seen at once, a row each."""

    placed_later: tuple[str, ...] = ()
    """Settings that a task places in `fields` itself, in the middle; they change nothing of what a look tells."""
    example_label = "longtake_example"
    groups: Mapping[str, Sequence[str]] = MappingProxyType({})
    """Headings over some of the options of engines, and the settings that stand below each."""

    def __init__(self, desk: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        self.desk = desk
        self.texts = texts
        self.spec = spec
        self.task = spec.name
        self._model = settings_model(spec.name)
        self._names = forms.field_names(self._model)
        self.fields: dict[str, Any] = {}
        with gr.Row(equal_height=False, elem_classes="lt-task"):
            with gr.Column(scale=4, min_width=300, elem_classes="lt-question"):
                self._lay_out_question(self.main)
            with gr.Column(scale=9, min_width=320):
                self.lay_out_middle()
                self.card = gr.HTML(render.welcome(self.task), elem_id=self.id("card"))
                self.run_view = RunView(desk, texts)
        self._tie_together()

    # -- what a task adds ------------------------------------------------------------------------------------

    def lay_out_inputs(self) -> None:
        """Place the files that the task reads besides, below the first."""
        self._others = [
            take_uploads_alone(
                gr.File(
                    label=self.texts(f"longtake_input_{each.name}"), elem_id=self.id(each.name), height=120
                )
            )
            for each in self.spec.inputs[1:]
        ]

    def lay_out_more(self) -> None:
        """Place what the task asks for between the video and the settings."""

    def lay_out_middle(self) -> None:
        """Place what the task shows above the card."""

    @property
    def more(self) -> list[Component]:
        """The components that hold what is asked for besides video and settings."""
        return [*self._others]

    @property
    def looked_at(self) -> list[Component]:
        """Those of `more` that hold files without which nothing can be inspected."""
        pairs = zip(self._others, self.spec.inputs[1:], strict=True)
        return [other for other, each in pairs if each.required(self._model())]

    @property
    def actions(self) -> list[Action]:
        """What can be asked for, the main thing last."""
        return [Action("run", self.task)]

    def ask(self, video: str | None, more: Sequence[Any], settings: Settings) -> FormRequest:
        """The question that the form's values stand for."""
        return FormRequest(video, tuple(file for file in more if file), settings)

    def played(self, video: Any, others: Sequence[Any]) -> str:
        """Which of the files the card plays."""
        return str(video)

    # -- layout ----------------------------------------------------------------------------------------------

    def id(self, name: str) -> str:
        """The id of one of the tab's elements."""
        return f"{self.task}-{name}"

    def _lay_out_question(self, main: Sequence[Sequence[str]]) -> None:
        texts = self.texts
        # No list of suffixes here or for other files: what a file is follows from its content.
        self.file = take_uploads_alone(
            gr.File(
                label=texts(f"longtake_input_{self.spec.inputs[0].name}"),
                elem_id=self.id("file"),
                height=150,
                scale=0,
            )
        )
        self.lay_out_inputs()
        self._example = gr.Button(texts(self.example_label), size="sm", elem_id=self.id("example"))
        self.lay_out_more()
        for row in main:
            with gr.Row():
                for name in row:
                    self.fields[name] = self.field(name)
        self.engines = EngineChoice(self.desk, texts, self.task, self._model, self.id, self.groups)
        self.fields |= self.engines.lay_out(self.field)
        with gr.Accordion(texts("longtake_more"), open=False):
            for name in self._names:
                if name not in self.fields and name not in self.placed_later:
                    self.fields[name] = self.field(name)
        with gr.Column(elem_classes="lt-ask"):
            self._buttons = [self._button(action) for action in self.actions]

    def _button(self, action: Action) -> gr.Button:
        return gr.Button(
            self.texts(f"longtake_{action.name}_{self.task}"),
            variant=action.variant,
            interactive=False,
            elem_id=self.id(action.name),
        )

    def field(self, name: str) -> Component:
        """The component of a setting, placed where it is made."""
        return forms.make_component(self._model, name, self.texts, self.id(f"setting-{name}"))

    def _tie_together(self) -> None:
        given = [self.file, *self.looked_at]
        self._example.click(self._give_example, None, given, **PRIVATE, concurrency_limit=1)
        settings = [self.fields[name] for name in self._names]
        watched = [self.fields[name] for name in self._names if name not in self.placed_later]
        gr.on(
            [component.change for component in (*given, *watched)],
            self._inspect,
            [*given, *settings],
            [self.card, *self._buttons, *self.engines.shown],
            trigger_mode="always_last",
            concurrency_limit=_LOOKS_AT_ONCE,
            **PRIVATE,
        )
        self.engines.accept.click(
            self._accept,
            [*given, *settings],
            [self.card, *self._buttons, *self.engines.shown],
            **PRIVATE,
            concurrency_limit=1,
        )
        self.asking = [
            button.click(
                self._starter(action),
                [self.file, *self.more, *settings],
                [self.run_view.link, self.card],
                **PRIVATE,
                concurrency_limit=None,
            )
            for button, action in zip(self._buttons, self.actions, strict=True)
        ]
        # A job that is gone leaves the card that it took the place of.
        self.run_view.link.change(
            lambda link: gr.skip() if link else gr.update(visible=True),
            [self.run_view.link],
            [self.card],
            **PRIVATE,
        )

    # -- handlers --------------------------------------------------------------------------------------------

    async def example(self) -> Any:
        """The files of an example: one, or one for each that is looked at. Raises LongtakeError."""
        return str(await example_clip(self.desk.queue.jobs_dir))

    async def _give_example(self) -> Any:
        try:
            return await self.example()
        except LongtakeError as error:
            raise shown(error) from error

    async def _inspect(self, video: str | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        """A look at the engines and, where there is a video, at that: the card, the buttons, what the choice shows."""
        others, values = values[: len(self.looked_at)], values[len(self.looked_at) :]
        wait = [gr.update(interactive=False)] * len(self._buttons)
        told = [gr.skip()] * len(self.engines.shown)
        complete = video is not None and all(others)
        first = render.looking() if complete else render.welcome(self.task)
        yield gr.update(value=first, visible=True), *wait, *told
        try:
            settings = self._read(values)
            look = await self.engines.look(settings)
            told = [*self.engines.updates(look)]
            # Before the look at the video, which takes longer.
            yield gr.skip(), *wait, *told
            if not complete:
                return
            plan = await self.desk.inspect(self.task, video, settings, others)
        except LongtakeError as error:
            if not complete:
                return
            # The card stays when the message has gone.
            yield render.refusal(error), *wait, *told
            raise shown(error) from error
        go = [gr.update(interactive=plan.risk != "cannot" and look.accepted)] * len(self._buttons)
        yield render.card(plan, self.played(video, others)), *go, *self.engines.updates(look, plan)

    async def _accept(self, video: str | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        """The licence of the chosen engine is accepted; the look is taken anew."""
        try:
            self.engines.give_consent(self._read(values[len(self.looked_at) :]).engine)
        except (LongtakeError, OSError) as error:
            raise shown(error) from error
        async for update in self._inspect(video, *values):
            yield update

    def _starter(self, action: Action) -> Any:
        async def start(request: gr.Request, video: str | None, *values: Any) -> tuple[Any, Any]:
            count = len(self.more)
            try:
                settings = self._read(values[count:])
                asked = await asyncio.to_thread(self.ask, video, values[:count], settings)
                settings, visitor = action.changed(asked.settings), self.desk.visitor(request)
                job = await self.desk.submit(visitor, action.task, asked.video, settings, asked.others)
            except (LongtakeError, OSError) as error:
                raise shown(error) from error
            return self.desk.query(job), gr.update(visible=False)

        return start

    def _read(self, values: Sequence[Any]) -> Settings:
        return forms.read(self._model, dict(zip(self._names, values, strict=True)))
