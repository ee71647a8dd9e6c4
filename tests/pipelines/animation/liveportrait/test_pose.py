"""Portraits posed by hand: what a pose asks of the keypoints, and the picture that comes back."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.animation.liveportrait.pose import Poser, pose_motion
from pipelines.animation.motion.keypoints import EYES, LIPS, POINTS, movable, rotation
from pipelines.animation.motion.motions import Motions
from pipelines.errors import BadInput, NotAVideo
from pipelines.example.moving_face import DrawnFace
from pipelines.settings import PoseSettings

from .fakes import FakePortrait

BOX = "150,60,200,200"


def still(*, landmarks: bool = True) -> Motions:
    crop = np.random.default_rng(3).integers(0, 255, (1, 256, 256, 3), np.uint8)
    marks = np.random.default_rng(4).random((1, 203, 2), np.float32) if landmarks else None
    return FakePortrait().motions(crop, marks)


def same(one: Motions, other: Motions) -> bool:
    return all(
        np.array_equal(a, b) for a, b in zip(one.parts().values(), other.parts().values(), strict=True)
    )


@pytest.fixture
def picture(portrait: DrawnFace, tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    cv2.imwrite(str(path), portrait.picture[..., ::-1])
    return path


def test_nothing_asked_is_the_portrait_as_it_is() -> None:
    before = still(landmarks=False)
    assert same(pose_motion(before, PoseSettings()), before)


def test_a_head_turns_from_where_it_is() -> None:
    before = still()
    found = pose_motion(before, PoseSettings(pitch=5, yaw=-20, roll=3))
    angles = (np.array([[angle]], np.float32) for angle in (5, -20, 3))
    assert np.allclose(found.turn, rotation(*angles) @ before.turn, atol=1e-6)
    assert np.array_equal(found.expression, before.expression)


def test_points_move_where_they_may() -> None:
    before = still()
    found = pose_motion(before, PoseSettings(key=("14:0.01,-0.02,0", "3:0,0.5,0")))
    moved = found.expression - before.expression
    assert moved[0, 14] == pytest.approx([0.01, -0.02, 0], abs=1e-6)
    assert moved[0, 3] == pytest.approx([0, 0.5, 0], abs=1e-6)
    others = [point for point in range(POINTS) if point not in (3, 14)]
    assert not moved[0, others].any()


@pytest.mark.parametrize(("key", "words"), [("0:1,0,0", "does not move"), ("3:1,0,0", "moves in y only")])
def test_a_point_that_does_not_follow_expressions_is_refused(key: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        pose_motion(still(), PoseSettings(key=(key,)))


def test_lips_and_eyes_are_among_the_points_that_move() -> None:
    assert all(movable(point) == (0, 1, 2) for point in (*EYES, *LIPS))
    assert [point for point in range(POINTS) if not movable(point)] == [0, 7, 10]


def test_eyes_and_lips_open_from_where_they_are_and_never_past_shut() -> None:
    before = still()
    wider = pose_motion(before, PoseSettings(eyes=0.1, lips=0.2))
    assert np.allclose(wider.eyes, before.eyes.mean() + 0.1)
    assert np.allclose(wider.lips, before.lips + 0.2)
    shut = pose_motion(before, PoseSettings(eyes=-0.8, lips=-0.8))
    assert shut.eyes.min() >= 0 and shut.lips.min() >= 0


def test_a_portrait_is_drawn_where_its_face_is_and_stays_as_it_was_elsewhere(
    picture: Path, portrait: DrawnFace
) -> None:
    settings = PoseSettings(source_box=BOX, scale=1.2)
    poser = Poser(picture, settings, FakePortrait())
    turned = poser.render(settings.model_copy(update={"yaw": 9.0}))
    changed = (turned != portrait.picture).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert turned.shape == portrait.picture.shape and changed.any()
    # The cut-out is 1.2 faces wide and lies about the box.
    assert np.ptp(columns) < 330 and np.ptp(rows) < 330
    assert columns.min() > 50 and columns.max() < 450


def test_a_crop_is_returned_where_it_is_not_pasted_back(picture: Path) -> None:
    settings = PoseSettings(source_box=BOX, flag_pasteback=False)
    assert Poser(picture, settings, FakePortrait()).render(settings).shape == (512, 512, 3)
    ready = PoseSettings(source_crop="none")
    assert Poser(picture, ready, FakePortrait()).render(ready).shape == (512, 512, 3)


def test_a_portrait_is_analysed_once_for_every_pose(picture: Path) -> None:
    networks, settings = FakePortrait(), PoseSettings(source_box=BOX)
    poser = Poser(picture, settings, networks)
    poses = [settings.model_copy(update={"roll": float(angle)}) for angle in (0, 10, 20)]
    drawn = [poser.render(pose) for pose in poses]
    assert (networks.seen, networks.portraits, networks.drawn) == ([1], [1], [1, 1, 1])
    assert not np.array_equal(drawn[0], drawn[1])


def test_without_landmarks_eyes_and_lips_are_refused(picture: Path) -> None:
    settings = PoseSettings(source_box=BOX, eyes=0.1)
    with pytest.raises(BadInput, match="No landmarks"):
        Poser(picture, settings, FakePortrait()).render(settings)


def test_several_faces_are_posed_one_at_a_time(
    portrait: DrawnFace, driver: DrawnFace, tmp_path: Path
) -> None:
    path = tmp_path / "two.png"
    other = cv2.resize(driver.picture, portrait.picture.shape[1::-1])
    cv2.imwrite(str(path), np.hstack([portrait.picture, other])[..., ::-1])
    with pytest.raises(BadInput, match="Only one face"):
        Poser(path, PoseSettings(face="all"), FakePortrait())
    assert Poser(path, PoseSettings(face="2"), FakePortrait()).render(PoseSettings(face="2")).shape[1] == 1024


@pytest.mark.parametrize("name", ["clip.mp4", "motion.npz"])
def test_only_a_picture_is_posed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match="not a picture"):
        Poser(tmp_path / name, PoseSettings(), FakePortrait())


def test_a_broken_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"x")
    with pytest.raises((NotAVideo, BadInput)):
        Poser(tmp_path / "broken.png", PoseSettings(), FakePortrait())


@pytest.mark.parametrize("asked", [{"yaw": 46}, {"lips": 1}, {"key": ("21:0,0,0",)}, {"key": ("4:0,0",)}])
def test_what_cannot_be_asked_for_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"less than or equal|Write point:x,y,z"):
        PoseSettings(**asked)
