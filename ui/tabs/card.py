"""What a tab says of a form before a run: a card with the file's facts, and whether the buttons can be pressed."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.jobs.events import Planned
from pipelines.jobs.job import Job
from pipelines.settings import Settings
from ui.components.newest import NUMBERED, Newest
from ui.components.reason import Reason
from ui.components.run_view import PRIVATE
from ui.components.settings_form import SettingsForm
from ui.components.updates import ends_quietly
from ui.jobs.hashing import fingerprint
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.render import film
from ui.render import job as render
from ui.server.answers import visitor_error
from ui.server.visitors import Visitor
from ui.tabs.parts import FileProblem

_INSPECTIONS_AT_ONCE = 2
_GATE = """(verdict, ...marks) => {
  const isMarked = !marks.length || marks.some((mark) => typeof mark === "string" ? mark.trim() : mark);
  const why = verdict !== "ready" ? undefined : isMarked ? "" : NO_MARKS;
  return [why, ...Array(BUTTONS).fill({ __type__: "update", interactive: why === "" })];
}"""
"""The reason why nothing can run, left as it is where nothing is ready, and the buttons, in the browser.

Answers of a server may come in another order than they were asked for: buttons would stay as they were before a mark.
"""


class InspectedForm(Protocol):
    """The tab whose form is checked."""

    form: SettingsForm

    @property
    def required_files(self) -> list[Component]:
        """The file components, beside the first, without which nothing can be inspected."""

    @property
    def marks(self) -> list[Any]:
        """The components of which one has to have a value before a run."""

    async def check_files(
        self, visitor: Visitor, video: str, settings: Settings, engine: str
    ) -> FileProblem | None:
        """Look for what keeps `engine` from using the first file."""

    def played(self, video: Any, others: Sequence[Any]) -> str:
        """The path of the file that the card plays."""


class FileCard:
    """The card, placed where this is constructed; `connect` fills it and gates the buttons."""

    _tab: InspectedForm
    _reason: Reason
    _buttons: Sequence[gr.Button]

    def __init__(self, service: JobService, texts: gr.I18n, task: str, elem_id: str) -> None:
        self._service = service
        self._task = task
        self._inspections = Newest()
        self.card = gr.HTML(render.welcome(task), elem_id=elem_id)
        # The style sheet shows it where the browser has told that it cannot play the file.
        self._view_here = gr.Button(
            texts("longtake_view_here"), size="sm", elem_classes="lt-view-upload", scale=0
        )
        self._making = gr.HTML()
        self._number = gr.Textbox(visible="hidden")
        self._verdict = gr.Textbox("no_file", visible="hidden")

    def connect(
        self,
        tab: InspectedForm,
        files: Sequence[Any],
        watched: Sequence[Any],
        reason: Reason,
        buttons: Sequence[gr.Button],
    ) -> None:
        """Inspect `files` with the settings of the form whenever one of them or of `watched` changes."""
        self._tab, self._reason, self._buttons = tab, reason, buttons
        engines = tab.form.engines
        asked = [*files, *tab.form.components, self._number]
        shown = [self.card, self._verdict, reason.component, *buttons, *engines.shown]
        inspected = gr.on(
            [component.change for component in (*files, *watched)],
            self.inspect_form,
            asked,
            shown,
            trigger_mode="always_last",
            concurrency_limit=_INSPECTIONS_AT_ONCE,
            js=NUMBERED,
            **PRIVATE,
        )
        accepted = engines.accept.click(
            self._accept, asked, shown, js=NUMBERED, concurrency_limit=1, **PRIVATE
        )
        making: dict[str, Any] = {**PRIVATE, "trigger_mode": "once", "concurrency_limit": None}
        made = self._view_here.click(self._make_viewable, list(files), [self._making], **making)
        inspected_anew = made.success(self.inspect_form, asked, shown, js=NUMBERED, **PRIVATE)
        # What is marked while a file is inspected counts, so the buttons are set by what is there after it.
        gate = _GATE.replace("NO_MARKS", json.dumps(reason.text("no_marks"))).replace(
            "BUTTONS", str(len(buttons))
        )
        events = (event.then for event in (inspected, accepted, inspected_anew))
        for event in (*events, *(mark.change for mark in tab.marks)):
            event(None, [self._verdict, *tab.marks], [reason.component, *buttons], js=gate, **PRIVATE)

    # -- handlers --------------------------------------------------------------------------------------------

    @ends_quietly
    async def inspect_form(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Inspect the form, until the visit inspects it anew; yields updates of card, buttons and engine choice.

        Raises nothing: Gradio forgets the event that waits for one that fails. The card shows the error.
        """
        *asked, number = values
        with self._inspections.run(request, number) as is_newest:
            async with aclosing(self._inspection(request, video, *asked)) as updates:
                async for update in updates:
                    if not is_newest():
                        return
                    yield update

    async def _inspection(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncGenerator[tuple[Any, ...]]:
        """Inspect the engines and, where there is one, the video."""
        others, values = values[: len(self._tab.required_files)], values[len(self._tab.required_files) :]
        complete = video is not None and all(others)
        first = render.inspecting() if complete else render.welcome(self._task)
        yield self._shown(gr.update(value=first, visible=True), "looking" if complete else "no_file")
        try:
            settings = self._tab.form.read(values)
            engines = await self._tab.form.engines.inspect(settings)
            choice = [*self._tab.form.engines.updates(engines)]
            # Shown before the video is inspected, which takes longer.
            yield self._shown(gr.skip(), "looking" if complete else "no_file", choice)
            if not complete:
                return
            visitor = self._service.visitor(request)
            plan = await self._service.inspect(visitor, self._task, video, settings, others)
        except LongtakeError as error:
            if complete:
                yield self._shown(render.refusal(error), "refused")
            return
        card = await self._card(plan, self._tab.played(video, others))
        yield self._shown(card, "looking", self._tab.form.engines.updates(engines, plan))
        verdict = "cannot" if plan.risk == "cannot" else "ready" if engines.accepted else "consent"
        problem = None
        if verdict == "ready":
            problem = await self._tab.check_files(visitor, str(video), settings, engines.runs)
        if problem and problem.blocks:
            verdict = "refused"
        yield self._shown(card + problem.note if problem else gr.skip(), verdict)

    async def _card(self, plan: Planned, played: str) -> str:
        """The card of a file, with the version for viewing where one was made."""
        made = self._service.viewing.find(await fingerprint(Path(played)))
        if made is None:
            return render.card(plan, played)
        key = self._service.keys.files(Job(made.parent))
        return render.card(plan, hand_out(made, Path(self.card.GRADIO_CACHE), key), is_made=True)

    @ends_quietly
    async def _make_viewable(
        self, request: gr.Request, video: str | None, *others: Any
    ) -> AsyncIterator[str]:
        """Make a version of the file on the card that any browser plays."""
        try:
            visitor, played = self._service.visitor(request), self._tab.played(video, others)
            made = await self._service.make_upload_viewable(visitor, played)
            async with aclosing(self._service.watch(made)) as views:
                async for view in views:
                    yield film.making("viewing.making", view.status.done, view.status.total)
            yield film.not_made(view.status.message) if view.status.state != "done" else ""
        except (LongtakeError, OSError) as error:
            yield ""
            raise visitor_error(error) from error

    def _shown(self, card: Any, verdict: str, choice: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Values for card, verdict, reason, buttons and engines, while it is open whether something can run."""
        told = gr.skip() if verdict == "ready" else self._reason.text(verdict)
        buttons = [gr.update(interactive=False) if verdict != "ready" else gr.skip()] * len(self._buttons)
        return card, verdict, told, *buttons, *(choice or [gr.skip()] * len(self._tab.form.engines.shown))

    @ends_quietly
    async def _accept(
        self, request: gr.Request, video: str | None, *values: Any
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Record that the licence of the chosen engine is accepted, and inspect again."""
        try:
            self._tab.form.engines.accept_licence(
                self._tab.form.read(values[len(self._tab.required_files) : -1]).engine
            )
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        async for update in self.inspect_form(request, video, *values):
            yield update
