"""What is inside two faces is as large once one is resized to match the other, whatever their outlines are like."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pipelines.animation.faces.alignment import fit
from pipelines.animation.faces.inner_size import match_size, measure_features

JUDGED_PX = {256: 42.6, 512: 84.3}
"""By the width of the picture: distance of the eyes, and that from them to where the lips meet, as MediaPipe's face
mesh finds them; their geometric mean."""


@pytest.mark.parametrize("is_swapped", [False, True])
def test_features_of_two_people_are_as_large_although_their_outlines_differ(driver, portrait, is_swapped):
    face, other = (portrait, driver) if is_swapped else (driver, portrait)
    placement, shown = fit(face.picture, face.box), fit(other.picture, other.box)
    matched = match_size(placement, face.picture, shown, other.picture)
    of_other = JUDGED_PX[other.picture.shape[1]] / shown.size
    judged = JUDGED_PX[face.picture.shape[1]]
    assert abs(math.log(judged / placement.size / of_other)) > 0.05  # what the outlines say
    assert abs(math.log(judged / matched.size / of_other)) < 0.02
    assert np.hypot(matched.x - placement.x, matched.y - placement.y) < 0.01 * placement.size


@pytest.mark.parametrize("growth", [-0.1, 0.1])
def test_a_fit_of_the_wrong_size_comes_closer_to_the_right_one(driver, growth):
    right = fit(driver.picture, driver.box)
    wrong = replace(right, size=right.size * math.exp(growth))
    matched = match_size(wrong, driver.picture, right, driver.picture)
    assert abs(math.log(matched.size / right.size)) < 0.6 * abs(growth)


def test_a_face_matches_itself(driver):
    placement = fit(driver.picture, driver.box)
    matched = match_size(placement, driver.picture, placement, driver.picture)
    assert (matched.x, matched.y, matched.size) == (placement.x, placement.y, placement.size)


def test_a_picture_without_features_changes_a_size_by_a_bounded_ratio(driver):
    placement = fit(driver.picture, driver.box)
    for blank in (np.zeros_like(driver.picture), np.full_like(driver.picture, 200)):
        assert 0.1 < measure_features(placement, blank) < 1
        ratio = match_size(placement, driver.picture, placement, blank).size / placement.size
        assert abs(math.log(ratio)) < 0.16
