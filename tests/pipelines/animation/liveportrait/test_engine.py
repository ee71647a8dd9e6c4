"""The real networks, on stand-in weights: slow."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.animation.liveportrait import engine
from pipelines.animation.liveportrait.crops import animate_crops
from pipelines.animation.liveportrait.networks import LivePortrait

from .conftest import Ask, Draw, done, pictures

FRAMES = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not os.environ.get("LONGTAKE_SLOW"), reason="six frames of eight seconds; LONGTAKE_SLOW=1 draws them"
    ),
]


def test_streamed_frames_are_those_of_the_whole_clip(
    ask: Ask,
    draw: Draw,
    shared: Path,
    liveportrait_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "LivePortrait", LivePortrait)
    monkeypatch.setattr("pipelines.animation.liveportrait.crops.LivePortrait", LivePortrait)
    with np.load(shared / "parity/liveportrait/e2e_inputs.npz") as arrays:
        source, driving = arrays["source"], arrays["driving"][:FRAMES]
    job = ask(
        draw("source", source),
        draw("driving", driving),
        frames_out=tmp_path / "out",
        weights=liveportrait_weights,
        source_crop="none",
        batch_size=2,
    )
    done(job)
    options: dict[str, Any] = {"flag_do_crop": False}
    _, _, frames = animate_crops(source, driving, liveportrait_weights, options, batch_size=FRAMES)
    assert np.array_equal(pictures(tmp_path / "out"), np.stack(list(frames)))
