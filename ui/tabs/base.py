"""The tab of a task: choose a video, see its facts and the memory that a run would take, run it, watch it."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.jobs.events import Planned
from pipelines.jobs.job import Job
from pipelines.settings import Settings
from pipelines.spec import TaskSpec, settings_model
from pipelines.storage.names import shortened
from ui.components import own_settings
from ui.components.newest import Newest
from ui.components.option_sheet import Groups
from ui.components.reason import Reason
from ui.components.run_view import PRIVATE, RunView, parse_link
from ui.components.settings_form import SettingsForm
from ui.i18n.texts import input_key, plain
from ui.jobs import again
from ui.jobs.hashing import fingerprint
from ui.jobs.service import JobService
from ui.jobs.uploads import example_clip, hand_out, uploads_only
from ui.render import film
from ui.render import job as render
from ui.server.answers import visitor_error
from ui.server.visitors import Visitor
from ui.tabs.parts import Action, FileProblem, FormRequest

_INSPECTIONS_AT_ONCE = 2
_PICTURES = Path(__file__).parents[1] / "pictures"
"""Pictures of the examples by task, before and after side by side, made by `docs/gallery.py`."""


_MARKED = "(...marks) => marks.map((mark) => typeof mark === 'string' ? mark.trim().slice(0, 1) : mark)"
"""Of marks, the server needs to know only whether there are some: strokes have up to 400 kB."""


class TaskTab:
    """The tab of `spec`'s task, laid out where it is constructed; tasks with more to ask for have a subclass.

    Every other task has this one: its files, its settings, and a button that runs it.
    """

    main: Sequence[str] = ("quality", "start", "end")
    """The settings that are visible at once."""
    placed_later: Sequence[str] = ()
    """Settings that a subclass places in the middle; a change of them needs no new inspection."""
    example_label = "longtake_example"
    groups: Groups = MappingProxyType({})
    """Headings over some of the engines' options, and the settings below each."""

    def __init__(self, service: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        self.service = service
        self.texts = texts
        self.spec = spec
        self.task = spec.name
        self._model = settings_model(spec.name)
        self._inspections = Newest()
        self.form = SettingsForm(service, texts, spec.name, self._model, self.id)
        # In the order in which they are used, which is that of the keyboard; the style sheet makes two columns.
        with gr.Row(equal_height=False, elem_classes="lt-task"):
            with gr.Column(elem_classes="lt-source", min_width=280):
                self._lay_out_source()
            with gr.Column(elem_classes="lt-answer", min_width=280):
                self.lay_out_middle()
                self.card = gr.HTML(render.welcome(self.task), elem_id=self.id("card"))
                # The style sheet shows it where the browser has told that it cannot play the file.
                self._view_here = gr.Button(
                    texts("longtake_view_here"), size="sm", elem_classes="lt-view-upload", scale=0
                )
                self._making = gr.HTML()
                self._lay_out_gallery()
                self.run_view = RunView(service, texts)
            with gr.Column(elem_classes="lt-question", min_width=280):
                self._lay_out_form()
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
    def marks(self) -> list[Any]:
        """The components of which one has to have a value before a run; empty where nothing has to be marked."""
        return []

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

    def _lay_out_source(self) -> None:
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

    def _lay_out_gallery(self) -> None:
        """Place the picture of the example, which runs at a click."""
        picture = _PICTURES / f"{self.task}.webp"
        with gr.Column(elem_classes="lt-examples", visible=picture.exists()):
            self._try_example = gr.Button(
                self.texts(f"longtake_example_{self.task}_run"),
                icon=picture if picture.exists() else None,
                elem_id=self.id("try-example"),
            )

    def _lay_out_form(self) -> None:
        self.lay_out_more()
        self.form.lay_out(self.main, self.groups, self.placed_later)
        self.engines = self.form.engines
        gr.HTML(own_settings.row(self.task))
        with gr.Column(elem_classes="lt-ask"):
            self.reason = Reason(self.task, self.id("why"))
            self._buttons = [self._button(action) for action in self.actions]

    def _button(self, action: Action) -> gr.Button:
        return gr.Button(
            self.texts(f"longtake_{action.name}_{self.task}"),
            variant=action.variant,
            interactive=False,
            elem_id=self.id(action.name),
        )

    def _connect(self) -> None:
        files = [self.file, *self.required_files]
        self._example.click(self._load_example, None, files, **PRIVATE, concurrency_limit=1)
        watched = [
            *(sheet.component for sheet in self.form.sheets),
            *(f for name, f in self.form.fields.items() if name not in self.placed_later),
        ]
        verdict = gr.State("no_file")
        shown = [self.card, verdict, self.reason.component, *self._buttons, *self.engines.shown]
        inspected = gr.on(
            [component.change for component in (*files, *watched)],
            self._inspect,
            [*files, *self.form.components],
            shown,
            trigger_mode="always_last",
            concurrency_limit=_INSPECTIONS_AT_ONCE,
            **PRIVATE,
        )
        accepted = self.engines.accept.click(
            self._accept, [*files, *self.form.components], shown, **PRIVATE, concurrency_limit=1
        )
        # What is marked while a file is inspected counts, so the buttons are set by what is there after it.
        gate: dict[str, Any] = {**PRIVATE, "queue": False, "js": _MARKED}
        for event in (inspected, accepted):
            event.then(
                self._set_buttons, [verdict, *self.marks], [self.reason.component, *self._buttons], **gate
            )
        for mark in self.marks:
            mark.change(
                self._set_buttons, [verdict, *self.marks], [self.reason.component, *self._buttons], **gate
            )
        making: dict[str, Any] = {**PRIVATE, "trigger_mode": "once", "concurrency_limit": None}
        self._view_here.click(self._make_viewable, files, [self._making], **making).success(
            self._inspect, [*files, *self.form.components], shown, **PRIVATE
        ).then(self._set_buttons, [verdict, *self.marks], [self.reason.component, *self._buttons], **gate)
        outputs = [self.run_view.link, self.card]
        self.submitted = [
            button.click(
                self._starter(action),
                [self.file, *self.more, *self.form.components],
                outputs,
                **PRIVATE,
                concurrency_limit=None,
            )
            for button, action in zip(self._buttons, self.actions, strict=True)
        ]
        self.submitted.append(
            self._try_example.click(self._run_example, None, outputs, **PRIVATE, concurrency_limit=1)
        )
        self.run_view.ask_again(self._ask_again, self.filled_components)
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
        names = [""] * len(self.form.sheets) + list(self.form.fields)
        return own_settings.Form(self.task, self._model, self.form.components, names)

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
        return [self.file, *self.more, *self.form.components]

    def fill(self, asked: again.Again) -> list[Any]:
        """Values that show a question in the form; tells which of its files have to be chosen again."""
        if missing := [name for name, file in zip(asked.names, asked.files, strict=True) if file is None]:
            gr.Info(plain("again.choose", names=", ".join(map(shortened, missing))))
        return [asked.files[0], *self.filled(asked), *self.form.showing(asked.asked)]

    async def example_request(self) -> FormRequest:
        """The run of the example in the gallery. Raises LongtakeError."""
        files = await self.example()
        first, *others = [files] if isinstance(files, str) else files
        return FormRequest(first, tuple(others), self._model())

    async def _run_example(self, request: gr.Request) -> tuple[Any, Any]:
        try:
            visitor, form = self.service.visitor(request), await self.example_request()
            job = await self.service.submit(visitor, self.task, form.video, form.settings, form.others)
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        return self.service.query(visitor, job), gr.update(visible=False)

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
        complete = video is not None and all(others)
        first = render.inspecting() if complete else render.welcome(self.task)
        yield self._shown(gr.update(value=first, visible=True), "looking" if complete else "no_file")
        try:
            settings = self.form.read(values)
            engines = await self.engines.inspect(settings)
            choice = [*self.engines.updates(engines)]
            # Shown before the video is inspected, which takes longer.
            yield self._shown(gr.skip(), "looking" if complete else "no_file", choice)
            if not complete:
                return
            visitor = self.service.visitor(request)
            plan = await self.service.inspect(visitor, self.task, video, settings, others)
        except LongtakeError as error:
            if complete:
                yield self._shown(render.refusal(error), "refused")
            return
        card = await self._card(plan, self.played(video, others))
        yield self._shown(card, "looking", self.engines.updates(engines, plan))
        verdict = "cannot" if plan.risk == "cannot" else "ready" if engines.accepted else "consent"
        problem = None
        if verdict == "ready":
            problem = await self.check_files(visitor, str(video), settings, engines.runs)
        if problem and problem.blocks:
            verdict = "refused"
        yield self._shown(card + problem.note if problem else gr.skip(), verdict)

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

    def _shown(self, card: Any, verdict: str, choice: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Values for card, verdict, reason, buttons and engines, while it is open whether something can run."""
        told = gr.skip() if verdict == "ready" else self.reason.text(verdict)
        buttons = [gr.update(interactive=False) if verdict != "ready" else gr.skip()] * len(self._buttons)
        return card, verdict, told, *buttons, *(choice or [gr.skip()] * len(self.engines.shown))

    def _set_buttons(self, verdict: str, *marked: Any) -> tuple[Any, ...]:
        """The reason why nothing can run, and the buttons, which can be pressed where there is none."""
        why = "no_marks" if verdict == "ready" and marked and not any(marked) else verdict
        enabled = gr.update(interactive=why == "ready")
        return self.reason.text(why), *[enabled] * len(self._buttons)

    async def _accept(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Record that the licence of the chosen engine is accepted, and inspect again."""
        try:
            self.engines.accept_licence(self.form.read(values[len(self.required_files) :]).engine)
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        async for update in self._inspect(request, video, *values):
            yield update

    def _starter(self, action: Action) -> Any:
        async def start(request: gr.Request, video: str | None, *values: Any) -> tuple[Any, Any]:
            count = len(self.more)
            try:
                settings, visitor = self.form.read(values[count:]), self.service.visitor(request)
                form = await self.read_form(visitor, video, values[:count], settings)
                settings = action.change(form.settings)
                job = await self.service.submit(visitor, action.task, form.video, settings, form.others)
                self.remember(job, values[:count])
            except (LongtakeError, OSError) as error:
                raise visitor_error(error) from error
            return self.service.query(visitor, job), gr.update(visible=False)

        return start
