"""The tab of a task: choose a video, see its facts and the memory that a run would take, run it, watch it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.jobs.events import Planned
from pipelines.jobs.job import Job
from pipelines.settings import Settings
from pipelines.spec import TaskSpec, settings_model
from pipelines.storage.names import shortened
from ui.components import forms, own_settings
from ui.components.engine_choice import EngineChoice
from ui.components.newest import Newest
from ui.components.run_view import PRIVATE, RunView, parse_link
from ui.i18n.texts import input_key, plain
from ui.jobs import again
from ui.jobs.hashing import fingerprint
from ui.jobs.service import JobService
from ui.jobs.uploads import example_clip, hand_out, uploads_only
from ui.render import film
from ui.render import job as render
from ui.server.answers import visitor_error
from ui.server.visitors import Visitor

_INSPECTIONS_AT_ONCE = 2


def _unchanged(settings: Settings) -> Settings:
    return settings


@dataclass(frozen=True)
class Action:
    """A button that submits a job of `task`; `change` derives its settings from those of the form."""

    name: str
    task: str
    variant: Literal["primary", "secondary"] = "primary"
    change: Callable[[Settings], Settings] = _unchanged


@dataclass(frozen=True)
class FormRequest:
    """The contents of a form: a video, the other files that the task reads, and settings."""

    video: str | None
    others: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True)
class FileProblem:
    """What a tab finds about a form's files beside the plan: a note as HTML, and whether it rules out a run."""

    note: str
    blocks: bool


class TaskTab:
    """The tab of `spec`'s task, laid out where it is constructed; tasks with more to ask for have a subclass.

    Every other task has this one: its files, its settings, and a button that runs it.
    """

    main: Sequence[Sequence[str]] = (("quality",), ("start", "end"))
    """The settings that are visible at once, row by row."""
    placed_later: tuple[str, ...] = ()
    """Settings that a subclass places in `fields` itself, in the middle; a change of them needs no new inspection."""
    example_label = "longtake_example"
    groups: Mapping[str, Sequence[str]] = MappingProxyType({})
    """Headings over some of the engines' options, and the settings below each."""

    def __init__(self, service: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        self.service = service
        self.texts = texts
        self.spec = spec
        self.task = spec.name
        self._model = settings_model(spec.name)
        self._names = forms.field_names(self._model)
        self.fields: dict[str, Any] = {}
        self._inspections = Newest()
        with gr.Row(equal_height=False, elem_classes="lt-task"):
            with gr.Column(scale=4, min_width=300, elem_classes="lt-question"):
                self._lay_out_form(self.main)
            with gr.Column(scale=9, min_width=320):
                self.lay_out_middle()
                self.card = gr.HTML(render.welcome(self.task), elem_id=self.id("card"))
                # The style sheet shows it where the browser has told that it cannot play the file.
                self._view_here = gr.Button(
                    texts("longtake_view_here"), size="sm", elem_classes="lt-view-upload", scale=0
                )
                self._making = gr.HTML()
                self.run_view = RunView(service, texts)
        self._connect()

    # -- for subclasses --------------------------------------------------------------------------------------

    def lay_out_inputs(self) -> None:
        """Place the task's other files, below the first."""
        self._others = [
            uploads_only(
                gr.File(
                    label=self.texts(input_key(self.task, each.name)), elem_id=self.id(each.name), height=120
                )
            )
            for each in self.spec.inputs[1:]
        ]

    def lay_out_more(self) -> None:
        """Place what the task asks for between the files and the settings."""

    def lay_out_middle(self) -> None:
        """Place what the task shows above the card."""

    @property
    def more(self) -> list[Component]:
        """The components, besides video and settings, whose values `read_form` gets."""
        return [*self._others]

    @property
    def required_files(self) -> list[Component]:
        """The file components of `more` without which nothing can be inspected."""
        pairs = zip(self._others, self.spec.inputs[1:], strict=True)
        return [other for other, each in pairs if each.required(self._model())]

    @property
    def actions(self) -> list[Action]:
        """The buttons, the main one last."""
        return [Action("run", self.task)]

    async def read_form(
        self, visitor: Visitor, video: str | None, more: Sequence[Any], settings: Settings
    ) -> FormRequest:
        """The form's values as a request of `visitor`; `more` are the values of the components in `more`."""
        return FormRequest(video, tuple(file for file in more if file), settings)

    async def check_files(
        self, visitor: Visitor, video: str, settings: Settings, engine: str
    ) -> FileProblem | None:
        """Look for what keeps `engine` from using the first file, once its plan fits; takes longer than the plan."""
        return None

    def filled(self, asked: again.Again) -> list[Any]:
        """The values of the components in `more` for a job's question that is asked again."""
        others = asked.files[1:]
        return [others[number] if number < len(others) else None for number in range(len(self._others))]

    def remember(self, job: Job, more: Sequence[Any]) -> None:
        """Note what only the form knows of a job that was submitted; `more` are the values of those components."""

    def played(self, video: Any, others: Sequence[Any]) -> str:
        """The path of the file that the card plays."""
        return str(video)

    # -- layout ----------------------------------------------------------------------------------------------

    def id(self, name: str) -> str:
        """The id of one of the tab's elements."""
        return f"{self.task}-{name}"

    def _lay_out_form(self, main: Sequence[Sequence[str]]) -> None:
        texts = self.texts
        # No list of suffixes here or for other files: what a file is follows from its content.
        self.file = uploads_only(
            gr.File(
                label=texts(input_key(self.task, self.spec.inputs[0].name)),
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
        self.engines = EngineChoice(self.service, texts, self.task, self._model, self.id, self.groups)
        self.fields |= self.engines.lay_out(self.field)
        with gr.Accordion(texts("longtake_more"), open=False):
            for name in self._names:
                if name not in self.fields and name not in self.placed_later:
                    self.fields[name] = self.field(name)
        gr.HTML(own_settings.row(self.task))
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
        """The component of a setting, placed where this is called."""
        return forms.make_component(self._model, name, self.texts, self.id(f"setting-{name}"))

    def _connect(self) -> None:
        files = [self.file, *self.required_files]
        self._example.click(self._load_example, None, files, **PRIVATE, concurrency_limit=1)
        settings = [self.fields[name] for name in self._names]
        watched = [self.fields[name] for name in self._names if name not in self.placed_later]
        gr.on(
            [component.change for component in (*files, *watched)],
            self._inspect,
            [*files, *settings],
            [self.card, *self._buttons, *self.engines.shown],
            trigger_mode="always_last",
            concurrency_limit=_INSPECTIONS_AT_ONCE,
            **PRIVATE,
        )
        self.engines.accept.click(
            self._accept,
            [*files, *settings],
            [self.card, *self._buttons, *self.engines.shown],
            **PRIVATE,
            concurrency_limit=1,
        )
        self._view_here.click(
            self._make_viewable, files, [self._making], **PRIVATE, trigger_mode="once", concurrency_limit=None
        ).success(
            self._inspect, [*files, *settings], [self.card, *self._buttons, *self.engines.shown], **PRIVATE
        )
        self.submitted = [
            button.click(
                self._starter(action),
                [self.file, *self.more, *settings],
                [self.run_view.link, self.card],
                **PRIVATE,
                concurrency_limit=None,
            )
            for button, action in zip(self._buttons, self.actions, strict=True)
        ]
        self.run_view.ask_again(self._ask_again, [self.file, *self.more, *settings])
        # When a job is deleted, the card that it had replaced comes back.
        self.run_view.link.change(
            lambda link: gr.skip() if link else gr.update(visible=True),
            [self.run_view.link],
            [self.card],
            **PRIVATE,
        )

    @property
    def own_form(self) -> own_settings.Form:
        """The settings that the browser keeps."""
        return own_settings.Form(
            self.task, self._model, [self.fields[name] for name in self._names], self._names
        )

    # -- handlers --------------------------------------------------------------------------------------------

    async def example(self) -> Any:
        """The example's file, or one for each required file. Raises LongtakeError."""
        return str(await example_clip(self.service.queue.jobs_dir))

    async def _load_example(self) -> Any:
        try:
            return await self.example()
        except LongtakeError as error:
            raise visitor_error(error) from error

    async def _ask_again(self, request: gr.Request, link: str) -> list[Any]:
        """Fill the form with the question of a job: its files as far as they are kept, its marks and settings."""
        try:
            service, visitor = self.service, self.service.visitor(request)
            job = service.find(visitor, *parse_link(link))
            asked = await again.again(service, visitor, job, Path(self.file.GRADIO_CACHE))
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        return self.fill(asked)

    @property
    def filled_components(self) -> list[Any]:
        """The components that `fill` gives values to."""
        return [self.file, *self.more, *(self.fields[name] for name in self._names)]

    def fill(self, asked: again.Again) -> list[Any]:
        """Values that show a question in the form; tells which of its files have to be chosen again."""
        if missing := [name for name, file in zip(asked.names, asked.files, strict=True) if file is None]:
            gr.Info(plain("again.choose", names=", ".join(map(shortened, missing))))
        settings = [
            forms.fitting(self._model, name, asked.asked[name])
            if name in asked.asked
            else forms.default(self._model, name)
            for name in self._names
        ]
        return [asked.files[0], *self.filled(asked), *settings]

    async def _inspect(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Inspect the form, until the visit inspects it anew; yields updates of card, buttons and engine choice.

        Raises nothing: Gradio forgets the event that waits for one that fails. The card shows the error.
        """
        with self._inspections.run(request) as is_newest:
            async with aclosing(self._inspection(request, video, *values)) as updates:
                async for update in updates:
                    if not is_newest():
                        return
                    yield update

    async def _inspection(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncGenerator[tuple[Any, ...]]:
        """Inspect the engines and, where there is one, the video."""
        others, values = values[: len(self.required_files)], values[len(self.required_files) :]
        disabled = [gr.update(interactive=False)] * len(self._buttons)
        choice = [gr.skip()] * len(self.engines.shown)
        complete = video is not None and all(others)
        first = render.inspecting() if complete else render.welcome(self.task)
        yield gr.update(value=first, visible=True), *disabled, *choice
        try:
            settings = self._read(values)
            engines = await self.engines.inspect(settings)
            choice = [*self.engines.updates(engines)]
            # Shown before the video is inspected, which takes longer.
            yield gr.skip(), *disabled, *choice
            if not complete:
                return
            visitor = self.service.visitor(request)
            plan = await self.service.inspect(visitor, self.task, video, settings, others)
        except LongtakeError as error:
            if complete:
                yield render.refusal(error), *disabled, *choice
            return
        card = await self._card(plan, self.played(video, others))
        yield card, *disabled, *self.engines.updates(engines, plan)
        ready, problem = plan.risk != "cannot" and engines.accepted, None
        if ready:
            problem = await self.check_files(visitor, str(video), settings, engines.runs)
        buttons = [gr.update(interactive=ready and not (problem and problem.blocks))] * len(self._buttons)
        noted = card + problem.note if problem else gr.skip()
        yield noted, *buttons, *[gr.skip()] * len(self.engines.shown)

    async def _card(self, plan: Planned, played: str) -> str:
        """The card of a file, with the version for viewing where one was made."""
        made = self.service.viewing.find(await fingerprint(Path(played)))
        if made is None:
            return render.card(plan, played)
        key = self.service.keys.files(Job(made.parent))
        return render.card(plan, hand_out(made, Path(self.file.GRADIO_CACHE), key), is_made=True)

    async def _make_viewable(
        self, request: gr.Request, video: str | None, *others: Any
    ) -> AsyncIterator[str]:
        """Make a version of the file on the card that any browser plays."""
        try:
            visitor, played = self.service.visitor(request), self.played(video, others)
            made = await self.service.make_upload_viewable(visitor, played)
            async with aclosing(self.service.watch(made)) as views:
                async for view in views:
                    yield film.making("viewing.making", view.status.done, view.status.total)
            yield film.not_made(view.status.message) if view.status.state != "done" else ""
        except (LongtakeError, OSError) as error:
            yield ""
            raise visitor_error(error) from error

    async def _accept(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Record that the licence of the chosen engine is accepted, and inspect again."""
        try:
            self.engines.accept_licence(self._read(values[len(self.required_files) :]).engine)
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        async for update in self._inspect(request, video, *values):
            yield update

    def _starter(self, action: Action) -> Any:
        async def start(request: gr.Request, video: str | None, *values: Any) -> tuple[Any, Any]:
            count = len(self.more)
            try:
                settings, visitor = self._read(values[count:]), self.service.visitor(request)
                form = await self.read_form(visitor, video, values[:count], settings)
                settings = action.change(form.settings)
                job = await self.service.submit(visitor, action.task, form.video, settings, form.others)
                self.remember(job, values[:count])
            except (LongtakeError, OSError) as error:
                raise visitor_error(error) from error
            return self.service.query(visitor, job), gr.update(visible=False)

        return start

    def _read(self, values: Sequence[Any]) -> Settings:
        return forms.read(self._model, dict(zip(self._names, values, strict=True)))
