"""Out of memory while rendering, and how much is held at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory.budget import Budget
from memory.devices import NoDevice
from memory.probe import Hardware, Host
from memory.units import GIB
from pipelines.animation.liveportrait import engine as portrait
from pipelines.animation.liveportrait.engine import BATCH_VARIABLE, LivePortraitEngine
from pipelines.animation.pipeline import AnimatePipeline
from pipelines.jobs import events
from pipelines.runtime.planning import estimate
from pipelines.settings import AnimateSettings
from presets.choose import Choice

from .conftest import Ask, Draw, colours, done, pictures, run
from .fakes import FakePortrait

FRAMES = 23
READY = {"source_crop": "none"}


def test_when_memory_ends_batches_are_halved_and_the_result_is_the_same(
    ask: Ask, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = draw("source", colours(1, 1)[0]), draw("driving", colours(FRAMES, 2))
    done(ask(*inputs, folder="free", frames_out=tmp_path / "free", batch_size=8, **READY))

    def little(frames: int) -> None:
        if frames > 3:
            raise MemoryError

    monkeypatch.setattr(FakePortrait, "before_drawing", staticmethod(little))
    job = ask(*inputs, folder="tight", frames_out=tmp_path / "tight", batch_size=8, **READY)
    done(job)
    steps = [event.rung for event, _ in job.journal.read() if isinstance(event, events.Degraded)]
    assert steps == ["retry", "drop idle networks", "halve batch", "halve batch"]
    assert max(FakePortrait.made[-1].drawn) == 2
    assert np.array_equal(pictures(tmp_path / "tight"), pictures(tmp_path / "free"))


def settings(weights: Path, **more: Any) -> AnimateSettings:
    return AnimateSettings(engine="liveportrait", weights=weights, device="cpu", faces="builtin", **more)


@pytest.mark.parametrize(
    ("asked", "said", "batch"), [(None, None, 1), (None, "6", 6), (4, "6", 4), (200, None, FRAMES)]
)
def test_the_batch_is_what_was_asked_for(
    asked: int | None,
    said: str | None,
    batch: int,
    ask: Ask,
    draw: Draw,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if said:
        monkeypatch.setenv(BATCH_VARIABLE, said)
    inputs = draw("source", colours(1, 1)[0]), draw("driving", colours(FRAMES, 2))
    plan = estimate("animate", inputs, settings(weights, batch_size=asked, **READY), tmp_path)
    assert plan.batch_frames == batch


@pytest.mark.parametrize("said", ["many", "0", "-3", "1000"])
def test_a_batch_that_is_no_number_is_refused(
    said: str, ask: Ask, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BATCH_VARIABLE, said)
    ending = run(ask(draw("source", colours(1, 1)[0]), draw("driving", colours(3, 2)), **READY))
    assert isinstance(ending, events.Failed)
    assert (ending.code, BATCH_VARIABLE in ending.message) == ("bad_input", True)


@pytest.mark.parametrize(("gib", "held"), [(8, 25), (16, 50), (32, 100), (64, 200), (200, 200)])
def test_how_many_frames_wait_follows_the_host(
    gib: int, held: int, draw: Draw, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Hardware(Host(gib * GIB, gib * GIB, gib * GIB), (), NoDevice("no GPU"))
    monkeypatch.setattr(portrait, "probe_hardware", lambda: machine)
    inputs = draw("source", colours(1, 1)[0]), draw("driving", colours(3, 2))
    engine = AnimatePipeline.open(LivePortraitEngine, inputs, settings(weights, **READY)).engine
    choice, _ = engine.fit(Choice("none", {"batch_frames": 4}, ""), Budget(GIB), "cuda")
    assert max(engine.windows(choice)) == held
    assert max(engine.batches(choice)) == 4
