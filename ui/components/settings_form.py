"""The settings of a task's form: sheets of plain fields, and components of their own where a page needs them live."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from memory.probe import probe_hardware
from pipelines.settings import Settings
from ui.components import forms
from ui.components.engine_choice import EngineChoice
from ui.components.option_sheet import Groups, OptionSheet, grouped
from ui.jobs.service import JobService

_MORE: Groups = MappingProxyType(
    {
        "group.mask": ("mask_dilation", "invert", "scale_mask", "track"),
        "group.output": ("codec", "crf", "resize_ratio", "width", "height", "background"),
        "group.machine": (
            *("preset", "device", "ram_limit_gb", "vram_limit_gb", "decoder", "salvage", "window"),
        ),
    }
)
"""Headings over the settings that are folded away, and those below each."""


def _devices() -> list[str]:
    """The names of devices that there are here, as the setting takes them."""
    return ["auto", "cpu", *(f"{each.kind}:{each.index}" for each in probe_hardware().devices)]


class SettingsForm:
    """The settings of `model` for `task`. `id` makes the ids of elements."""

    def __init__(
        self, service: JobService, texts: gr.I18n, task: str, model: type[Settings], id: Callable[[str], str]
    ) -> None:
        self._service = service
        self._texts = texts
        self._task = task
        self._model = model
        self._id = id
        self._names = forms.field_names(model)
        self.fields: dict[str, Any] = {}
        """The settings that are components of their own, by name."""
        self.sheets: list[OptionSheet] = []
        """The others."""
        self.engines: EngineChoice

    def place(self, name: str) -> Component:
        """Place a setting as a component of its own."""
        return self.add(
            name,
            forms.make_component(self._model, name, self._texts, self._id(f"setting-{name}")),
        )

    def add(self, name: str, component: Component) -> Component:
        """Take a component that is placed already as that of a setting."""
        self.fields[name] = component
        return component

    def lay_out(self, main: Sequence[str], headings: Groups, later: Sequence[str]) -> None:
        """Place the settings `main`, the engines with their options below `headings`, and folded away all others.

        Those in `fields` have a place already; those in `later` get one.
        """
        here = [name for name in main if name in self._names]
        first = self._sheet({"": here}, "main")
        self.engines = EngineChoice(self._service, self._texts, self._task, self._model, self._id, headings)
        self.fields["engine"] = self.engines.lay_out()
        options = self.engines.sheets.values()
        elsewhere = {*here, *self.fields, *later, *(name for sheet in options for name in sheet.names)}
        left = [name for name in self._names if name not in elsewhere]
        more = self._sheet(grouped(left, _MORE), "more", "group.more")
        self.sheets = [first, *options, more]

    def _sheet(self, groups: Groups, name: str, fold: str = "") -> OptionSheet:
        return OptionSheet(
            self._model,
            groups,
            self._id("setting-"),
            self._id(f"sheet-{name}"),
            fold=fold,
            suggested={"device": _devices()},
        )

    @property
    def components(self) -> list[Any]:
        """The components that hold the settings, for the inputs and outputs of events."""
        return [*(sheet.component for sheet in self.sheets), *self.fields.values()]

    def sheet_of(self, name: str) -> OptionSheet:
        """The sheet that has the setting `name`."""
        return next(sheet for sheet in self.sheets if name in sheet.names)

    def by_name(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of the settings, by name, from those of `components`. Raises BadInput."""
        sheets, fields = values[: len(self.sheets)], values[len(self.sheets) :]
        pairs = zip(self.sheets, sheets, strict=True)
        found = {name: value for sheet, sent in pairs for name, value in sheet.values(sent).items()}
        return {**found, **dict(zip(self.fields, fields, strict=True))}

    def read(self, values: Sequence[Any]) -> Settings:
        """The settings from the values of `components`. Raises BadInput."""
        return forms.read(self._model, self.by_name(values))

    def showing(self, settings: Mapping[str, Any]) -> list[Any]:
        """Values for `components` that show `settings`; those that are left out or do not fit get their defaults."""
        shown = {
            name: forms.fitting(self._model, name, settings[name])
            if name in settings
            else forms.default(self._model, name)
            for name in self._names
        }
        sheets = [{name: shown[name] for name in sheet.names} for sheet in self.sheets]
        return [*sheets, *(shown[name] for name in self.fields)]
