"""Faces that are small in their picture: found down to 48 pixels, and nothing else with them."""

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from pipelines.animation.faces import small_faces
from pipelines.animation.faces.cascade import MIN_VOTES, FaceBox, detect_by_votes, detect_fast
from pipelines.animation.faces.selection import CascadeDetector, UserBox, find_faces, find_reference
from pipelines.animation.faces.small_faces import detect_small, smallest_face_px
from pipelines.errors import BadInput

ASTRONAUT = FaceBox(224, 117, 106)
"""The face in scikit-image's astronaut, 512 x 512."""


def scene(width: int, height: int, face_px: int, background: Any = None) -> tuple[Any, FaceBox]:
    """Draw somebody with a face of `face_px` on a plain or given background; returns the picture and the face."""
    picture = np.full((height, width, 3), (90, 110, 140), np.uint8)
    if background is not None:
        picture[:] = cv2.resize(background, (width, height), interpolation=cv2.INTER_CUBIC)
    scale = face_px / ASTRONAUT.size
    side = round(512 * scale)
    left, top = (width - side) * 2 // 3, height - side
    picture[top:, left : left + side] = cv2.resize(
        data.astronaut(), (side, side), interpolation=cv2.INTER_AREA
    )
    return picture, FaceBox(left + ASTRONAUT.x * scale, top + ASTRONAUT.y * scale, face_px)


def assert_same(found: FaceBox, face: FaceBox) -> None:
    assert (found.x, found.y) == pytest.approx((face.x, face.y), abs=0.15 * face.size)
    assert found.size == pytest.approx(face.size, rel=0.25)


@pytest.mark.parametrize(
    ("width", "height", "face_px"),
    [(1280, 720, 48), (1280, 720, 120), (1920, 1080, 150), (720, 1280, 56), (640, 360, 48)],
)
def test_a_small_face_is_found_where_it_is(width: int, height: int, face_px: int) -> None:
    picture, face = scene(width, height, face_px, data.coffee())
    assert smallest_face_px(width, height) <= face_px
    (found,) = find_faces(picture, CascadeDetector(), "all", "--box")
    assert found.votes >= MIN_VOTES
    assert_same(found, face)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "faces_px"),
    [
        ((1280, 720), (75, 140)),
        ((1920, 1080), (48, 200)),
        ((720, 1280), (48, 140)),
        ((4000, 3000), (48,)),
    ],
)
def test_every_small_size_is_found_in_every_picture(size: tuple[int, int], faces_px: tuple[int]) -> None:
    for face_px in faces_px:
        picture, face = scene(*size, face_px, data.rocket())
        (found,) = find_faces(picture, CascadeDetector(), "all", "--box")
        assert_same(found, face)


@pytest.mark.parametrize("width", [800, 1280])
@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "hubble_deep_field", "coins", "text"])
def test_no_small_face_where_there_is_none(name: str, width: int) -> None:
    picture = getattr(data, name)()
    picture = np.dstack([picture] * 3) if picture.ndim == 2 else picture
    height = round(picture.shape[0] * width / picture.shape[1])
    assert detect_small(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)) == []


def test_several_small_faces_are_found_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_faces, "_TILE_PX", 256)
    pictures = [scene(560, 480, 60)[0], scene(560, 480, 90)[0][:, ::-1]]
    found = find_faces(np.hstack(pictures), CascadeDetector(), "all", "--box")
    assert [round(face.size) for face in found] == [pytest.approx(60, abs=15), pytest.approx(90, abs=22)]
    assert found[0].x < 560 < found[1].x


def test_tiles_cover_all_and_hold_little() -> None:
    for side_px in (1, 500, 1024, 1025, 5000, 12_345):
        for scale in (1.0, 0.55, 0.1):
            tiles = small_faces._tiles(side_px, scale)
            assert tiles[0][0] == 0
            assert tiles[-1][1] == side_px
            assert all(after[0] <= before[1] for before, after in itertools.pairwise(tiles))
            assert all((stop - start) * scale <= small_faces._TILE_PX + 1 for start, stop in tiles)


def test_the_smallest_face_depends_on_the_picture_and_is_said() -> None:
    assert [smallest_face_px(*size) for size in ((1280, 720), (4000, 3000), (256, 256))] == [48, 48, 31]
    assert 48 < smallest_face_px(12_000, 9000) < 0.02 * 12_000
    picture = scene(640, 360, 48)[0][:, :200]
    with pytest.raises(BadInput, match="No face of at least 44 pixels was found in the picture"):
        find_faces(picture, CascadeDetector(), "largest", "--source-box")
    with pytest.raises(BadInput, match="No face of at least 44 pixels was found in 1 frames"):
        find_reference([(0, picture)], CascadeDetector(), "largest", "--driving-box")


def test_small_faces_are_searched_on_ever_fewer_frames_of_a_video() -> None:
    asked: list[int] = []

    class Counting(CascadeDetector):
        def detect(self, picture: Any) -> list[FaceBox]:
            return []

        def detect_small(self, picture: Any) -> list[FaceBox]:
            asked.append(int(picture[0, 0, 0]))
            return []

    with pytest.raises(BadInput):
        find_reference(((n, np.full((9, 9, 3), n, np.uint8)) for n in range(20)), Counting(), 1, "--box")
    assert asked == [0, 1, 3, 7, 15]


def test_a_drawn_box_snaps_to_a_small_face() -> None:
    picture, face = scene(1280, 720, 50)
    drawn = FaceBox(face.x + 6, face.y - 6, 58)
    (found,) = UserBox(drawn).detect(picture)
    assert found.votes >= MIN_VOTES
    assert_same(found, face)


def test_a_fast_pass_follows_a_small_face() -> None:
    picture, face = scene(1920, 1080, 60, data.coffee())
    moved = FaceBox(face.x - 130, face.y + 40, 66)
    best = detect_fast(picture, [moved])[0]
    assert best.votes >= 8
    assert_same(best, face)
    assert not [box for box in detect_fast(picture) if box.votes >= 3]
    assert not [box for box in detect_by_votes(picture) if box.votes >= MIN_VOTES]
