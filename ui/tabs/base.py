"""The tab of a task: choose a video, see its facts and the memory that a run would take, run it, watch it."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.jobs.job import Job
from pipelines.settings import Settings
from pipelines.spec import TaskSpec, settings_model
from pipelines.storage.names import shortened
from pipelines.storage.paths import PROJECT_ROOT
from ui.components import own_settings
from ui.components.option_sheet import Groups
from ui.components.reason import Reason
from ui.components.run_view import PRIVATE, RunView, parse_link
from ui.components.settings_form import SettingsForm
from ui.i18n.texts import input_key, plain
from ui.jobs import again
from ui.jobs.service import JobService
from ui.jobs.uploads import example_clip, uploads_only
from ui.server.answers import visitor_error
from ui.server.visitors import Visitor
from ui.tabs.card import FileCard
from ui.tabs.parts import Action, FileProblem, FormRequest

_PICTURES = PROJECT_ROOT / "ui" / "pictures"
"""Pictures of the examples by task, before and after side by side, made by `docs/gallery.py`."""

_CARD_WITHOUT_JOB = "(link) => (link ? undefined : { __type__: 'update', visible: true })"


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
        self.form = SettingsForm(service, texts, spec.name, self._model, self.id)
        # In the order in which they are used, which is that of the keyboard; the style sheet makes two columns.
        with gr.Row(equal_height=False, elem_classes="lt-task"):
            with gr.Column(elem_classes="lt-source", min_width=280):
                self._lay_out_source()
            with gr.Column(elem_classes="lt-answer", min_width=280):
                self.lay_out_middle()
                self.inspected = FileCard(service, texts, self.task, self.id("card"))
                self.card = self.inspected.card
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
        # Served from where it is: Gradio's cache, into which it would be copied, is emptied of what is old.
        gr.set_static_paths([_PICTURES])
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
        self.inspected.connect(self, files, watched, self.reason, self._buttons)
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
        # When a job is deleted, the card that it had replaced comes back. A server that was asked might answer only
        # when the next job has begun.
        self.run_view.link.change(None, [self.run_view.link], [self.card], js=_CARD_WITHOUT_JOB, **PRIVATE)

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
            asked = await self.asked_by(request, link)
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        return self.fill(asked)

    async def asked_by(self, request: gr.Request, link: str) -> again.Again:
        """The question of the job of `link`, for its own visitor. Raises LongtakeError."""
        service, visitor = self.service, self.service.visitor(request)
        job = service.find(visitor, *parse_link(link))
        return await again.again(service, visitor, job, Path(self.file.GRADIO_CACHE))

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
