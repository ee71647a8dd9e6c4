"""Settings that a browser kept: what still fits comes back, each value on its own, and nothing else does anything."""

import json
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import pytest

from pipelines.settings import Settings
from pipelines.spec import settings_model, tasks
from ui.components import forms
from ui.components.own_settings import OF_THE_FILES, Form, fitted, read

MODEL = settings_model("inpaint")
NAMES = forms.field_names(MODEL)


def updates(**wanted: Any) -> dict[str, Any]:
    """The settings that are changed from their defaults."""
    form = Form("inpaint", MODEL, NAMES, NAMES)
    values = [forms.default(MODEL, name) for name in NAMES]
    found = dict(zip(NAMES, fitted(form, wanted, values), strict=True))
    return {name: value for name, value in found.items() if value != gr.skip()}


def test_what_was_kept_comes_back_as_the_form_shows_it() -> None:
    kept = {"quality": "high", "salvage": True, "ram_limit_gb": "3.123456789", "codec": "h264"}
    assert updates(**kept) == kept


@pytest.mark.parametrize(
    "misfit",
    [
        {"quality": "best"},
        {"quality": ["high"]},
        {"quality": {"high": 1}},
        {"quality": None},
        {"engine": "of a plug-in that is gone"},
        {"ram_limit_gb": -1},
        {"ram_limit_gb": "a lot"},
        {"ram_limit_gb": float("nan")},
        {"ram_limit_gb": "9" * 5000},
        {"salvage": "perhaps"},
        {"device": "/etc/passwd"},
        {"of_a_former_version": 1},
        {"weights": "/etc"},
        {"frames_out": "/tmp"},
    ],
)
def test_what_fits_no_more_is_dropped_singly(misfit: dict[str, Any]) -> None:
    assert updates(**misfit, salvage_=True) == {}
    if "salvage" not in misfit:
        assert updates(**misfit, salvage=True) == {"salvage": True}


def test_nothing_of_files_is_kept_or_comes_back() -> None:
    assert updates(start="1", end="2", box="1,2,3,4@0", point="1,2@0") == {}
    for task in tasks().values():
        model = settings_model(task.name)
        form = Form(task.name, model, forms.field_names(model), forms.field_names(model))
        for name in filter(None, form.kept):
            annotation = model.model_fields[name].annotation
            assert not any(kind is Path for kind in (annotation, *get_args(annotation))), name
        assert OF_THE_FILES.isdisjoint(filter(None, form.kept))


def test_a_component_with_several_settings_keeps_those_that_were_not_wanted() -> None:
    form = Form("inpaint", MODEL, ["sheet", "engine"], ["", "engine"])
    sheet = {"quality": "balanced", "start": "3", "salvage": False}
    wanted = {"quality": "high", "start": "9", "salvage": "perhaps", "engine": "auto"}
    assert fitted(form, wanted, [sheet, "builtin"]) == [{**sheet, "quality": "high"}, "auto"]
    assert form.kept == ["", "engine"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[" * 100_000,
        "[" * 5_000,
        '{"tasks": [1]}',
        '{"tasks": {"inpaint": "high"}}',
        "[1, 2]",
        '{"a": 1' + "0" * 10_000 + "}",
        json.dumps({"tasks": {"inpaint": {"quality": "high" * 100_000}}}),
    ],
)
def test_what_no_browser_of_ours_kept_is_nothing(text: str) -> None:
    assert read(text) == {}


def test_the_shared_settings_are_kept() -> None:
    assert set(Settings.model_fields) - OF_THE_FILES - forms.SERVER_SIDE <= set(NAMES)
