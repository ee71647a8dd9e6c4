"""The choice of an engine: what each needs and finds here, which one will run, its licence, and its own options."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.engines.availability import Availability, auto_choice, offers
from pipelines.jobs.events import Planned
from pipelines.settings import Settings, engine_of
from pipelines.spec import BUILT_IN, engine_spec, engines_of
from pipelines.weights import licences
from ui.components import forms
from ui.components.option_sheet import OptionSheet, grouped
from ui.jobs.service import JobService
from ui.render import engines


class EngineChoices:
    """The engines of a task as they could run here with some settings."""

    def __init__(self, task: str, settings: Settings) -> None:
        self.offers: list[Availability] = offers(task, settings)
        self.chosen = settings.engine
        self.runs = auto_choice(self.offers).spec.name if settings.engine == "auto" else settings.engine

    @property
    def offer(self) -> Availability:
        """The engine that would run."""
        return next(offer for offer in self.offers if offer.spec.name == self.runs)

    @property
    def accepted(self) -> bool:
        """Whether the licence of that engine is accepted."""
        return self.offer.accepted


class EngineChoice:
    """The engine choice of a task's form. `headings` group some of the options of engines.

    `shown` are the components that `updates` has values for.
    """

    def __init__(
        self,
        service: JobService,
        texts: gr.I18n,
        task: str,
        model: type[Settings],
        id: Callable[[str], str],
        headings: Mapping[str, Sequence[str]],
    ) -> None:
        self._service = service
        self._texts = texts
        self._task = task
        self._model = model
        self._engines = engines_of(task)
        self._id = id
        self._headings = headings
        self.sheets: dict[str, OptionSheet] = {}
        """The options of each engine that has some."""
        self.shown: list[Any] = []

    def lay_out(self) -> Component:
        """Place the choice and the options of each engine; returns the component of the choice."""
        titles = {"auto": self._texts("longtake_auto"), **{name: self._title(name) for name in self._engines}}
        radio = forms.make_component(
            self._model, "engine", self._texts, self._id("setting-engine"), titles=titles
        )
        # What each is and needs stands in the notes below.
        radio.info = None
        self._notes = gr.HTML(
            self._render_notes(EngineChoices(self._task, self._model()), None), elem_id=self._id("engines")
        )
        with gr.Column(elem_classes="lt-consent-block"):  # hidden by the style sheet without a licence
            self._licence = gr.HTML()
            self.accept = gr.Button(
                self._texts("longtake_accept"),
                size="sm",
                visible=self._service.policy.local,
                elem_id=self._id("accept"),
            )
        for engine in self._engines:
            names = [name for name in self._model.model_fields if engine_of(self._model, name) == engine]
            if names:
                self.sheets[engine] = OptionSheet(
                    self._model,
                    grouped(names, self._headings),
                    self._id("setting-"),
                    self._id(f"options-{engine}"),
                    fold="group.options",
                    visible=False,
                )
        self.shown = [
            self._notes,
            self._licence,
            *(sheet.component for sheet in self.sheets.values()),
        ]
        return radio

    async def inspect(self, settings: Settings) -> EngineChoices:
        """Check weights, licence and device of each engine for `settings`, in a thread."""
        return await asyncio.to_thread(EngineChoices, self._task, settings)

    def updates(self, choices: EngineChoices, plan: Planned | None = None) -> tuple[Any, ...]:
        """The values of `shown`; `plan` is that of the engine that would run."""
        offer = choices.offer
        needs_consent = offer.spec.weights is not None and offer.error is None and not offer.accepted
        licence = ""
        if offer.spec.weights and needs_consent:
            licence = engines.consent(offer.spec.weights, local=self._service.policy.local)
        options = (gr.update(visible=engine == choices.runs) for engine in self.sheets)
        return self._render_notes(choices, plan), licence, *options

    def accept_licence(self, engine: str) -> None:
        """Record that the licence of an engine's weights is accepted. Raises OSError where that cannot be written."""
        weights = engine_spec(self._task, engine).weights
        if self._service.policy.local and weights:
            licences.accept(weights.model)

    def _title(self, engine: str) -> Any:
        """An engine's title; that of the built-in one is translated."""
        spec = self._engines[engine]
        return spec.title if spec.title != BUILT_IN else self._texts("longtake_builtin")

    def _render_notes(self, choices: EngineChoices, plan: Planned | None) -> str:
        return engines.engine_notes(
            choices.offers, choices.chosen, choices.runs, plan, local=self._service.policy.local
        )
