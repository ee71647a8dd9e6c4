from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.settings import ScoreSettings
from pipelines.spec import settings_model, tasks


@pytest.mark.parametrize("task", tasks())
def test_every_field_has_a_sentence_a_unit_and_says_whether_it_changes_the_result(task: str) -> None:
    for name, field in settings_model(task).model_fields.items():
        extra = field.json_schema_extra
        assert field.description and field.description.endswith("."), name
        assert isinstance(extra, dict) and set(extra) == {"unit", "changes_result", "engine"}, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 0),
        ("window", 100),
        ("ram_limit_gb", 0),
        ("start", -1),
        ("device", "tpu"),
        ("quality", "best"),
        ("x", 1),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        ScoreSettings.model_validate({name: value})


def test_end_must_come_after_start() -> None:
    with pytest.raises(ValidationError, match=r"end \(2 s\) must come after start \(3 s\)"):
        ScoreSettings(start=3, end=2)


def test_identity_has_what_changes_the_result_and_nothing_else() -> None:
    plain = ScoreSettings().identity()
    assert plain == ScoreSettings(ram_limit_gb=1, device="cpu", preset="8gb").identity()
    for change in (
        {"window": 5},
        {"quality": "high"},
        {"start": 1.0},
        {"salvage": True},
        {"decoder": "pyav"},
    ):
        assert ScoreSettings.model_validate(change).identity() != plain


def test_settings_survive_json() -> None:
    settings = ScoreSettings(window=7, start=0.1, ram_limit_gb=1.5)
    assert ScoreSettings.model_validate_json(settings.model_dump_json()) == settings
