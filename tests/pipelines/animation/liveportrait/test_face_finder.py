"""Published models that find landmarks: crops around them, and eyes and lips that open as the driving ones do."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.animation.faces.crop import extract_crop, landmark_bounds, source_input, source_square
from pipelines.animation.faces.onnx_landmarks import DETECTOR, LANDMARKS, POINTS, OnnxDetector, OnnxFace
from pipelines.animation.liveportrait import face_finder
from pipelines.animation.liveportrait.crops import animate_crops
from pipelines.engines.availability import models_of, resolve
from pipelines.jobs import events
from pipelines.settings import AnimateSettings, PortraitOptions
from pipelines.weights.catalog import PUBLISHED

from .conftest import Ask, Draw, colours, done, pictures, run
from .fakes import FakePortrait

FRAMES = 21
EYES_NOSE_MOUTH = np.array([(-20, -25), (20, -25), (0, 0), (-15, 25), (15, 25)], np.float32)


def marked(frames: np.ndarray, hidden: range = range(0)) -> np.ndarray:
    """Frames with a face, which is a red spot that moves to the right; its blue says how open eyes and lips are."""
    frames = frames.copy()
    for i, frame in enumerate(frames):
        if i not in hidden:
            cv2.rectangle(frame, (99 + i, 119), (101 + i, 121), (255, 0, 5 * i), -1)
    return frames


def landmarks(frame: np.ndarray, kind: int = 203) -> np.ndarray:
    rows, columns = np.nonzero((frame[..., 0] == 255) & (frame[..., 1] == 0))
    middle = np.array([columns.mean(), rows.mean()])
    opened = 1 + frame[rows[0], columns[0], 2] / 100
    turns = np.linspace(0, 2 * np.pi, kind, endpoint=False)
    points = 40 * np.stack((np.sin(turns), np.cos(turns)), axis=1)
    eyes = ((0, 6, 12, 18), (24, 30, 36, 42)) if kind == 203 else ((33, 35, 40, 39), (87, 89, 94, 93))
    for side, (outer, upper, inner, lower) in zip((-1, 1), eyes, strict=True):
        points[[outer, inner]] = (18 * side + 6, -20), (18 * side - 6, -20)
        points[[upper, lower]] = (18 * side, -20 - opened), (18 * side, -20 + opened)
    points[list((48, 66) if kind == 203 else (52, 61))] = (-12, 20), (12, 20)
    if kind == 203:
        points[[90, 102]] = (0, 20 - opened), (0, 20 + opened)
    return (points + middle).astype(np.float32)


class Spots(OnnxDetector):
    """Finds the red spots, exactly and from each frame alone."""

    def __init__(self) -> None:
        super().__init__({})

    def detect_faces(self, picture: Any) -> list[OnnxFace]:
        if not ((picture[..., 0] == 255) & (picture[..., 1] == 0)).any():
            return []
        points = landmarks(picture)
        x, y = middle = points.mean(axis=0)
        sides = np.array([x - 40, y - 40, x + 40, y + 40], np.float32)
        return [OnnxFace(sides, 0.9, EYES_NOSE_MOUTH + middle)]

    def points(self, picture: Any, face: OnnxFace) -> Any:
        return landmarks(picture, 106)

    def landmarks(self, picture: Any, around: Any) -> Any:
        spot = (picture[..., 0] == 255) & (picture[..., 1] == 0)
        return landmarks(picture) if spot.any() else around


@pytest.fixture
def published(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install all that landmarks need."""
    for file in PUBLISHED["insightface"].files:
        (weights / file.name).parent.mkdir(parents=True, exist_ok=True)
        (weights / file.name).write_bytes(file.name.encode())
    known = dict.fromkeys((DETECTOR, POINTS, LANDMARKS), weights)
    monkeypatch.setattr(face_finder, "find_files", lambda folder: known)
    monkeypatch.setattr(face_finder, "OnnxDetector", lambda files: Spots())
    return weights


@pytest.mark.parametrize(
    "options",
    [
        {"flag_eye_retargeting": True, "flag_relative_motion": False},
        {"flag_eye_retargeting": True, "flag_lip_retargeting": True},
        {"flag_normalize_lip": True},
    ],
)
def test_openness_is_that_of_every_frame(
    options: dict[str, Any], published: Path, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    source, driving = marked(colours(1, 1))[0], marked(colours(FRAMES, 2))
    plain = {"faces": "insightface", "source_crop": "none"}
    inputs = draw("source", source), draw("driving", driving)
    done(ask(*inputs, frames_out=tmp_path / "out", **plain, **options))
    marks = {"source": landmarks(source), "driving": np.stack([landmarks(frame) for frame in driving])}
    _, _, frames = animate_crops(source, driving, published, {"flag_do_crop": False, **options}, marks)
    assert np.array_equal(pictures(tmp_path / "out"), np.stack(list(frames)))


def test_the_eyes_of_a_source_video_are_kept_open(
    published: Path, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    source, driving = marked(colours(FRAMES, 1)), colours(1, 2)[0]
    options = {"flag_source_video_eye_retargeting": True}
    plain = {"faces": "insightface", "source_crop": "none"}
    inputs = draw("source", source), draw("driving", driving)
    done(ask(*inputs, frames_out=tmp_path / "out", **plain, **options))
    marks = {"source": np.stack([landmarks(frame) for frame in source])}
    _, _, frames = animate_crops(source, driving, published, {"flag_do_crop": False, **options}, marks)
    assert np.array_equal(pictures(tmp_path / "out"), np.stack(list(frames)))


def test_a_source_is_cropped_around_the_landmarks_of_every_frame(
    published: Path, ask: Ask, draw: Draw
) -> None:
    source = marked(colours(FRAMES, 1))
    done(ask(draw("source", source), draw("driving", colours(1, 2)[0]), faces="insightface"))
    squares = [source_square(landmark_bounds(landmarks(frame)), PortraitOptions()) for frame in source]
    expected = [source_input(extract_crop(f, s.to_crop())) for f, s in zip(source, squares, strict=True)]
    found = np.stack(FakePortrait.made[0].crops[:FRAMES]).astype(int)
    assert np.abs(found - np.stack(expected)).max() <= 1, "squares are kept as float32"


def test_frames_before_the_face_are_rested_through(
    published: Path, ask: Ask, draw: Draw, tmp_path: Path
) -> None:
    driving = marked(colours(FRAMES, 2), hidden=range(10))
    job = ask(
        draw("source", marked(colours(1, 1))[0]),
        draw("driving", driving),
        frames_out=tmp_path / "out",
        faces="insightface",
        flag_lip_retargeting=True,
        flag_crop_driving_video=True,
    )
    done(job)
    found = pictures(tmp_path / "out")
    assert all(np.array_equal(found[0], frame) for frame in found[:16])
    assert not np.array_equal(found[0], found[20])


def test_where_models_are_missing_that_were_asked_for(
    weights: Path, published: Path, ask: Ask, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask(draw("s", marked(colours(1, 1))[0]), draw("d", colours(3, 2)), faces="insightface")
    monkeypatch.setattr(face_finder, "find_files", lambda folder: None)
    ending = run(job)
    assert isinstance(ending, events.Failed)
    assert (ending.code, "builtin" in ending.hint) == ("weights_missing", True)


def test_what_finds_faces_is_settled_when_a_job_is_asked_for(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = AnimateSettings(engine="liveportrait", weights=published)
    assert resolve("animate", open_).settings.faces == "insightface"
    assert models_of("animate", resolve("animate", open_).settings) == ("liveportrait", "insightface")
    monkeypatch.setattr(face_finder, "find_files", lambda folder: {DETECTOR: published, POINTS: published})
    assert resolve("animate", open_).settings.faces == "builtin"
    assert models_of("animate", resolve("animate", open_).settings) == ("liveportrait",)
    bent = AnimateSettings(engine="flowwarp", faces="insightface")
    assert resolve("animate", bent).settings == bent
    assert models_of("animate", bent) == ()
