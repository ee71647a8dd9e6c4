"""Relative motion starts anew at a cut of the driving, goes on after a flash, and rests on a dissolve."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.animation.liveportrait.driving_parts import DrivingPart, by_part, make_parts, rests_of_parts
from pipelines.animation.takes.rest import Rest
from pipelines.animation.takes.shot_stage import Shots
from pipelines.spans import Span
from pipelines.vision.shots import GRID

from .conftest import Ask, Draw, colours, done, pictures

CUT, AFTER = 13, 14


def swaying(picture: Any, count: int) -> list[Any]:
    """A picture that turns a little, to and fro."""
    turns = [
        np.array(cv2.getRotationMatrix2D((128, 120), 3 * np.sin(0.5 * index), 1)) for index in range(count)
    ]
    return [cv2.warpAffine(picture, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE) for turn in turns]


def test_motion_after_a_cut_is_that_of_the_second_shot_alone(
    clip: list[Any], ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    first, second = swaying(clip[0], CUT), swaying(np.ascontiguousarray(255 - clip[0][::-1]), AFTER)
    source = draw("source", colours(1, 1)[0])
    found = {}
    for name, frames, batch in (
        ("both", first + second, 4),
        ("one", first + second, 1),
        ("alone", second, 4),
    ):
        job = ask(
            source,
            draw(name, np.stack(frames)),
            folder=name,
            frames_out=tmp_path / f"{name}-out",
            source_crop="none",
            batch_size=batch,
        )
        report = json.loads(done(job).report.read_text())
        found[name] = pictures(tmp_path / f"{name}-out"), report
    assert np.array_equal(found["both"][0][CUT:], found["alone"][0])
    assert np.array_equal(found["both"][0], found["one"][0])
    summary = found["both"][1]["summary"]
    assert summary["cuts"] == [{"frame": CUT, "seconds": CUT / 25}]
    assert any(f"cuts at frame {CUT} " in told for told in found["both"][1]["warnings"])
    assert found["alone"][1]["summary"]["cut_count"] == 0


def shots(*parts: tuple[int, int, bool]) -> Shots:
    """Make shots of lengths and places; the last value marks a dissolve."""
    places = [np.random.default_rng(place).integers(0, 128, GRID).astype(np.uint8) for _, place, _ in parts]
    stops = np.cumsum([length for length, _, _ in parts]).tolist()
    spans = [Span(stop - length, stop) for stop, (length, _, _) in zip(stops, parts, strict=True)]
    return Shots(tuple(spans), tuple((grid, grid) for grid in places), tuple(mixed for *_, mixed in parts))


def test_a_flash_is_a_break_and_a_dissolve_a_rest() -> None:
    parts = make_parts(shots((40, 0, False), (6, 1, False), (30, 0, False), (20, 2, True), (50, 3, False)))
    assert parts == (
        DrivingPart(Span(0, 76), (Span(40, 46),), ends_in_cut=True),
        DrivingPart(Span(76, 96), mixed=True, ends_in_cut=True),
        DrivingPart(Span(96, 146)),
    )
    presences = [
        part.presence(frame) for part in parts for frame in range(part.frames.start, part.frames.stop)
    ]
    assert [presences[at] for at in (0, 25, 35, 40, 50, 71, 75, 76, 95, 96, 145)] == [
        1, 1, 0.5, 0, 0.5, 0.5, 0.1, 0, 0, 1, 1,
    ]  # fmt: skip
    rests = rests_of_parts(parts, [np.array(presences, np.float32)], Span(0, 146))
    assert rests.kept == [Rest(Span(40, 46), "flash"), Rest(Span(76, 96), "dissolve")]
    whole = [(part.frames.start, frames) for part, frames in by_part(parts, Span(70, 100))]
    assert whole == [(0, slice(0, 6)), (76, slice(6, 26)), (96, slice(26, 30))]


def test_two_shots_of_the_same_place_far_apart_are_two_parts() -> None:
    parts = make_parts(shots((40, 0, False), (90, 1, False), (30, 0, False)))
    assert [part.frames for part in parts] == [Span(0, 40), Span(40, 130), Span(130, 160)]
