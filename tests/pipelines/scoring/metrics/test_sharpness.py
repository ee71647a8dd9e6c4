"""Sharpness and noise of one picture; records of a frame and the one before."""

import cv2
import numpy as np
import pytest

from pipelines.scoring.metrics.frame_features import compare, features_of
from pipelines.scoring.metrics.sharpness import detail, noise_deviation, sharpness


@pytest.fixture(scope="module")
def picture(draw):
    return draw["scene"](1)[100:460, 100:740]


def test_more_blur_is_less_sharp(picture, draw):
    blurred = [picture, *(cv2.GaussianBlur(picture, (0, 0), s) for s in (0.7, 1, 1.5, 2.5, 4))]
    scores = [sharpness(f, noise_deviation(f)) for f in draw["noisy"](blurred)]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < 0.75 * scores[2]
    assert scores[0] < 1


def test_a_blur_lowers_detail_by_more_than_compression_noise_and_contrast_vary_it(picture, draw):
    def of(luma):
        half = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        return detail(half, cv2.resize(half, (128, 72), interpolation=cv2.INTER_AREA))

    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])
    dim = cv2.convertScaleAbs(picture, alpha=0.6, beta=60)
    alike = [*draw["noisy"]([picture], 2.5), cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), dim]
    assert max(abs(of(other) / of(picture) - 1) for other in alike) < 0.08
    assert of(cv2.GaussianBlur(picture, (0, 0), 1.5)) < 0.6 * of(picture)


def test_contrast_and_brightness_do_not_change_sharpness(picture):
    dim = cv2.convertScaleAbs(picture, alpha=0.4, beta=60)
    assert sharpness(dim, 0) == pytest.approx(sharpness(picture, 0), rel=0.05)


def test_noise_is_no_sharpness(picture, draw):
    soft = cv2.GaussianBlur(picture, (0, 0), 3)
    grainy = draw["noisy"]([soft], 3)[0]
    assert sharpness(grainy, noise_deviation(grainy)) < sharpness(grainy, 0) - 0.05


def test_a_defocused_ground_does_not_make_a_sharp_subject_soft(picture):
    ground = cv2.GaussianBlur(picture, (0, 0), 8)
    mixed = ground.copy()
    mixed[:, 200:460] = picture[:, 200:460]
    assert sharpness(mixed, 0) > 2 * sharpness(ground, 0)


def test_blank_pictures_are_not_sharp():
    for grey in (0, 127, 255):
        blank = np.full((90, 160), grey, np.uint8)
        assert sharpness(blank, noise_deviation(blank)) == 0


@pytest.mark.parametrize("deviation", [1, 2, 4])
def test_noise_is_measured_beside_edges(picture, draw, deviation):
    soft = cv2.GaussianBlur(picture, (0, 0), 1.5)
    assert noise_deviation(draw["noisy"]([soft], deviation)[0]) == pytest.approx(deviation, rel=0.2, abs=0.1)


@pytest.mark.parametrize(("across", "down"), [(3, 0), (0, -4), (-10, 5)])
def test_motion_is_that_of_the_content_in_a_1000_pixel_frame(draw, across, down):
    scene = draw["scene"](2)
    before, now = scene[100:460, 100:740], scene[100 - down : 460 - down, 100 - across : 740 - across]
    record = compare(features_of(before), features_of(now))[0]
    expected = (across / 0.64, down / 0.64)
    assert (record["motion_x"], record["motion_y"]) == pytest.approx(expected, abs=1.0)


def test_equal_frames_have_no_difference_and_no_motion(picture):
    record = compare(features_of(picture), features_of(picture.copy()))[0]
    assert record["difference"] == record["local_change"] == record["residual"] == 0
    assert record["motion_x"] == record["motion_y"] == 0


def test_the_first_record_knows_no_difference(picture):
    assert np.isnan(compare(None, features_of(picture))["difference"][0])


def test_exposure_is_the_share_of_black_and_burnt_pixels():
    luma = np.full((100, 100), 128, np.uint8)
    luma[:10], luma[-26:] = 0, 255
    seen = features_of(luma)
    assert (seen.under, seen.over) == (pytest.approx(0.1), pytest.approx(0.26))


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (5, 400), (16, 16), (400, 6), (33, 31), (50, 4000)])
def test_pictures_of_any_shape_have_a_record(shape):
    lumas = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    record = compare(*(features_of(luma) for luma in lumas))
    assert np.isfinite(
        [record[name][0] for name in ("sharpness", "difference", "motion_x", "residual")]
    ).all()
