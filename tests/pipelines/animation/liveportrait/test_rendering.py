"""Ready crops, streamed: the same as all of them at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.animation.liveportrait.crops import animate_crops
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.video.probe import probe

from .conftest import SPAN_FRAMES, Ask, Draw, colours, done, pictures, run
from .fakes import FakePortrait

FRAMES = 23
READY = {"source_crop": "none"}


def expected(source: np.ndarray, driving: np.ndarray, weights: Path, **options: Any) -> np.ndarray:
    _, _, frames = animate_crops(source, driving, weights, {"flag_do_crop": False, **options})
    return np.stack(list(frames))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flag_relative_motion": False},
        {"driving_option": "pose-friendly", "driving_multiplier": 1.5},
        {"animation_region": "exp", "flag_stitching": False},
    ],
)
def test_a_picture_follows_a_video_as_if_all_of_it_were_held(
    options: dict[str, Any], ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    source, driving = colours(1, 1)[0], colours(FRAMES, 2)
    job = ask(
        draw("source", source), draw("driving", driving), frames_out=tmp_path / "out", **READY, **options
    )
    done(job)
    assert np.array_equal(pictures(tmp_path / "out"), expected(source, driving, weights, **options))


@pytest.mark.parametrize("variance", [3e-7, 1e-2])
def test_a_video_follows_a_video_smoothed_over_all_of_it(
    variance: float, ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    source, driving = colours(FRAMES, 1), colours(FRAMES + 3, 2)
    options = {"driving_smooth_observation_variance": variance}
    done(
        ask(draw("source", source), draw("driving", driving), frames_out=tmp_path / "out", **READY, **options)
    )
    assert np.array_equal(pictures(tmp_path / "out"), expected(source, driving, weights, **options))


def test_a_video_follows_a_picture(ask: Ask, draw: Draw, weights: Path, tmp_path: Path) -> None:
    source, driving = colours(FRAMES, 1), colours(1, 2)[0]
    done(ask(draw("source", source), draw("driving", driving), frames_out=tmp_path / "out", **READY))
    assert np.array_equal(pictures(tmp_path / "out"), expected(source, driving, weights))


def test_a_picture_follows_a_picture_as_a_picture(
    ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    source, driving = colours(1, 1)[0], colours(1, 2)[0]
    job = ask(draw("source", source), draw("driving", driving), frames_out=tmp_path / "out", **READY)
    outputs = done(job)
    assert np.array_equal(pictures(tmp_path / "out"), expected(source, driving, weights))
    assert outputs.result and outputs.result.suffix == ".png"


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_a_batch_changes_nothing(
    batch_size: int, ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    source, driving = colours(1, 1)[0], colours(FRAMES, 2)
    paths = draw("source", source), draw("driving", driving)
    done(ask(*paths, frames_out=tmp_path / "out", batch_size=batch_size, **READY))
    [networks] = FakePortrait.made
    assert sum(networks.drawn) == FRAMES
    assert max(networks.drawn) == min(batch_size, SPAN_FRAMES)
    assert networks.portraits == [1]
    assert networks.let[0] == "motion"
    assert np.array_equal(pictures(tmp_path / "out"), expected(source, driving, weights))


@pytest.mark.parametrize("moving", [False, True])
def test_a_run_that_was_stopped_gives_the_same_bytes(
    moving: bool, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    source = draw("source", colours(FRAMES, 1) if moving else colours(1, 1)[0])
    inputs = source, draw("driving", colours(FRAMES, 2))
    whole, parts = ask(*inputs, folder="whole", **READY), ask(*inputs, folder="parts", **READY)
    done(whole)
    stopped(parts)
    assert (parts.folder / "result.mp4").read_bytes() == (whole.folder / "result.mp4").read_bytes()


def test_a_part_of_a_video_is_animated_as_if_it_were_all(
    ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    source, driving = colours(1, 1)[0], colours(FRAMES, 2)
    paths = draw("source", source), draw("driving", driving)
    done(ask(*paths, frames_out=tmp_path / "out", start=0.2, end=0.8, **READY))
    assert np.array_equal(pictures(tmp_path / "out"), expected(source, driving[5:20], weights))


def test_the_report_tells_what_was_done(ask: Ask, draw: Draw) -> None:
    inputs = draw("source", colours(1, 1)[0]), draw("driving", colours(3, 2))
    outputs = done(ask(*inputs, flag_normalize_lip=True, **READY))
    assert outputs.report
    report = json.loads(outputs.report.read_text())
    assert (report["engine"], report["size"]) == ("liveportrait", [512, 512])
    assert report["summary"]["faces"] == 1
    assert "lips were not closed" in report["warnings"][0]


def test_the_video_has_the_size_and_the_times_of_the_rendered_frames(
    ask: Ask, draw: Draw, films: None
) -> None:
    inputs = draw("source", colours(1, 1)[0]), draw("driving", colours(FRAMES, 2))
    whole, parts = ask(*inputs, folder="whole", **READY), ask(*inputs, folder="parts", **READY)
    outputs = done(whole)
    assert outputs.result
    video = probe(outputs.result)
    assert (video.width, video.height, video.frames, video.frame_rate) == (512, 512, FRAMES, 25)
    stopped(parts)
    assert (parts.folder / "result.mp4").read_bytes() == outputs.result.read_bytes()


def stopped(job: Job) -> None:
    """Run it to the end, stopping it after every span."""

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Segment):
            job.request("pause")

    stops = 0
    while not isinstance(ending := run(job, echo=stop), events.Done):
        assert isinstance(ending, events.Paused), ending
        stops += 1
    assert stops >= 4
