"""Forms from settings models: one component a field, with the model's default, range, choices and description.

Nothing is written twice: a field that is added to a model appears on the page and in the API.
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
from ui.i18n.texts import choice_keys, field_key, label_en

SettingsModel = TypeVar("SettingsModel", bound=Machine)

SERVER_SIDE = frozenset({"weights", "frames_out"})
"""Settings that are paths on the server: its owner chooses them, not its visitors."""

_MOST_RADIO_CHOICES = 3
"""With more choices a setting is a dropdown."""


def field_names(model: type[Machine]) -> list[str]:
    """The settings of a form: a task's own first, then those that all tasks share."""
    shared = [name for name in Settings.model_fields if name in model.model_fields]
    own = [name for name in model.model_fields if name not in shared]
    return [name for name in (*own, *shared) if name not in SERVER_SIDE]


def field_texts(model: type[Machine]) -> dict[str, tuple[str, str]]:
    """Label (with unit) and description of each setting of a form, in English."""
    return {
        name: (
            label_en(name, _unit(model.model_fields[name]).replace("GiB", "GB")),
            model.model_fields[name].description or "",
        )
        for name in field_names(model)
    }


def make_component(
    model: type[Machine],
    name: str,
    i18n: gr.I18n,
    elem_id: str,
    titles: Mapping[str, Any] = MappingProxyType({}),
) -> Component:
    """The component of a setting, placed where this is called; `titles` are the labels of its choices."""
    texts = {"label": i18n(field_key(name, "label")), "info": i18n(field_key(name, "info"))}
    named = {choice: i18n(key) for choice, key in choice_keys(name, choices_of(model, name)).items()}
    return _component(model, name, {**named, **titles}, **texts, elem_id=elem_id, min_width=120)


def choices_of(model: type[Machine], name: str) -> list[str]:
    """The choices of a setting; none where it is no choice."""
    kind = kind_of(model.model_fields[name])
    return list(map(str, get_args(kind))) if get_origin(kind) is Literal else []


def make_parameter(model: type[Machine], name: str) -> Component:
    """The invisible component of a setting for the API; its label is the description of the parameter."""
    field = model.model_fields[name]
    label = f"{label_en(name, _unit(field))}: {field.description}"
    return _component(model, name, {}, label=label, visible=False)


def _component(model: type[Machine], name: str, titles: Mapping[str, Any], **common: Any) -> Component:
    field, common["value"] = model.model_fields[name], default(model, name)
    kind = kind_of(field)
    if get_origin(kind) is Literal:
        choices = [(titles.get(choice, choice), choice) for choice in map(str, get_args(kind))]
        return (
            gr.Radio(choices, **common)
            if len(choices) <= _MOST_RADIO_CHOICES
            else gr.Dropdown(choices, **common)
        )
    if kind is bool:
        return gr.Checkbox(**common)
    if kind in (int, float):
        return _number(field, kind, common)
    several = get_origin(kind) is tuple
    return gr.Textbox(max_lines=4 if several else 1, max_length=4096 if several else 64, **common)


def read(model: type[SettingsModel], values: Mapping[str, Any]) -> SettingsModel:
    """Settings from the values of a form; an empty field counts as left out.

    Raises BadInput for values that the model refuses.
    """
    parsed = {name: _parse_value(model.model_fields[name], value) for name, value in values.items()}
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        first = error.errors()[0]
        where = label_en(str(first["loc"][0]), "") + ": " if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        hint, field = "Change the setting and run again.", first["loc"][0] if first["loc"] else ""
        raise BadInput(
            f"{where}{message}.",
            hint,
            "setting.refused" if field else "setting.combination",
            field=str(field),
        ) from error


def _parse_value(field: FieldInfo, value: Any) -> Any:
    """The value of a field: several values are separated by spaces, and an empty field is None."""
    if get_origin(kind_of(field)) is tuple:
        return value.split() if isinstance(value, str) else value
    return None if value == "" else value


def default(model: type[Machine], name: str) -> Any:
    """A setting's default as its form field shows it: empty text for None."""
    value = model.model_fields[name].default
    # Not None: Gradio would make it a required parameter.
    return "" if value in (None, ()) else value


def shown(model: type[Machine], name: str, value: Any) -> Any:
    """A setting's value as its form field shows it, such as one of a job: several values have spaces between them."""
    if value is None:
        return default(model, name) if model.model_fields[name].default is None else ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    field = model.model_fields[name]
    is_text = kind_of(field) in (int, float) and not _has_slider(field)
    return str(value).removesuffix(".0") if is_text else value


def fitting(model: type[Machine], name: str, value: Any) -> Any:
    """A setting's value, such as one of a job, as its form field shows it; where it misfits, the default."""
    try:
        settings = model.model_validate({name: value})
    except ValidationError:
        return default(model, name)
    return shown(model, name, getattr(settings, name))


def with_parameters(handler: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """Give `handler(*values, request)` a signature in which the values are called `names`.

    Gradio names an API's parameters after the handler's signature, and finds the request by its annotation. All
    parameters but the first are optional.
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


def kind_of(field: FieldInfo) -> Any:
    """The type of a field without `| None`."""
    if get_origin(field.annotation) is UnionType:
        return next(kind for kind in get_args(field.annotation) if kind is not NoneType)
    return field.annotation


def unit(model: type[Machine], name: str) -> str:
    """The unit of a setting, empty where it has none."""
    return _unit(model.model_fields[name])


def _unit(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _number(field: FieldInfo, kind: type, common: dict[str, Any]) -> Component:
    lower, upper = _limit(field, "ge"), _limit(field, "le")
    if _has_slider(field):
        return gr.Slider(lower or 0, upper or 0, step=1 if kind is int else None, **common)
    # Gradio's own number field turns an empty value into 0 in the browser; here empty is not 0.
    return gr.Textbox(max_lines=1, max_length=16, placeholder="–", **common)


def _has_slider(field: FieldInfo) -> bool:
    limits = _limit(field, "ge"), _limit(field, "le")
    return None not in limits and field.default is not None


def _limit(field: FieldInfo, which: str) -> float | None:
    return next((getattr(limit, which) for limit in field.metadata if hasattr(limit, which)), None)
