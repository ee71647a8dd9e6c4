"""The settings of a form: all of them once, read from what the browser sends, and shown again."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from pipelines.errors import BadInput
from pipelines.spec import settings_model
from ui.components import forms
from ui.components.option_sheet import sheets_script
from ui.components.settings_form import SettingsForm
from ui.jobs.service import JobService
from ui.page import I18N
from ui.server.answers import Told
from ui.server.policy import Policy


@pytest.fixture(params=["score", "inpaint", "animate"])
def form(request: pytest.FixtureRequest, make_queue: Any, good_run: Any) -> Iterator[SettingsForm]:
    service = JobService(make_queue(good_run), Policy(), grace_seconds=0)
    task = request.param
    with gr.Blocks() as blocks:
        made = SettingsForm(service, I18N, task, settings_model(task), lambda name: f"{task}-{name}")
        made.lay_out(("quality", "start", "end"), {}, ())
    made.blocks = blocks  # type: ignore[attr-defined]
    yield made
    service.presence.close()


def test_each_setting_is_in_the_form_once(form: SettingsForm) -> None:
    model = form._model
    names = [*form.fields, *(name for sheet in form.sheets for name in sheet.names)]
    assert sorted(names) == sorted(forms.field_names(model))
    script = sheets_script(form.blocks)  # type: ignore[attr-defined]
    for sheet in form.sheets:
        for name in sheet.names:
            assert (
                f'data-setting=\\"{name}\\"' in script
                and f'{name}-help\\" class=\\"lt-info\\" hidden' in script
            )


def test_what_is_shown_is_what_is_read(form: SettingsForm) -> None:
    model = form._model
    assert form.read(form.showing({})) == model()
    changed = model.model_validate({"quality": "high", "start": 1.5, "end": 3, "ram_limit_gb": 2})
    shown = form.showing(changed.model_dump())
    assert form.read(shown) == changed
    assert form.by_name(shown)["end"] == "3"


def test_nonsense_in_the_place_of_a_sheet_is_refused_with_a_sentence(form: SettingsForm) -> None:
    sheet = form.sheets[0]
    for payload in (None, "x", 3, ["quality"]):
        with pytest.raises(Told, match="bad_input"):
            sheet.component.preprocess(payload)
    assert sheet.component.preprocess({"quality": "high", "weights": "/etc"}) == {"quality": "high"}
    with pytest.raises(BadInput, match="Quality"):
        form.read([{**form.showing({})[0], "quality": {"a": 1}}, *form.showing({})[1:]])
