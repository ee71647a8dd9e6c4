"""The parts that the flow engine is made of."""

import cv2
import numpy as np
import pytest

from pipelines.inpainting.holes import holes
from pipelines.inpainting.looks import camera_between, compare, inside, look
from pipelines.inpainting.membrane import coarse_membrane, membrane
from pipelines.inpainting.merging import Mean, candidate
from pipelines.inpainting.views import MARGIN_PX, sampled, view

from .flow_clips import disc, pan, picture


def test_a_membrane_over_a_slope_is_the_slope() -> None:
    across = np.linspace(0, 100, 60, dtype=np.float32)
    slope = np.repeat(np.tile(across, (40, 1))[..., None], 3, axis=2)
    known = np.ones((40, 60), np.float32)
    known[12:28, 20:40] = 0
    drawn = membrane(np.where(known[..., None] > 0, slope, 0), known, rounds=8)
    assert np.abs(drawn - slope)[known == 0].max() < 4
    assert np.array_equal(drawn[known == 1], slope[known == 1])


def test_a_membrane_over_nothing_is_nothing() -> None:
    assert not coarse_membrane(np.ones((9, 11, 2), np.float32), np.zeros((9, 11), np.float32)).any()


def test_parts_that_are_apart_are_filled_apart() -> None:
    mask = (disc(20, 20, 6) | disc(130, 70, 8)).astype(np.uint8)
    found = holes(mask, 16)
    assert len(found) == 2
    assert sum(int(hole.inside.sum()) for hole in found) == mask.sum()
    assert found[0].tight.right < found[1].tight.left


def test_parts_whose_crops_meet_are_one() -> None:
    mask = (disc(40, 40, 6) | disc(70, 40, 6)).astype(np.uint8)
    assert len(holes(mask, 16)) == 1


def test_a_mask_of_specks_is_few_parts() -> None:
    specks = (np.random.default_rng(0).random((96, 160)) < 0.05).astype(np.uint8)
    assert len(holes(specks, 16)) == 1


def test_no_mask_has_no_parts() -> None:
    assert holes(np.zeros((20, 30), np.uint8), 16) == []


def test_the_camera_is_found_whatever_moves_in_the_hole() -> None:
    frames = [cv2.resize(frame, (640, 384)) for frame in pan(picture(1), 2)]
    mask = cv2.resize(disc(70, 50, 25).astype(np.uint8), (640, 384))
    for i, frame in enumerate(frames):
        frame[mask > 0] = np.random.default_rng(i).integers(0, 256, 3)
    first, then = (look(frame, mask) for frame in frames)
    motion = camera_between(first, then)
    middle = cv2.perspectiveTransform(np.array([[[100.0, 60.0]]]), motion)[0, 0]
    scale = first.gray.shape[1] / 160
    assert middle == pytest.approx((100 - 2.5 * scale, 60 - 0.3 * scale), abs=0.6)


def test_a_flat_picture_has_a_camera_at_rest() -> None:
    flat = look(np.full((96, 160, 3), 90, np.uint8), np.zeros((96, 160), np.uint8))
    assert np.array_equal(camera_between(flat, flat), np.eye(3))


def test_another_picture_is_a_cut_and_a_moved_one_is_none() -> None:
    nothing = np.zeros((96, 160), np.uint8)
    here, near = (look(frame, nothing) for frame in pan(picture(1), 2, step=4))
    other = look(pan(picture(11), 1)[0], nothing)
    assert not compare(here, near).cut
    assert compare(here, other).cut


def test_places_that_are_nowhere_are_not_inside() -> None:
    points = np.array([[np.nan, 2], [1e30, 1], [-1, 0], [2, 2], [0, 0]], np.float32)
    shown = np.ones((3, 3), np.uint8)
    shown[0, 0] = 0
    assert inside(points, shown).tolist() == [False, False, False, True, False]


def test_what_lies_beside_a_hole_is_not_sampled() -> None:
    mask = disc(80, 48, 10)
    seen = view(0, picture(1)[:96, :160], mask)
    across = np.arange(60, 100, dtype=np.float32)
    places = np.dstack((across[None], np.full((1, 40), 48, np.float32)))
    _, real = sampled(seen, places)
    edge = int(np.flatnonzero(mask[48])[0])
    assert not real[0][(across > edge - MARGIN_PX - 1) & (across < 80)].any()
    assert real[0][across < edge - MARGIN_PX - 1].all()


def test_a_candidate_is_relit_to_meet_what_is_known() -> None:
    known = np.full((20, 20, 3), 120, np.float32)
    beside = np.zeros((20, 20), np.bool_)
    beside[[0, -1]] = True
    found = candidate(known, known - 15, np.ones_like(beside), beside)
    assert found is not None
    assert found.error == pytest.approx(15)
    assert np.abs(found.colours - 120).max() < 0.5


def test_a_candidate_that_meets_nothing_known_is_none() -> None:
    flat, nowhere = np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.bool_)
    assert candidate(flat, flat, ~nowhere, nowhere) is None


def test_a_mean_leans_to_the_candidate_that_fits() -> None:
    known = np.full((12, 12, 3), 100, np.float32)
    everywhere = np.ones((12, 12), np.bool_)
    mean = Mean((12, 12))
    for off in (1, 30):
        found = candidate(known, known + off, everywhere, everywhere, relight=False)
        assert found is not None
        mean.add(found, np.full((12, 12), found.weight, np.float32))
    assert mean.colours == pytest.approx(101, abs=0.1)
    assert mean.error == pytest.approx(1, abs=0.1)
