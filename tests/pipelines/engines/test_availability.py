"""Which engine runs: what is asked for, and for `auto` the network where nothing stands against it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from memory.devices import Device, NoDevice
from memory.probe import Hardware, Host
from memory.units import GIB
from pipelines.cli.console import Console
from pipelines.cli.licence import prepare_engine
from pipelines.engines import availability
from pipelines.engines.availability import (
    Resolved,
    auto_choice,
    check_weights,
    models_of,
    offers,
    resolve,
)
from pipelines.engines.registry import open_pipeline
from pipelines.errors import BadInput, InputChanged, WeightsBroken, WeightsMissing
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import AnimateSettings, InpaintSettings, ScoreSettings, Settings
from pipelines.settings.devices import device_for
from pipelines.spec import engines_of, read_settings, tasks
from pipelines.weights import licences
from pipelines.weights.catalog import PUBLISHED

HOST = Host(16 * GIB, 12 * GIB, 16 * GIB)
CARD = Device("cuda", 0, "Card", "GPU-1", 24 * GIB, GIB)
SMALL = Device("cuda", 1, "Small card", "GPU-2", 2 * GIB, 2 * GIB)
WITH_CARD = Hardware(HOST, (CARD, SMALL))
WITHOUT = Hardware(HOST, (), NoDevice("No NVIDIA driver answers."))


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ProPainter's files, where weights usually are; its licence is accepted."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in PUBLISHED["propainter"].files:
        (folder / file.name).write_bytes(file.name.encode() * 100)
    monkeypatch.setenv("LONGTAKE_WEIGHTS", str(folder))
    monkeypatch.setenv("LONGTAKE_CONFIG", str(tmp_path / "config"))
    licences.accept("propainter")
    return folder


@pytest.mark.parametrize("task", tasks())
def test_built_in_first_then_networks_that_need_nothing_but_published_weights(task: str) -> None:
    builtin, *networks = offers(task, read_settings(task, {}), WITH_CARD)
    assert (builtin.spec.network, builtin.spec.weights, builtin.error) == (False, None, None)
    for offer in networks:
        assert offer.spec.network and offer.spec.weights and offer.spec.least_device_gib > 0
        assert isinstance(offer.error, WeightsMissing), "there are none here"
    assert auto_choice([builtin, *networks]) == builtin


def test_without_weights_auto_is_the_built_in_engine() -> None:
    assert resolve("inpaint", InpaintSettings(), WITH_CARD).settings.engine == "flow"
    assert resolve("score", ScoreSettings(), WITH_CARD).settings.engine == "builtin"
    for task in ("copy", "track"):
        assert resolve(task, read_settings(task, {})).settings.engine == "builtin"


def test_auto_takes_the_network_where_everything_is_there(weights: Path) -> None:
    assert resolve("inpaint", InpaintSettings(), WITH_CARD).settings.engine == "propainter"
    assert resolve("score", ScoreSettings(), WITH_CARD).settings.engine == "builtin", (
        "that has weights of its own"
    )


@pytest.mark.parametrize(
    ("settings", "hardware"),
    [
        ({}, WITHOUT),
        ({"device": "cpu"}, WITH_CARD),
        ({"device": "cuda:1"}, WITH_CARD),
        ({"device": "cuda:7"}, WITH_CARD),
        ({"device": "mps"}, WITH_CARD),
        ({"vram_limit_gb": 3}, WITH_CARD),
        ({"preset": "none"}, WITH_CARD),
        ({}, Hardware(HOST, (Device("mps", 0, "Apple GPU", "", 10 * GIB, 10 * GIB),))),
    ],
)
def test_auto_needs_a_card_that_holds_it(weights: Path, settings: dict, hardware: Hardware) -> None:
    assert resolve("inpaint", InpaintSettings(**settings), hardware).settings.engine == "flow"


def test_auto_needs_consent(weights: Path) -> None:
    licences.consent_file().unlink()
    assert resolve("inpaint", InpaintSettings(), WITH_CARD).settings.engine == "flow"
    assert resolve("inpaint", InpaintSettings(engine="propainter"), WITH_CARD).settings.engine == "propainter"


def test_a_folder_that_is_given_is_what_auto_looks_at(weights: Path, tmp_path: Path) -> None:
    assert resolve("inpaint", InpaintSettings(weights=tmp_path / "none"), WITH_CARD).settings.engine == "flow"


@pytest.mark.parametrize(("preset", "total"), [("auto", 24.0), ("8gb", 8.0)])
def test_a_preset_is_a_smaller_card(preset: str, total: float) -> None:
    found = device_for(ScoreSettings(preset=preset), WITH_CARD)
    assert found and found.total_bytes == total * GIB


def test_a_device_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(BadInput, match=r"no device cuda:7\. There are: cuda:0, cuda:1\."):
        device_for(ScoreSettings(device="cuda:7"), WITH_CARD)
    with pytest.raises(BadInput, match=r"no device cuda\. No NVIDIA driver answers"):
        device_for(ScoreSettings(device="cuda"), WITHOUT)
    assert device_for(ScoreSettings(), WITHOUT) is None
    assert device_for(ScoreSettings(device="cuda:1"), WITH_CARD) == SMALL


def test_an_offer_says_what_an_engine_has_and_lacks(weights: Path) -> None:
    builtin, network = offers("inpaint", InpaintSettings(), WITH_CARD)
    assert auto_choice([builtin, network]) == network and builtin.spec.weights is None
    assert network.suits_auto and {path.parent for path in network.files.values()} == {weights}
    assert network.device and network.device.name == "Card" and network.spec.title == "ProPainter"
    (weights / "ProPainter.pth").unlink()
    _, network = offers("inpaint", InpaintSettings(), WITHOUT)
    assert isinstance(network.error, WeightsMissing) and not network.suits_auto
    _, network = offers("inpaint", InpaintSettings(device="cuda"), WITHOUT)
    assert isinstance(network.error, BadInput)


def test_models_of_a_run_are_the_engines_and_those_that_the_settings_add() -> None:
    assert models_of("score", ScoreSettings(engine="builtin")) == ()
    assert models_of("inpaint", InpaintSettings(engine="propainter")) == ("propainter",)
    follows = InpaintSettings(engine="flow", box=["1,2,30,20@0"], tracker="sam2")
    assert models_of("inpaint", follows) == ("sam2",)
    portrait = AnimateSettings(engine="liveportrait", faces="insightface")
    assert models_of("animate", portrait) == ("liveportrait", "insightface")


@pytest.mark.parametrize("task", tasks())
def test_an_engine_that_only_the_settings_know_fails_by_name(task: str, clip: Path) -> None:
    settings = tasks()[task].settings(engine="magic")
    said = rf"{task} has no engine 'magic'"
    for ask in (
        lambda: open_pipeline(task, (clip, clip), settings),
        lambda: resolve(task, settings),
        lambda: resolve(task, settings, WITH_CARD),
        lambda: models_of(task, settings),
        lambda: submit(clip, settings, task),
    ):
        with pytest.raises(BadInput, match=said) as raised:
            ask()
        assert all(name in raised.value.hint for name in engines_of(task)), "the choices"
    assert [offer.spec.name for offer in offers(task, settings, WITH_CARD)] == list(engines_of(task))
    assert not list((clip.parent / "jobs").glob("*")), "no job is left of it"


# -- what a job is known by ------------------------------------------------------------------------------------


class NoRunner:
    """Nothing is run."""

    worker = None

    def run(self, job: Job, hear: object) -> str | None:
        return "not today"

    def let_go(self) -> None: ...


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a video")
    return path


def submit(clip: Path, settings: Settings | Resolved[Any], task: str = "inpaint") -> Job:
    queue = JobQueue(clip.parent / "jobs", runner=NoRunner())  # type: ignore[arg-type]
    try:
        return queue.submit(task, clip, settings)
    finally:
        queue.close()


def test_a_job_has_the_engine_that_auto_stood_for(clip: Path) -> None:
    job = submit(clip, ScoreSettings(), "score")
    assert job.record().settings.engine == "builtin"
    assert job == submit(clip, ScoreSettings(engine="builtin"), "score")
    assert job.record().weights == ()


def test_weights_are_part_of_a_jobs_id_and_no_inputs(clip: Path, weights: Path, tmp_path: Path) -> None:
    asked = InpaintSettings(engine="propainter")
    job = submit(clip, asked)
    record = job.record()
    assert [known.path.name for known in record.weights] == sorted(f.name for f in weights.iterdir())
    assert [known.path for known in record.inputs] == [clip]
    moved = weights.rename(tmp_path / "elsewhere")
    again = submit(clip, asked.model_copy(update={"weights": moved}))
    assert again == job, "where they lie is no matter"
    assert all(known.path.parent == moved for known in again.record().weights)
    (moved / "ProPainter.pth").write_bytes(b"others")
    assert submit(clip, asked.model_copy(update={"weights": moved})) != job


def test_weights_are_looked_for_once_before_a_job_starts(
    clip: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    find = availability.find

    def counted(model: str, folder: Path | None = None) -> Mapping[str, Path]:
        asked.append(model)
        return find(model, folder)

    monkeypatch.setattr(availability, "find", counted)
    resolved = prepare_engine("inpaint", InpaintSettings(engine="propainter"), Console(json=True))
    job = submit(clip, resolved)
    assert job.record().settings.engine == "propainter"
    assert asked == ["propainter"]


def test_options_of_another_engine_change_nothing(clip: Path, weights: Path) -> None:
    flow = submit(clip, InpaintSettings(engine="flow"))
    assert submit(clip, InpaintSettings(engine="flow", raft_iter=3, neighbor_length=4)) == flow
    network = submit(clip, InpaintSettings(engine="propainter"))
    assert network != flow
    assert submit(clip, InpaintSettings(engine="propainter", raft_iter=3)) not in (network, flow)


def test_a_network_without_weights_is_refused_before_there_is_a_job(clip: Path) -> None:
    with pytest.raises(WeightsMissing, match="ProPainter needs"):
        submit(clip, InpaintSettings(engine="propainter"))
    assert Job.all(clip.parent / "jobs") == []


def test_weights_are_held_against_those_of_the_start(weights: Path, tmp_path: Path) -> None:
    asked = InpaintSettings(engine="propainter")
    known = resolve("inpaint", asked).weights
    check_weights("inpaint", asked, known)
    moved = weights.rename(tmp_path / "elsewhere")
    with pytest.raises(WeightsMissing):
        check_weights("inpaint", asked, known)
    there = asked.model_copy(update={"weights": moved})
    check_weights("inpaint", there, known)
    (moved / "raft-things.pth").write_bytes(b"others")
    with pytest.raises(InputChanged, match="weights of ProPainter have changed"):
        check_weights("inpaint", there, known)
    check_weights("inpaint", InpaintSettings(engine="flow"), ())


def test_weights_that_cannot_be_read_are_broken(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pipelines.jobs.inputs.read_contents", refused)
    resolved = resolve("inpaint", InpaintSettings(engine="propainter"))
    with pytest.raises(WeightsBroken, match="Permission denied"):
        _ = resolved.weights


def test_a_record_of_before_has_no_weights(clip: Path) -> None:
    job = Job.create(clip.parent / "jobs", "score", (clip,), ScoreSettings(), 1)
    (known,) = job.record().inputs
    assert known == InputFile.of(clip)
    text = (job.folder / "job.json").read_text().replace(' "weights": [],\n', "")
    assert "weights" not in text.split('"asked"')[0]
    (job.folder / "job.json").write_text(re.sub(r',\s*"seal": "\w+"', "", text))
    assert job.record().weights == ()
