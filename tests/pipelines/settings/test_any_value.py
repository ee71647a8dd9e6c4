"""Whatever is asked: a setting is refused with a sentence, or it survives its own JSON unchanged."""

import json
import math
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pipelines.settings import CopySettings, Machine, PoseSettings
from pipelines.spec import settings_model, tasks
from pipelines.storage.names import to_json

MODELS = [*(settings_model(task) for task in tasks()), PoseSettings, CopySettings]
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]

_EDGES = [
    *(math.inf, -math.inf, math.nan, 1e308, 5e-324, -0.0, 1e18, 10**400, -(10**400), 2**63, 10**4000),
    *("inf", "NaN", "1e999", "-0", "0x10", "1_000", "١٢", "٣,٣,٣,٣@٣", "cuda:٣", "cuda:0", "largest\n", "٩"),
    *("1,2,3,4@" + "9" * 5000, "9" * 5000, "1,2,3,4@5", "!1,2@3", "3:0.5,1,-2", "1,2,3,4", "none", "draft"),
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "\udcff",
        "a\x00b",
        "~nobody-of-this-name/x",
        "~",
        "file:///%00",
        "file:///%ff",
    ),
    *("video_outpainting", "propainter", "x" * 10_000, True, None, [], {}, [1], {"a": 1}, ["1,2,3,4@5"] * 3),
]
VALUES = st.one_of(
    st.sampled_from(_EDGES),
    st.floats(),
    st.integers(),
    st.text(max_size=20),
    st.from_regex("[0-9.,@!:-]{1,20}"),
)


def _survives(model: type[Machine], asked: dict[str, Any]) -> None:
    try:
        settings = model.model_validate(asked)
    except ValidationError:
        return
    line = to_json(settings)
    json.loads(line, parse_constant=lambda name: pytest.fail(f"{asked}: {name} is no JSON"))
    assert model.model_validate_json(line) == settings, asked
    assert model.model_validate(settings.model_dump(mode="json")) == settings, asked


@pytest.mark.parametrize("value", _EDGES, ids=lambda value: ascii(value)[:20])
def test_an_odd_value_of_any_field_is_refused_or_survives_json(value: Any) -> None:
    for model, name in FIELDS:
        _survives(model, {name: value})


@given(data=st.data())
def test_any_settings_survive_json(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS))
    names = data.draw(st.lists(st.sampled_from(sorted(model.model_fields)), max_size=4, unique=True))
    _survives(model, {name: data.draw(_plausible(model.model_fields[name])) for name in names})


def _plausible(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Values that a field may take among all others."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return st.one_of(VALUES, st.sampled_from([*choices, 64, 0.5, 2, "1,2,3,4"]))


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda each: getattr(each, "__name__", each))
def test_no_number_is_without_end(model: type[Machine], name: str) -> None:
    for value in (math.inf, -math.inf, math.nan, 10**400, "1" + "0" * 400, "1e999", 1e308):
        try:
            kept = getattr(model.model_validate({name: value}), name)
        except ValidationError:
            continue
        assert not isinstance(kept, (int, float)), (name, value)


@pytest.mark.parametrize("text", ["٣,٣,٣,٣@٣", "1,1,1,1@" + "9" * 5000, "9" * 300 + ",1,1,1@0"])
def test_numbers_in_a_text_are_short_and_latin(text: str) -> None:
    with pytest.raises(ValidationError, match="Write x,y,width,height@frame"):
        settings_model("inpaint").model_validate({"box": [text]})
