"""What *Use via API* says of parameters and answers: Gradio's own types are those of its components, not of ours."""

from typing import Any, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from pipelines.jobs.events import Facts, Planned
from pipelines.settings import Machine
from ui.components import forms
from ui.jobs.listing import Entry
from ui.jobs.uploads import uploads_only
from ui.jobs.view import Status
from ui.server.system_info import System

_EXAMPLES = {"source": "portrait.jpg", "driving": "driving.mp4", "mask": "mask.png"}
"""Names of files in the code samples, by parameter; of all others it is a video."""
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def upload(name: str, label: str) -> gr.File:
    """The parameter `name`, a file, placed where this is called."""
    # The explicit None makes the parameter optional where its handler has a default: Gradio's rule.
    file = uploads_only(gr.File(None, label=label, visible=False))
    example = _EXAMPLES.get(name, "clip.mp4")
    # What `handle_file` makes of a file that exists.
    shown = {"path": example, "orig_name": example, "meta": {"_type": "gradio.FileData"}}
    _describe(file, file.api_info(), shown)
    return file


def setting(model: type[Machine], name: str) -> Component:
    """The parameter of a setting, placed where this is called; one without a default is null, of its own type."""
    field = model.model_fields[name]
    component = forms.make_parameter(model, name)
    kinds = [each for each in get_args(field.annotation) if each is not type(None)] or [field.annotation]
    if isinstance(component, gr.Textbox) and field.default is None and get_origin(kinds[0]) is None:
        component.value = None
        types = [{"type": _JSON_TYPES.get(kinds[0], "string")}, {"type": "null"}]
        _describe(component, {"anyOf": types}, None)
    return component


def status() -> gr.JSON:
    """The answer of endpoints that tell a job's status."""
    return _answer("The job's status.", Status, "")


def jobs() -> gr.JSON:
    """The answer of `/jobs`."""
    return _answer("The jobs.", Entry, "", several=True)


def facts() -> gr.JSON:
    """The answer of `/inspect`."""
    return _answer("The properties of the video.", Facts, "")


def plan() -> gr.JSON:
    """The answer of `/estimate`."""
    return _answer("The plan of the run.", Planned, "job type time frames_kept")


def machine() -> gr.JSON:
    """The answer of `/system`."""
    return _answer("The machine.", System, "")


def _answer(label: str, model: type[BaseModel], without: str, *, several: bool = False) -> gr.JSON:
    answer = gr.JSON(label=label, visible=False)
    fields = {name: _type(field.annotation) for name, field in model.model_fields.items()}
    properties = {name: kind for name, kind in fields.items() if name not in without.split()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    _describe(answer, {"type": "array", "items": schema} if several else schema, None)
    return answer


def _type(annotation: Any) -> dict[str, Any]:
    """The JSON type of a field, without what is inside of it."""
    kinds = [each for each in get_args(annotation) if each is not type(None)]
    if annotation in _JSON_TYPES:
        return {"type": _JSON_TYPES[annotation]}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"type": "object", "additionalProperties": True}
    if get_origin(annotation) in (tuple, list):
        return {"type": "array", "items": _type(kinds[0])}
    if get_origin(annotation) is dict:
        return {"type": "object", "additionalProperties": True}
    if kinds and all(isinstance(each, str) for each in kinds):
        return {"type": "string"}
    if len(kinds) == 1 and len(get_args(annotation)) > 1:
        return {"anyOf": [_type(kinds[0]), {"type": "null"}]}
    return {}


def _describe(component: Component, schema: dict[str, Any], example: Any) -> None:
    """Make `component` tell this type and example. On the instance: a class of its own would be unknown to the page."""
    for name in ("api_info", "api_info_as_input", "api_info_as_output"):
        setattr(component, name, lambda: schema)
    component.example_payload = lambda: example  # type: ignore[method-assign]
