"""Camera motion between two frames, and differences between frames that are aligned only roughly."""

import cv2
import numpy as np
import pytest
from skimage import data

from pipelines.vision.camera_motion import camera_motion, misaligned_difference, move_box

PICTURE = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


def shown(left: float, top: float, zoom: float = 1.0) -> np.ndarray:
    view = np.array([[zoom, 0, left], [0, zoom, top]], float)
    return cv2.warpAffine(PICTURE, view, (200, 140), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


@pytest.mark.parametrize(
    ("before", "now"), [((50, 60, 1), (56.5, 58, 1)), ((50, 60, 1), (48, 60, 1.04)), ((50, 60, 1),) * 2]
)
def test_a_pan_and_a_zoom_are_told(before: tuple[float, ...], now: tuple[float, ...]) -> None:
    motion = camera_motion(shown(*before), shown(*now))
    assert motion is not None
    for place in ((20, 20), (180, 20), (100, 120)):
        across, down, depth = motion @ (*place, 1)
        # Both frames show the same place of the picture there.
        expected = (np.array(now[:2]) + np.multiply(now[2], place) - before[:2]) / before[2]
        assert np.allclose((across / depth, down / depth), expected, atol=0.5)


def test_rest_is_rest_to_the_bit() -> None:
    assert np.array_equal(camera_motion(shown(50, 60), shown(50, 60)), np.eye(3))


def test_a_thing_that_moves_is_not_the_camera() -> None:
    before, now = shown(50, 60), shown(53, 60)
    before[40:80, 60:110] = PICTURE[200:240, 300:350]
    now[40:80, 75:125] = PICTURE[200:240, 300:350]
    motion = camera_motion(before, now)
    assert motion is not None
    assert np.allclose((motion @ (100, 120, 1))[:2], (103, 120), atol=0.5)


def test_a_flat_picture_has_not_moved_and_a_cut_has_no_motion() -> None:
    flat = np.full((140, 200), 90, np.uint8)
    assert np.array_equal(camera_motion(flat, flat), np.eye(3))
    assert camera_motion(flat, flat + np.uint8(60)) is None
    assert camera_motion(255 - shown(50, 60)[::-1], shown(250, 160)) is None


def test_a_box_goes_with_the_camera_and_keeps_its_size() -> None:
    motion = np.array([[1, 0, 5], [0, 1, -3], [0, 0, 1]], float)
    assert move_box(np.array([10.0, 20, 30, 40]), motion).tolist() == [15, 17, 30, 40]


def test_a_difference_forgives_a_shift_within_the_kernel_and_no_more() -> None:
    image = np.zeros((9, 9), np.uint8)
    image[4, 4] = 200
    kernel = np.ones((3, 3), np.uint8)
    assert not misaligned_difference(image, np.roll(image, 1, axis=1), kernel).any()
    far = misaligned_difference(image, np.roll(image, 2, axis=1), kernel)
    assert far[4, 4] == 200
    assert np.count_nonzero(far) == 1
