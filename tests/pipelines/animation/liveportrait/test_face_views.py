"""Faces that are found, cropped, rendered and pasted back; several of them, faces that leave, and missing ones."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.animation.faces.alignment import fit
from pipelines.animation.faces.crop import PasteBack, extract_crop, inverse, source_input, source_square
from pipelines.animation.faces.selection import CascadeDetector, estimate_landmark_square
from pipelines.animation.liveportrait.crops import animate_crops
from pipelines.example.moving_face import DrawnFace
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.settings import PortraitOptions

from .conftest import Ask, Draw, colours, done, pictures, run
from .fakes import FakePortrait

FRAMES = 12
GRAY = np.full((256, 256, 3), 120, np.uint8)


def square_of(face: DrawnFace) -> Any:
    [box] = CascadeDetector().detect(face.picture)
    return source_square(estimate_landmark_square(fit(face.picture, box)), PortraitOptions())


def warned(job: Job) -> list[str]:
    """The first sentence of each warning."""
    said = [event.message for event, _ in job.journal.read() if isinstance(event, events.Warned)]
    return [f"{message.partition('. ')[0].removesuffix('.')}." for message in said]


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


def test_a_portrait_is_cropped_rendered_and_pasted_back(
    portrait: DrawnFace, ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    driving = colours(FRAMES, 2)
    job = ask(draw("source", portrait.picture), draw("driving", driving), frames_out=tmp_path / "out")
    outputs = done(job)
    matrix = square_of(portrait).to_crop()
    crop = source_input(extract_crop(portrait.picture, matrix))
    pasting = PasteBack.of(inverse(matrix), *portrait.picture.shape[:2])
    drawn = animate_crops(crop, driving, weights, {})[2]
    found = pictures(tmp_path / "out")
    assert np.array_equal(found, np.stack([pasting.paste(one, portrait.picture) for one in drawn]))
    assert json.loads(outputs.report.read_text())["summary"]["faces_by"] == "built-in face box"


@pytest.mark.parametrize("option", ["flag_pasteback", "flag_stitching"])
def test_without_pasting_the_result_is_the_rendered_crop(
    option: str, portrait: DrawnFace, ask: Ask, draw: Draw, weights: Path, tmp_path: Path
) -> None:
    driving = colours(3, 2)
    large = np.pad(portrait.picture, ((0, 0), (0, 200), (0, 0)), mode="edge")
    job = ask(draw("source", large), draw("driving", driving), frames_out=tmp_path / "out", **{option: False})
    done(job)
    assert pictures(tmp_path / "out").shape == (3, 512, 512, 3)


def test_a_large_source_is_made_smaller_and_its_box_too(
    portrait: DrawnFace, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    box = "155,108,222,222"
    job = ask(
        draw("source", portrait.picture),
        draw("driving", colours(3, 2)),
        frames_out=tmp_path / "out",
        source_max_dim=255,
        source_box=box,
    )
    done(job)
    assert warned(job) == ["The source was reduced from 512 x 512 to 254 x 254 pixels."]
    found = pictures(tmp_path / "out")
    assert found.shape == (3, 254, 254, 3)
    touched = changed(found[0], found[1])
    rows, columns = np.nonzero(touched)
    assert abs(columns.mean() - portrait.box.x / 2) < 6
    assert abs(rows.mean() - portrait.box.y / 2) < 12


@pytest.fixture
def two(portrait: DrawnFace, driver: DrawnFace) -> np.ndarray:
    """Two faces beside each other."""
    return np.hstack([portrait.picture, cv2.resize(driver.picture, (512, 512))])


@pytest.mark.parametrize(
    ("face", "moved"), [("all", (True, True)), ("1", (True, False)), ("2", (False, True))]
)
def test_of_several_faces_those_move_that_are_meant(
    face: str, moved: tuple[bool, bool], two: np.ndarray, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    job = ask(draw("source", two), draw("driving", colours(3, 2)), frames_out=tmp_path / "out", face=face)
    outputs = done(job)
    touched = changed(two, pictures(tmp_path / "out")[1])
    assert (touched[150:300, 200:330].mean() > 0.5, touched[150:300, 700:850].mean() > 0.5) == moved
    assert FakePortrait.made[0].portraits == [1] * sum(moved)
    assert json.loads(outputs.report.read_text())["summary"]["faces"] == sum(moved)


def test_a_driving_that_is_not_square_is_cut_by_one_window(
    clip: list[Any], ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    """As large and as high on the face as published, whatever lies around."""
    wide = np.pad(np.stack(clip[:FRAMES]), ((0, 0), (30, 10), (100, 0), (0, 0)), mode="edge")
    done(ask(draw("source", colours(1, 1)[0]), draw("driving", wide), source_crop="none"))
    crops = FakePortrait.made[0].crops[:FRAMES]
    shift = [cv2.phaseCorrelate(*(np.float32(c.mean(axis=2)) for c in (crops[0], crop)))[0] for crop in crops]
    assert np.abs(shift).max() < 8
    assert all(crop.shape == (256, 256, 3) for crop in crops)
    # 2.2 squares about the landmarks of a box of 106 pixels are 186; they lie a tenth of that above the middle.
    face = cv2.resize(wide[0][49:235, 135:321], (256, 256))
    alike = np.corrcoef(face[40:-40, 40:-40].ravel(), crops[0][40:-40, 40:-40].ravel())[0, 1]
    assert alike > 0.9


def test_each_frame_of_a_video_is_cut_where_its_face_is(
    clip: list[Any], ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    source = np.pad(np.stack(clip[:FRAMES]), ((0, 0), (60, 60), (60, 60), (0, 0)), mode="edge")
    source = np.stack([np.roll(frame, 3 * i, axis=1) for i, frame in enumerate(source)])
    done(ask(draw("source", source), draw("driving", colours(1, 2)[0]), frames_out=tmp_path / "out"))
    centres = [
        np.nonzero(changed(*pair))[1].mean() for pair in zip(source, pictures(tmp_path / "out"), strict=True)
    ]
    assert centres[-1] - centres[0] > 5


def test_frames_of_a_source_without_its_face_are_left_as_they_are(
    clip: list[Any], ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    source = np.stack([GRAY] * 8 + clip[:14] + [GRAY] * 38)
    job = ask(draw("source", source), draw("driving", colours(60, 2)), frames_out=tmp_path / "out")
    outputs = done(job)
    assert warned(job) == [
        "A face of the source is not visible in some frames, which are left unchanged; the report lists them."
    ]
    found = pictures(tmp_path / "out")
    # It is looked for on every eighth frame, and gone from the first on that is not known to show it.
    assert [bool(changed(*pair).any()) for pair in zip(found, source, strict=True)] == [
        8 <= i <= 16 for i in range(60)
    ]
    gone = json.loads(outputs.report.read_text())["summary"]["gone"]
    assert [one["of"] for one in gone] == ["source"]


def test_the_portrait_rests_where_the_driving_face_is_gone(
    clip: list[Any], ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    driving = np.stack(clip[:14] + [GRAY] * 34)
    job = ask(
        draw("source", colours(1, 1)[0]),
        draw("driving", driving),
        frames_out=tmp_path / "out",
        source_crop="none",
        flag_crop_driving_video=True,
    )
    outputs = done(job)
    found = pictures(tmp_path / "out")
    assert np.array_equal(found[30], found[45])
    assert not np.array_equal(found[5], found[30])
    summary = json.loads(outputs.report.read_text())["summary"]
    assert summary["frames_at_rest"] > 20
    [said] = warned(job)
    assert said.startswith("The portrait holds still on frames 9 to 47 (0.36 to 1.92 s: no face is seen).")
    assert summary["rest"] == [{"frames": [9, 48], "seconds": [0.36, 1.92], "reason": "no_face"}]


def test_a_missing_face_is_reported_before_the_first_frame(portrait: DrawnFace, ask: Ask, draw: Draw) -> None:
    blank, driving = draw("blank", np.full((256, 300, 3), 90, np.uint8)), draw("driving", colours(3, 2))
    for inputs, said in (
        ((blank, driving), "--source-box"),
        ((draw("s", portrait.picture), blank), "--driving-box"),
    ):
        ending = run(ask(*inputs))
        assert isinstance(ending, events.Failed)
        assert ending.code == "bad_input"
        assert said in ending.hint
    assert not any(networks.seen for networks in FakePortrait.made)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"flag_eye_retargeting": True}, "need face landmarks"),
        ({"face": "all", "flag_pasteback": False}, "Several faces"),
        ({"face": "3"}, "no face 3"),
    ],
)
def test_what_cannot_be_done_is_reported_before_the_first_frame(
    options: dict[str, Any], said: str, portrait: DrawnFace, ask: Ask, draw: Draw
) -> None:
    ending = run(ask(draw("source", portrait.picture), draw("driving", colours(3, 2)), **options))
    assert isinstance(ending, events.Failed)
    assert (ending.code, said in ending.message) == ("bad_input", True)
