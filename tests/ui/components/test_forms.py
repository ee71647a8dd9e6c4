"""The form is the model: nothing is repeated, nothing is forgotten."""

import inspect
from typing import Any, Literal, get_args, get_origin

import gradio as gr
import pytest
from gradio.helpers import special_args

from pipelines.errors import BadInput
from pipelines.settings import InpaintSettings, ScoreSettings
from ui.components import forms
from ui.i18n.words import FIELDS_ZH
from ui.page import I18N

NAMES = forms.field_names(ScoreSettings)


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    with gr.Blocks():
        return {name: forms.make_component(ScoreSettings, name, I18N, name) for name in NAMES}


def test_every_setting_is_on_the_form_except_those_of_the_server() -> None:
    assert set(NAMES) == set(ScoreSettings.model_fields) - forms.SERVER_SIDE
    assert set(InpaintSettings.model_fields) >= forms.SERVER_SIDE
    assert NAMES[0] == "window", "a task's own settings come first"


@pytest.mark.parametrize("name", NAMES)
def test_a_component_has_the_models_default_choices_and_range(name: str, components: dict[str, Any]) -> None:
    field, component = ScoreSettings.model_fields[name], components[name]
    assert component.value == ("" if field.default is None else field.default)
    kind = field.annotation
    if get_origin(kind) is Literal:
        assert [value for _, value in component.choices] == list(get_args(kind))
    if kind is bool:
        assert isinstance(component, gr.Checkbox)
    if name == "window":
        assert (component.minimum, component.maximum, component.step) == (1, 99, 1)


@pytest.mark.parametrize("name", NAMES)
def test_label_and_sentence_come_from_the_model_and_exist_in_chinese(name: str) -> None:
    english, chinese = I18N.translations["en"], I18N.translations["zh-CN"]
    field = ScoreSettings.model_fields[name]
    assert english[f"longtake_info_{name}"] == field.description
    assert chinese[f"longtake_info_{name}"] == FIELDS_ZH[name][1]
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    unit = f"({extra['unit']})".replace("GiB", "GB") if extra["unit"] else ""
    assert english[f"longtake_label_{name}"].endswith(unit)
    assert chinese[f"longtake_label_{name}"].count("(") == bool(unit)


def test_an_untouched_form_is_the_models_defaults(components: dict[str, Any]) -> None:
    sent = {name: component.preprocess(component.value) for name, component in components.items()}
    assert forms.read(ScoreSettings, sent) == ScoreSettings()


def test_an_empty_number_is_one_that_was_left_out_and_a_typed_one_is_read() -> None:
    assert forms.read(ScoreSettings, {"start": "", "end": "2.5"}) == ScoreSettings(end=2.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"window": 0}, "Window: "),
        ({"end": "soon"}, "End: "),
        ({"start": 3, "end": 2}, "end (2 s) must come after start (3 s)"),
        ({"device": "rm -rf"}, "Device: "),
        ({"ram_limit_gb": 0}, "RAM limit: "),
    ],
)
def test_a_value_that_the_model_refuses_is_bad_input_in_words(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as told:
        forms.read(ScoreSettings, values)
    assert words in told.value.message
    assert told.value.hint


def test_a_handler_is_named_after_the_settings_and_gets_the_request() -> None:
    def handler(*values: object) -> tuple[object, ...]:
        return values

    named = forms.with_parameters(handler, "file", *NAMES)
    assert list(inspect.signature(named).parameters) == ["file", *NAMES, "request"]
    asked = gr.Request()
    given, *_ = special_args(named, ["clip.mp4", *NAMES], request=asked)
    assert given == ["clip.mp4", *NAMES, asked]


@pytest.mark.parametrize("name", NAMES)
def test_the_api_explains_each_parameter(name: str) -> None:
    parameter = forms.make_parameter(ScoreSettings, name)
    assert (ScoreSettings.model_fields[name].description or "?") in str(parameter.label)
    assert not parameter.visible
