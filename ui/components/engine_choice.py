"""The choice of an engine: what each needs and has here, which one will run, its licence, and its own options."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.engines.availability import Availability, auto_choice, offers
from pipelines.jobs.events import Planned
from pipelines.settings import Settings, engine_of
from pipelines.spec import BUILT_IN, engine_spec, engines_of
from pipelines.weights.licences import accept
from ui.components import forms
from ui.jobs.service import JobService
from ui.render import engines


class EngineChoices:
    """The engines of a task, looked at for some settings."""

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
        """Whether its licence is."""
        return self.offer.accepted


class EngineChoice:
    """Lays out the choice where it is made; tasks with one engine have none to make.

    `field` makes the component of a setting, placed where it is called.
    """

    def __init__(
        self,
        desk: JobService,
        texts: gr.I18n,
        task: str,
        model: type[Settings],
        id: Callable[[str], str],
        headings: Mapping[str, Sequence[str]],
    ) -> None:
        self._desk = desk
        self._texts = texts
        self._task = task
        self._model = model
        self._engines = engines_of(task)
        self._id = id
        self._headings = headings
        self._groups: dict[str, gr.Accordion] = {}
        self.shown: list[Any] = []

    def lay_out(self, field: Callable[[str], Component]) -> dict[str, Component]:
        """Place the choice and the options of each engine; returns the components of the settings, by name."""
        titles = {"auto": self._texts("longtake_auto"), **{name: self._title(name) for name in self._engines}}
        radio = forms.make_component(
            self._model, "engine", self._texts, self._id("setting-engine"), titles=titles
        )
        placed = {"engine": radio}
        self._notes = gr.HTML(
            self._told(EngineChoices(self._task, self._model()), None), elem_id=self._id("engines")
        )
        with gr.Column(visible=False, elem_classes="lt-consent-block") as self._consent:
            self._licence = gr.HTML()
            self.accept = gr.Button(
                self._texts("longtake_accept"),
                size="sm",
                visible=self._desk.policy.local,
                elem_id=self._id("accept"),
            )
        for engine in self._engines:
            names = [name for name in self._model.model_fields if engine_of(self._model, name) == engine]
            if names:
                label = self._texts("longtake_options")
                with gr.Accordion(label, open=False, visible=False) as self._groups[engine]:
                    placed |= self._lay_out_options(names, field)
        self.shown = [self._notes, self._consent, self._licence, *self._groups.values()]
        return placed

    def _lay_out_options(
        self, names: Sequence[str], field: Callable[[str], Component]
    ) -> dict[str, Component]:
        """Those under no heading first."""
        under = {name for below in self._headings.values() for name in below}
        placed = {name: field(name) for name in names if name not in under}
        for heading, below in self._headings.items():
            gr.Markdown(self._texts(heading), elem_classes="lt-heading")
            placed |= {name: field(name) for name in below if name in names}
        return placed

    async def look(self, settings: Settings) -> EngineChoices:
        """The engines as they could run with `settings`."""
        return await asyncio.to_thread(EngineChoices, self._task, settings)

    def updates(self, look: EngineChoices, plan: Planned | None = None) -> tuple[Any, ...]:
        """What `shown` shows of a look, and of the plan for the engine that would run."""
        offer = look.offer
        asks = offer.spec.weights is not None and offer.error is None and not offer.accepted
        licence = ""
        if offer.spec.weights and asks:
            licence = engines.consent(offer.spec.weights, local=self._desk.policy.local)
        groups = (gr.update(visible=engine == look.runs) for engine in self._groups)
        return self._told(look, plan), gr.update(visible=asks), licence, *groups

    def give_consent(self, engine: str) -> None:
        """Keep that the licence of an engine's weights is accepted. Raises OSError where it cannot be kept."""
        weights = engine_spec(self._task, engine).weights
        if self._desk.policy.local and weights:
            accept(weights.model)

    def _title(self, engine: str) -> Any:
        """An engine's name for people; the built-in one's is translated."""
        spec = self._engines[engine]
        return spec.title if spec.title != BUILT_IN else self._texts("longtake_builtin")

    def _told(self, look: EngineChoices, plan: Planned | None) -> str:
        return engines.engine_notes(look.offers, look.chosen, look.runs, plan, local=self._desk.policy.local)
