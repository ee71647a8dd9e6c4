"""Cropping faces and pasting them back: goldens, and what must hold for every face."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.animation.faces import crop as c
from pipelines.animation.liveportrait.crops import portrait_options
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions

OPTIONS = PortraitOptions()


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/liveportrait/crop_paste.npz") as arrays:
        return dict(arrays)


def same_matrix(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare to 1e-6, except for shifts of hundreds of pixels: to 1e-3."""
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:2, :2], expected[:2, :2], atol=1e-5)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def same_pixels(found: np.ndarray, expected: np.ndarray) -> None:
    """Allow one level, seldom: pixels are interpolated in fixed point."""
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_a_source_picture(golden: dict[str, np.ndarray]) -> None:
    chosen = json.loads(str(golden["src_opts"]))
    assert chosen.pop("dsize") == c.CROP_PX
    square = c.source_square(c.landmark_bounds(golden["lmk106"]), portrait_options(chosen))
    to_crop = square.to_crop()
    same_matrix(to_crop, golden["src_M_o2c"])
    same_matrix(c.inverse(to_crop), golden["src_M_c2o"])
    np.testing.assert_allclose(
        c.transform_points(golden["lmk106"], to_crop), golden["src_pt_crop"], atol=1e-3
    )
    extract_crop = c.extract_crop(golden["image"], to_crop)
    same_pixels(extract_crop[::4, ::4], golden["src_crop_sub"])
    same_pixels(c.source_input(extract_crop)[::2, ::2], golden["src_crop256_sub"])


def test_without_a_turn(golden: dict[str, np.ndarray]) -> None:
    square = c.source_square(c.landmark_bounds(golden["lmk203"]), portrait_options({"flag_do_rot": False}))
    same_matrix(square.to_crop(), golden["norot_M_o2c"])


def test_the_window_of_the_landmark_model(golden: dict[str, np.ndarray]) -> None:
    to_window = c.landmark_bounds(golden["lmk106"]).scaled(1.5, 0, -0.1).to_crop(224)
    same_matrix(to_window, golden["landmark_input_M_o2c"])
    same_pixels(c.extract_crop(golden["image"], to_window, 224)[::2, ::2], golden["landmark_input_sub"])


def test_a_driving_video_has_one_window(golden: dict[str, np.ndarray]) -> None:
    window = c.DrivingWindow(OPTIONS)
    boxes = np.stack([window.add(c.landmark_bounds(landmarks)) for landmarks in golden["drv_lmk"]])
    np.testing.assert_allclose(boxes[:, :2], golden["drv_bbox"][:, 0], atol=1e-3)
    np.testing.assert_allclose(boxes[:, 2:], golden["drv_bbox"][:, 2], atol=1e-3)
    np.testing.assert_allclose(window.box, golden["drv_global_bbox"], atol=1e-3)
    to_crop = window.square.to_crop()
    for frame, landmarks, seen, there in zip(
        *(golden[name] for name in ("drv_frames", "drv_lmk", "drv_crop256_sub", "drv_lmk_crop")), strict=True
    ):
        same_pixels(c.driving_input(c.extract_crop(frame, to_crop))[::2, ::2], seen)
        np.testing.assert_allclose(c.transform_points(landmarks, to_crop), there, atol=1e-3)


def test_a_source_video_is_cut_frame_by_frame(golden: dict[str, np.ndarray]) -> None:
    names = ("drv_frames", "drv_lmk", "srcvideo_M_c2o", "srcvideo_lmk", "srcvideo_crop256_sub")
    for frame, landmarks, back, there, seen in zip(*(golden[name] for name in names), strict=True):
        to_crop = c.source_square(c.landmark_bounds(landmarks), OPTIONS).to_crop()
        same_matrix(c.inverse(to_crop), back)
        np.testing.assert_allclose(c.transform_points(landmarks, to_crop) / 2, there, atol=1e-3)
        same_pixels(c.source_input(c.extract_crop(frame, to_crop))[::4, ::4], seen)


def test_pasting_back(golden: dict[str, np.ndarray]) -> None:
    image = golden["image"]
    pasting = c.PasteBack.of(golden["src_M_c2o"], *image.shape[:2])
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[pasting.region] = np.round(pasting.alpha[..., 0] * 255)
    same_pixels(mask, golden["paste_mask"])
    before = image.copy()
    same_pixels(pasting.paste(golden["generated"], image), golden["paste_result"])
    assert np.array_equal(image, before)


def test_pixels_outside_the_square_are_those_of_the_frame() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    back = c.inverse(c.Square(60, 45, 30, 0.4).to_crop())
    pasted = c.PasteBack.of(back, 90, 120).paste(np.full((512, 512, 3), 255, np.uint8), frame)
    changed = (pasted != frame).any(axis=2)
    y, x = np.nonzero(changed)
    assert 700 < changed.sum() <= 30 * 30
    assert np.hypot(x - 60, y - 45).max() < 30 / 2**0.5


@pytest.mark.parametrize(("x", "y"), [(-300, 40), (40, 900), (5, 5)])
def test_a_square_may_lie_partly_or_wholly_outside(x: float, y: float) -> None:
    frame = np.full((80, 100, 3), 7, np.uint8)
    square = c.Square(x, y, 60)
    assert c.extract_crop(frame, square.to_crop()).shape == (512, 512, 3)
    pasted = c.PasteBack.of(c.inverse(square.to_crop()), 80, 100).paste(
        np.zeros((512, 512, 3), np.uint8), frame
    )
    assert (pasted == frame).all() == (x != 5)


@pytest.mark.parametrize("angle", [-2.5, -0.3, 0.0, 0.3, 1.2, 3.0])
def test_bounds_turn_with_the_face(angle: float) -> None:
    face = np.zeros((5, 2), np.float32)
    face[:] = [[-10, -8], [10, -8], [0, 0], [-6, 9], [6, 9]]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    square = c.landmark_bounds((face @ turn + [50, 60]).astype(np.float32))
    assert square.angle == pytest.approx(angle, abs=1e-5)
    assert square.side == pytest.approx(20, abs=1e-4)
    centre = np.array([0, 0.5]) @ turn + [50, 60]
    assert (square.x, square.y) == pytest.approx(tuple(centre), abs=1e-4)


def test_a_face_that_is_a_point_is_upright() -> None:
    assert c.landmark_bounds(np.full((5, 2), 3, np.float32)).angle == 0


def test_a_window_of_no_face_and_landmarks_of_no_kind_are_refused() -> None:
    with pytest.raises(BadInput, match="No frame"):
        _ = c.DrivingWindow(OPTIONS).box
    with pytest.raises(BadInput, match="7 landmarks"):
        c.landmark_bounds(np.zeros((7, 2), np.float32))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((720, 1280), (720, 1280)), ((1441, 2561), (720, 1280)), ((2561, 1441), (1280, 720)), ((5, 3), (4, 2))],
)
def test_source_frames_are_limited(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert c.limit_source(np.zeros((*size, 3), np.uint8), OPTIONS).shape == (*expected, 3)
