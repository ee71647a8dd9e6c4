"""The registry: what tasks and engines say of themselves, once, and that nothing else is needed to use them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel, ValidationError

from pipelines import spec
from pipelines.engines.registry import open_pipeline
from pipelines.errors import BadInput
from pipelines.settings import engine_of
from pipelines.settings.base import setting
from pipelines.spec import (
    EngineSpec,
    all_engines,
    engine_spec,
    engines_of,
    read_settings,
    register_engine,
    register_task,
    settings_model,
    task_spec,
    tasks,
)
from pipelines.weights.catalog import PUBLISHED
from presets.tiers import TiersError

from .mask_clips import disc, encode, white

ENGINES = [pytest.param(engine, id=f"{engine.task}-{engine.name}") for engine in all_engines()]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(spec, "_tasks", dict(tasks()))
    monkeypatch.setattr(spec, "_engines", {task: dict(engines_of(task)) for task in tasks()})
    monkeypatch.setattr(spec, "PUBLISHED", dict(PUBLISHED))
    yield
    settings_model.cache_clear()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, ...]]:
    """What a job of each built-in task reads."""
    folder = tmp_path_factory.mktemp("inputs")
    frames = [np.full((32, 48, 3), 20 * i, np.uint8) for i in range(5)]
    clip = encode(folder / "clip.mp4", frames, "-pix_fmt", "yuv420p")
    mask, portrait = folder / "mask.png", folder / "portrait.png"
    white(disc(0)).save(mask)
    Image.new("RGB", (48, 32)).save(portrait)
    return {
        "score": (clip,),
        "inpaint": (clip, mask),
        "track": (clip, mask),
        "animate": (portrait, clip),
        "copy": (clip,),
        "compare": (clip, clip),
    }


# -- what is built in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", tasks())
def test_the_settings_offer_the_engines_of_the_registry(task: str) -> None:
    model = settings_model(task)
    engine = model.model_fields["engine"]
    assert get_args(engine.annotation) == ("auto", *engines_of(task)) and engine.default == "auto"
    assert {engine_of(model, name) for name in model.model_fields} <= {"", *engines_of(task)}
    assert issubclass(model, task_spec(task).settings) and model.__name__ == task_spec(task).settings.__name__
    for name in ("auto", *engines_of(task)):
        assert read_settings(task, {"engine": name}).engine == name
    with pytest.raises(ValidationError, match="engine"):
        read_settings(task, {"engine": "magic"})


@pytest.mark.parametrize("task", tasks())
def test_every_task_has_presets_and_inputs(task: str) -> None:
    told = task_spec(task)
    assert told.name == task and told.inputs and all(words for words in told.title)
    assert set(told.tables().quality) == set(get_args(told.settings.model_fields["quality"].annotation))
    assert not told.part_of or told.part_of in tasks()
    assert len({each.name for each in told.inputs}) == len(told.inputs) > told.many


@pytest.mark.parametrize("task", tasks())
def test_the_built_in_engine_opens(task: str, inputs: dict[str, tuple[Path, ...]]) -> None:
    engine = next(iter(engines_of(task).values()))
    assert engine.weights is None and not engine.network
    pipeline = open_pipeline(task, inputs[task], read_settings(task, {"engine": engine.name}))
    assert (pipeline.task, pipeline.engine.name) == (task, engine.name)
    assert pipeline.video.frames == 5
    *prepasses, last = pipeline.stages
    assert last.folder == "segments" and all(stage.folder.startswith("state/") for stage in prepasses)
    assert len({stage.folder for stage in pipeline.stages}) == len(pipeline.stages)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_networks_are_planned_by_the_gpu(
    engine: EngineSpec, inputs: dict[str, tuple[Path, ...]], request: pytest.FixtureRequest
) -> None:
    """Only then the presets look at it; the spec and the engine must agree."""
    settings = read_settings(engine.task, {"engine": engine.name})
    if engine.name == "qalign":
        weights = request.getfixturevalue("tiny_qalign").folder()
        settings = settings.model_copy(update={"weights": weights})
    opened = engine.open(inputs[engine.task], settings)
    assert (opened.task, opened.engine.name) == (engine.task, engine.name)
    assert opened.engine.network == engine.network


@pytest.mark.parametrize("engine", ENGINES)
def test_the_weights_of_an_engine_are_in_the_catalogue(engine: EngineSpec) -> None:
    assert engine.weights is None or PUBLISHED[engine.weights.model] is engine.weights
    assert engine.network == (engine.weights is not None) == (engine.least_device_gib > 0)


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(BadInput, match="no task 'paint'") as error:
        task_spec("paint")
    assert all(name in error.value.hint for name in tasks())
    for ask in (engines_of, settings_model, lambda task: engine_spec(task, "builtin")):
        with pytest.raises(BadInput, match="no task 'paint'"):
            ask("paint")
    with pytest.raises(BadInput, match="inpaint has no engine 'magic'") as error:
        engine_spec("inpaint", "magic")
    assert "flow, propainter" in error.value.hint


# -- what is added ---------------------------------------------------------------------------------------------


def nothing_opened(inputs: object, settings: object) -> None:
    """A job is opened by none of these tests."""


def test_a_second_engine_of_the_same_name_is_refused(registry: None) -> None:
    flow = engine_spec("inpaint", "flow")
    register_engine(flow)
    with pytest.raises(ValueError, match="'inpaint' already has an engine named 'flow'"):
        register_engine(replace(flow, open=nothing_opened))
    with pytest.raises(ValueError, match="'auto'"):
        register_engine(EngineSpec("inpaint", "auto", nothing_opened))
    assert engine_spec("inpaint", "flow") is flow and "auto" not in engines_of("inpaint")
    register_engine(EngineSpec("score", "flow", nothing_opened))
    assert list(engines_of("score"))[-1] == "flow", "of another task it is another engine"


def test_a_second_task_of_the_same_name_is_refused(registry: None) -> None:
    score = task_spec("score")
    register_task(score)
    with pytest.raises(ValueError, match="a task named 'score' is already"):
        register_task(replace(score, help="Another."))
    assert task_spec("score") is score


def test_weights_that_take_the_name_of_others_are_refused(registry: None) -> None:
    other = replace(PUBLISHED["qalign"], title="Other")
    with pytest.raises(ValueError, match="weights named 'qalign' are already"):
        register_engine(EngineSpec("score", "other", nothing_opened, weights=other))
    assert "other" not in engines_of("score") and spec.PUBLISHED["qalign"] is PUBLISHED["qalign"]


class Loudness(BaseModel):
    loudness: int = setting("How loud.", changes_result=True, engine="loud", default=3, ge=0)


def test_an_engine_that_is_added_is_offered_with_its_settings_and_weights(registry: None) -> None:
    before = settings_model("score")
    assert "loudness" not in before.model_fields
    weights = replace(PUBLISHED["qalign"], model="loud", title="Loud")
    register_engine(EngineSpec("score", "loud", nothing_opened, weights=weights, settings=Loudness))
    asked = read_settings("score", {"engine": "loud", "loudness": 5})
    assert isinstance(asked, task_spec("score").settings)
    assert asked.identity() == {**before().identity(), "engine": "loud", "loudness": 5}
    assert "loudness" not in read_settings("score", {"engine": "builtin"}).identity(), (
        "to others it is nothing"
    )
    assert spec.PUBLISHED["loud"] is weights
    with pytest.raises(ValidationError, match="loudness"):
        read_settings("score", {"loudness": -1})
    with pytest.raises(ValidationError, match="loudness"):
        read_settings("inpaint", {"loudness": 1})


def test_a_task_that_is_added_brings_its_presets_or_has_a_table(registry: None) -> None:
    register_task(replace(task_spec("score"), name="listen"))
    assert list(tasks())[-1] == "listen" and engines_of("listen") == {}
    with pytest.raises(TiersError, match="not for 'listen'"):
        task_spec("listen").tables()
    own = task_spec("score").tables()
    register_task(replace(task_spec("score"), name="hear", presets=own))
    assert task_spec("hear").tables() is own


PLUGIN = """
from dataclasses import replace
from pipelines.spec import engine_spec, register_engine, tasks

assert "score" in tasks(), "it may ask while it is imported"
register_engine(replace(engine_spec("score", "builtin"), name="plugged"))
"""


def test_a_plug_in_is_a_module_that_registers(
    registry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "plugged_engine.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(spec.PLUGINS, " plugged_engine ,")
    monkeypatch.setattr(spec, "_loaded", False)
    assert list(engines_of("score"))[-1] == "plugged"
    assert "plugged" in get_args(settings_model("score").model_fields["engine"].annotation)


def test_a_plug_in_that_cannot_be_imported_is_named_each_time(
    registry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_engine.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(spec.PLUGINS, "broken_engine")
    monkeypatch.setattr(spec, "_loaded", False)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"broken_engine cannot be imported \(ZeroDivisionError") as error:
            tasks()
        assert spec.PLUGINS in error.value.hint
