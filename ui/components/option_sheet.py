"""Settings as one component: plain HTML fields with short labels, in groups, each with help that opens on demand.

Gradio's own fields cost the page a component each, with a frame around it and a description that is always open; a
tab has up to fifty. The value of a sheet is a dictionary with the values of all its settings, by name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin
from weakref import WeakKeyDictionary

import gradio as gr
from pydantic.fields import FieldInfo

from pipelines.errors import BadInput
from pipelines.settings import Machine
from ui.components import forms
from ui.i18n.catalogue import Catalogue
from ui.i18n.texts import both, choice_keys, in_each, setting_texts, spans_of
from ui.server.answers import visitor_error

Groups = Mapping[str, Sequence[str]]
"""Settings by the live text that stands over them; nothing stands over those under an empty key."""

_FIELDS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""The fields of each sheet's component as HTML, which the browser gets once, in a script of its own."""
_MOST_TEXT, _MOST_SEVERAL = 64, 4096
"""Characters of a setting, and of one that takes several values."""


class OptionSheet:
    """The settings of `groups`, placed where this is constructed; the id of a field is `prefix` and its name.

    `fold` is the live text of the fold in which they are; without it they are always open. `suggested` are values that
    fields of free text offer, by setting. `component` is what events take. It is no class of its own: Gradio writes a
    file beside the module of each subclass of a component.
    """

    def __init__(
        self,
        model: type[Machine],
        groups: Groups,
        prefix: str,
        elem_id: str,
        *,
        fold: str = "",
        visible: bool = True,
        suggested: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._prefix, self._suggested = prefix, suggested
        self.names = [name for names in groups.values() for name in names]
        fields = "".join(self._group(model, key, names, prefix) for key, names in groups.items() if names)
        self.component = gr.HTML(
            {name: forms.default(model, name) for name in self.names},
            html_template="",
            js_on_load=f"longtakeSheet(element, props, watch, '{elem_id}')",
            apply_default_css=False,
            elem_id=elem_id,
            elem_classes="lt-sheet",
            visible=visible,
        )
        self.component.preprocess = self._checked  # type: ignore[method-assign]
        _FIELDS[self.component] = (
            f"<details><summary>{both(fold)}</summary>{fields}</details>" if fold and fields else fields
        )

    def values(self, payload: Any) -> dict[str, Any]:
        """The values of the settings in what the browser sent. Raises BadInput where there are none."""
        if not isinstance(payload, dict):
            raise BadInput("The settings cannot be read.", "Load the page anew.", "form.unread")
        return {name: payload[name] for name in self.names if name in payload}

    def _checked(self, payload: Any) -> Any:
        # Gradio makes a component whose visibility a visit has changed anew, without this: readers ask `values`, too.
        try:
            return self.values(payload)
        except BadInput as error:
            raise visitor_error(error) from error

    def _group(self, model: type[Machine], key: str, names: Sequence[str], prefix: str) -> str:
        fields = "".join(self._field(name, model.model_fields[name], model, prefix) for name in names)
        legend = f"<legend>{both(key)}</legend>" if key else ""
        return f'<fieldset class="lt-grid">{legend}{fields}</fieldset>'

    def _field(self, name: str, field: FieldInfo, model: type[Machine], prefix: str) -> str:
        id = f"{prefix}{name}"
        english = forms.field_texts(model)[name]

        def say(part: int) -> Callable[[Catalogue], str]:
            return lambda catalogue: setting_texts(name, english, catalogue)[part]

        def about(catalogue: Catalogue) -> str:
            return catalogue.text("live", "help.about").format(name=say(0)(catalogue).partition(" (")[0])

        label = f'<label for="{id}-field">{spans_of(say(0))}</label>'
        help_button = (
            f'<button type="button" class="lt-help" aria-expanded="false" aria-controls="{id}-help" '
            f'aria-label="?" {in_each(about)}>?</button>'
        )
        text = f'<p id="{id}-help" class="lt-info" hidden>{spans_of(say(1))}</p>'
        control, kind = self._control(name, field, model, f'id="{id}-field" data-setting="{name}"')
        return f'<div id="{id}" class="lt-field lt-{kind}">{label}{help_button}{control}{text}</div>'

    def _control(
        self, name: str, field: FieldInfo, model: type[Machine], attributes: str
    ) -> tuple[str, Literal["choice", "check", "number", "text", "several"]]:
        kind, value = forms.kind_of(field), forms.default(model, name)
        if get_origin(kind) is Literal:
            return f"<select {attributes}>{_options(name, get_args(kind), value)}</select>", "choice"
        if kind is bool:
            return f'<input type="checkbox" {attributes}{" checked" * bool(value)}>', "check"
        shown = f'value="{escape(str(value), quote=True)}"'
        if kind in (int, float):
            number = (
                f'<input type="text" inputmode="decimal" {attributes} {shown} maxlength="16" placeholder="–">'
            )
            return number, "number"
        if get_origin(kind) is tuple:
            return f'<textarea rows="2" maxlength="{_MOST_SEVERAL}" {attributes}></textarea>', "several"
        return self._text(name, f'{attributes} {shown} maxlength="{_MOST_TEXT}"'), "text"

    def _text(self, name: str, attributes: str) -> str:
        """A field of free text, with the values that it offers."""
        offered = self._suggested.get(name, ())
        if not offered:
            return f'<input type="text" {attributes}>'
        id = f"{self._prefix}{name}-offers"
        options = "".join(f'<option value="{escape(each, quote=True)}"></option>' for each in offered)
        return f'<input type="text" list="{id}" {attributes}><datalist id="{id}">{options}</datalist>'


def sheets_script(blocks: gr.Blocks) -> str:
    """The fields of all sheets of a page as a script."""
    sheets = {each.elem_id: _FIELDS[each] for each in blocks.blocks.values() if each in _FIELDS}
    return f"window.longtakeSheets = {json.dumps(sheets, ensure_ascii=False)};\n"


def grouped(names: Sequence[str], headings: Groups) -> Groups:
    """`names` under the headings that have them, those under no heading first."""
    under = {name for below in headings.values() for name in below}
    return {
        "": [name for name in names if name not in under],
        **{key: [name for name in below if name in names] for key, below in headings.items()},
    }


def _options(setting: str, choices: Sequence[Any], value: Any) -> str:
    keys = choice_keys(setting, map(str, choices))

    def option(choice: str) -> str:
        words = in_each(
            lambda catalogue: catalogue.text("static", keys[choice]) if choice in keys else choice
        )
        selected = " selected" if choice == value else ""
        return f'<option value="{escape(choice, quote=True)}" {words}{selected}></option>'

    return "".join(map(option, map(str, choices)))
