"""Settings that the browser keeps: those last used, per task, and presets that a visitor names.

A script keeps them in the browser's storage and asks for them here, as text in a hidden field; nothing of it stays on
the server. What comes back may have been written by another version, or by anybody: each value is checked against its
setting, and those that do not fit any more are left as they are in the form.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.errors import BadInput
from pipelines.settings import Settings
from ui.components import forms
from ui.components.run_view import PRIVATE
from ui.i18n.texts import both, in_each, named

OF_THE_FILES = frozenset(
    {"start", "end", "box", "point", "face", "driving_face", "source_box", "driving_box"}
)
"""Settings that fit the files at hand and no others: they are not kept."""
_MOST_CHARACTERS = 64_000
"""The longest text that is read: the settings of all tasks have 6,000 characters."""

_KEEP = "(...values) => { window.longtakeSettings?.keep('{task}', {names}, values); }"
_BEGIN = "(...values) => window.longtakeSettings?.begin({forms}, {without}, values) ?? ''"


@dataclass(frozen=True)
class Form:
    """The settings of a task on its tab: `components`, and the setting that each holds.

    An empty name stands for a component whose value is a dictionary with the values of several settings by name.
    """

    task: str
    model: type[Settings]
    components: Sequence[Any]
    names: Sequence[str]

    @property
    def kept(self) -> list[str]:
        """What the script is to keep of each component: its setting, "" for one of several, None for nothing."""
        return [None if name in OF_THE_FILES else name for name in self.names]  # type: ignore[misc]


def row(task: str) -> str:
    """What chooses, saves and deletes a visitor's own presets of `task`; a script fills it in."""
    name = f'<label>{both("own.name")} <input type="text" name="name" maxlength="60" required></label>'
    dialogs = "".join(
        f'<dialog class="lt-ask-first" data-own="{act}" {named(f"own.{act}")}><form method="dialog">'
        f'{body}<div><button type="submit" value="yes">{both(f"own.{act}")}</button>'
        f'<button type="button" data-own-close>{both("own.cancel")}</button></div></form></dialog>'
        for act, body in (("save", name), ("delete", f'<p>{both("own.ask")} <b class="lt-name"></b></p>'))
    )
    defaults = in_each(lambda catalogue: catalogue.text("live", "own.defaults"))
    return (
        f'<div class="lt-own" data-task="{task}"><label>{both("own.presets")} <select class="lt-own-choice">'
        f'<option value="">–</option><option value="defaults" {defaults}></option></select></label>'
        f'<button type="button" data-own-ask="save">{both("own.save")}</button>'
        f'<button type="button" data-own-ask="delete" disabled>{both("own.delete")}</button>'
        f'<button type="button" data-own-open>{both("own.open")}</button>'
        f'<input type="file" accept=".json,application/json" hidden>{dialogs}</div>'
    )


def connect(page: gr.Blocks, tasks_forms: Sequence[Form]) -> None:
    """Keep the settings of the forms in the browser, and fill them in when the page is opened or a preset is chosen."""
    asked = gr.Textbox(visible="hidden", elem_id="own-settings")
    components = [component for form in tasks_forms for component in form.components]
    for form in tasks_forms:
        gr.on(
            [component.change for component in form.components],
            None,
            list(form.components),
            None,
            js=_KEEP.replace("{task}", form.task).replace("{names}", json.dumps(form.kept)),
            **PRIVATE,
        )
    begun = json.dumps([[form.task, form.kept] for form in tasks_forms])
    script = _BEGIN.replace("{forms}", begun).replace("{without}", json.dumps(sorted(OF_THE_FILES)))
    page.load(None, components, [asked], js=script, **PRIVATE)

    def fill(text: str, *values: Any) -> list[Any]:
        filled: list[Any] = []
        wanted, rest = read(text), list(values)
        for form in tasks_forms:
            own, rest = rest[: len(form.components)], rest[len(form.components) :]
            filled += fitted(form, wanted.get(form.task, {}), own)
        return filled

    asked.change(fill, [asked, *components], components, **PRIVATE, queue=False)


def read(text: str) -> dict[str, dict[str, Any]]:
    """The values of settings, by task and name, that the script sends; empty where the text is none of its."""
    if len(text) > _MOST_CHARACTERS:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    tasks = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(tasks, dict):
        return {}
    return {task: values for task, values in tasks.items() if isinstance(values, dict)}


def fitted(form: Form, wanted: Mapping[str, Any], values: Sequence[Any]) -> list[Any]:
    """Updates of the components of `form`, which have `values` now, to those of `wanted` that fit their settings."""
    names = set(forms.field_names(form.model)) - OF_THE_FILES
    found = {name: value for name, value in wanted.items() if name in names}
    shown = {
        name: new for name, value in found.items() if (new := _fitting(form.model, name, value)) is not None
    }

    def update(name: str, value: Any) -> Any:
        if name:
            # Also where the value is that already: it may have been changed while the request was on its way.
            return shown.get(name, gr.skip())
        mine = {each: shown[each] for each in value if each in shown} if isinstance(value, dict) else {}
        return {**value, **mine} if mine else gr.skip()

    return [update(name, value) for name, value in zip(form.names, values, strict=True)]


def _fitting(model: type[Settings], name: str, value: Any) -> Any:
    """The value of a setting as its form shows it; None where the setting does not take it."""
    if not isinstance(value, str | int | float | bool):
        return None
    try:
        settings = forms.read(model, {name: value})
    except BadInput:
        return None
    return forms.shown(model, name, getattr(settings, name))
