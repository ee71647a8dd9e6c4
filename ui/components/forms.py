"""A settings model as a form: one component a field, with the model's default, range, choices and sentence.

Nothing here repeats what the model says; a field added to a model appears on the page and in the API.
"""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pipelines.errors import BadInput
from pipelines.settings import Machine, Settings
from ui.i18n.texts import field_key, label_en

SettingsModel = TypeVar("SettingsModel", bound=Machine)

SERVER_SIDE = frozenset({"weights", "frames_out"})
"""Settings that name a place on the server: whoever started it chooses them, not its visitors."""

_FEW = 3


def field_names(model: type[Machine]) -> list[str]:
    """The settings that a form shows: a task's own first, then those that all tasks share."""
    shared = [name for name in Settings.model_fields if name in model.model_fields]
    own = [name for name in model.model_fields if name not in shared]
    return [name for name in (*own, *shared) if name not in SERVER_SIDE]


def field_texts(model: type[Machine]) -> dict[str, tuple[str, str]]:
    """Label and sentence of each setting of a form, in English, with its unit."""
    return {
        name: (label_en(name, _unit(model.model_fields[name])), model.model_fields[name].description or "")
        for name in field_names(model)
    }


def make_component(
    model: type[Machine],
    name: str,
    i18n: gr.I18n,
    elem_id: str,
    titles: Mapping[str, Any] = MappingProxyType({}),
) -> Component:
    """The component for one setting, ready to be placed where it is made; `titles` are what choices are called."""
    texts = {"label": i18n(field_key(name, "label")), "info": i18n(field_key(name, "info"))}
    return _component(model, name, titles, **texts, elem_id=elem_id, min_width=120)


def make_parameter(model: type[Machine], name: str) -> Component:
    """The same for the API alone: never shown, and labelled with what the API's description says of it."""
    field = model.model_fields[name]
    words = f"{label_en(name, _unit(field))}: {field.description}"
    return _component(model, name, {}, label=words, visible=False)


def _component(model: type[Machine], name: str, titles: Mapping[str, Any], **common: Any) -> Component:
    field, common["value"] = model.model_fields[name], default(model, name)
    kind = _kind(field)
    if get_origin(kind) is Literal:
        choices = [(titles.get(choice, choice), choice) for choice in map(str, get_args(kind))]
        return gr.Radio(choices, **common) if len(choices) <= _FEW else gr.Dropdown(choices, **common)
    if kind is bool:
        return gr.Checkbox(**common)
    if kind in (int, float):
        return _number(field, kind, common)
    several = get_origin(kind) is tuple
    return gr.Textbox(max_lines=4 if several else 1, max_length=4096 if several else 64, **common)


def read(model: type[SettingsModel], values: Mapping[str, Any]) -> SettingsModel:
    """The settings that a form's values stand for; an empty field is one that was left out.

    Raises BadInput for those that the model refuses.
    """
    given = {name: _given(model.model_fields[name], value) for name, value in values.items()}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = label_en(str(first["loc"][0]), "") + ": " if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{where}{message}.", "Change the setting and run again.") from error


def _given(field: FieldInfo, value: Any) -> Any:
    """What was written, of several values those between spaces; an empty field was left out."""
    if get_origin(_kind(field)) is tuple:
        return value.split() if isinstance(value, str) else value
    return None if value == "" else value


def default(model: type[Machine], name: str) -> Any:
    """A setting's default as a form shows it: empty text where there is none."""
    value = model.model_fields[name].default
    # Gradio takes a parameter without a value for one that must be given.
    return "" if value in (None, ()) else value


def named(handler: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """`handler`, which takes values and then the request, with `names` as the values' names.

    Gradio names an API's parameters after a handler's signature, and finds the request by its annotation. Whatever
    has no default of its own can be left out all the same, except the first.
    """
    by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD
    first, *others = (*names, "request")
    parameters = [
        inspect.Parameter(first, by_name),
        *(inspect.Parameter(name, by_name, default=None) for name in others),
    ]
    handler.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    handler.__annotations__ = {"request": gr.Request}
    return handler


def _kind(field: FieldInfo) -> Any:
    """A field's type without `| None`."""
    if get_origin(field.annotation) is UnionType:
        return next(kind for kind in get_args(field.annotation) if kind is not NoneType)
    return field.annotation


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _number(field: FieldInfo, kind: type, common: dict[str, Any]) -> Component:
    lower, upper = _limit(field, "ge"), _limit(field, "le")
    if lower is not None and upper is not None and field.default is not None:
        return gr.Slider(lower, upper, step=1 if kind is int else None, **common)
    # Gradio's own number field turns an empty value into 0 in the browser; here empty is not 0.
    return gr.Textbox(max_lines=1, max_length=16, placeholder="–", **common)


def _limit(field: FieldInfo, which: str) -> float | None:
    return next((getattr(limit, which) for limit in field.metadata if hasattr(limit, which)), None)
