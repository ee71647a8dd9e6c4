"""The parts that the flow engine is made of."""

import cv2
import numpy as np
import pytest

from pipelines.inpainting.flow.blending import Seam, WeightedMean, weight
from pipelines.inpainting.flow.frame_pairs import (
    Thumbnail,
    camera_between,
    compare,
    inside,
    reduced,
    reduction,
    thumbnail_of,
    track_points,
)
from pipelines.inpainting.flow.frame_view import sample, view
from pipelines.inpainting.flow.holes import Hole, holes
from pipelines.vision.membrane import membrane
from pipelines.vision.types import Mask

from .flow_clips import disc, pan, picture


def look_at(frame: np.ndarray, mask: Mask | None = None) -> Thumbnail:
    nothing = np.zeros(frame.shape[:2], np.bool_)
    return thumbnail_of(frame, nothing if mask is None else mask, reduction(frame.shape))


def parts(mask: Mask, times: int = 2, pad: int = 8) -> list[Hole]:
    return holes(mask, thumbnail_of(np.zeros((*mask.shape, 3), np.uint8), mask, times).hole, times, pad)


def test_a_membrane_over_a_slope_is_the_slope() -> None:
    across = np.linspace(0, 100, 60, dtype=np.float32)
    slope = np.repeat(np.tile(across, (40, 1))[..., None], 3, axis=2)
    known = np.ones((40, 60), np.float32)
    known[12:28, 20:40] = 0
    drawn = membrane(np.where(known[..., None] > 0, slope, 0), known, rounds=8)
    assert np.abs(drawn - slope)[known == 0].max() < 4
    assert np.array_equal(drawn[known == 1], slope[known == 1])


def test_a_membrane_over_nothing_is_nothing() -> None:
    assert not membrane(np.ones((9, 11, 2), np.float32), np.zeros((9, 11), np.float32)).any()


def test_parts_that_are_apart_are_filled_apart() -> None:
    mask = disc(20, 20, 6) | disc(130, 70, 8)
    found = parts(mask)
    assert len(found) == 2
    assert sum(int(hole.inside.sum()) for hole in found) == mask.sum()
    assert found[0].tight.right < found[1].tight.left


def test_parts_whose_crops_meet_are_one() -> None:
    assert len(parts(disc(40, 40, 6) | disc(70, 40, 6))) == 1


def test_a_mask_of_specks_is_few_parts() -> None:
    assert len(parts(np.random.default_rng(0).random((96, 160)) < 0.05)) == 1


def test_no_mask_has_no_parts() -> None:
    assert parts(np.zeros((20, 30), np.bool_)) == []


@pytest.mark.parametrize("times", [1, 2, 3, 7])
def test_a_hole_at_the_edge_of_a_frame_that_looks_do_not_divide_is_whole(times: int) -> None:
    mask = np.zeros((95, 157), np.bool_)
    mask[80:, 140:] = True
    (hole,) = parts(mask, times)
    assert (hole.full.bottom, hole.full.right) == (95, 157)
    assert np.array_equal(mask[hole.full.slices], hole.inside)
    assert (
        hole.repeated(hole.rim).shape == hole.enlarged(hole.rim.astype(np.float32)).shape == hole.inside.shape
    )
    assert not (hole.seam & hole.inside).any()


def test_looks_are_about_as_large_at_any_size() -> None:
    for size, times in {(9, 16): 1, (240, 432): 2, (480, 854): 3, (1080, 1920): 8, (3840, 2160): 15}.items():
        assert reduction(size) == times


def test_the_outermost_pixels_fill_what_a_look_lacks() -> None:
    plane = np.arange(15, dtype=np.uint8).reshape(3, 5) * 10
    assert reduced(plane, (3, 2), 2).tolist() == [[30, 50, 65], [105, 125, 140]]


def test_the_camera_is_found_whatever_moves_in_the_hole() -> None:
    frames = [cv2.resize(frame, (640, 384)) for frame in pan(picture(1), 2)]
    mask = cv2.resize(disc(70, 50, 25).astype(np.uint8), (640, 384)) > 0
    for i, frame in enumerate(frames):
        frame[mask] = np.random.default_rng(i).integers(0, 256, 3)
    first, then = (look_at(frame, mask) for frame in frames)
    motion = camera_between(first, then)
    middle = cv2.perspectiveTransform(np.array([[[100.0, 60.0]]]), motion)[0, 0]
    scale = first.gray.shape[1] / 160
    assert middle == pytest.approx((100 - 2.5 * scale, 60 - 0.3 * scale), abs=0.6)


def test_the_camera_is_found_through_a_flash() -> None:
    dark, light = pan(picture(1), 2, step=5)
    flash = np.clip(light.astype(np.float32) * 1.5 + 20, 0, 255).astype(np.uint8)
    plain, flashed = (camera_between(look_at(dark), look_at(then)) for then in (light, flash))
    assert flashed[:2, 2] == pytest.approx(plain[:2, 2], abs=0.3)


def test_a_flat_picture_has_a_camera_at_rest() -> None:
    flat = look_at(np.full((96, 160, 3), 90, np.uint8))
    assert np.array_equal(camera_between(flat, flat), np.eye(3))


def test_another_picture_is_a_cut_and_a_moved_one_is_none() -> None:
    here, near = (look_at(frame) for frame in pan(picture(1), 2, step=4))
    other = look_at(pan(picture(11), 1)[0])
    assert not compare(here, near).cut
    assert compare(here, other).cut


def test_a_pair_tells_the_way_back() -> None:
    pair = compare(*(look_at(frame) for frame in pan(picture(1), 2, step=4)))
    assert pair.back @ pair.camera == pytest.approx(np.eye(3), abs=1e-9)


def test_places_that_are_nowhere_are_not_inside() -> None:
    points = np.array([[np.nan, 2], [1e30, 1], [-1, 0], [2, 2], [0, 0]], np.float32)
    shown = np.ones((3, 3), np.uint8)
    shown[0, 0] = 0
    assert inside(points, shown).tolist() == [False, False, False, True, False]


def test_points_are_followed_near_a_guess_and_not_far_off_it() -> None:
    here, there = (look_at(frame).gray for frame in pan(picture(1), 2, step=30))
    points = np.array([[60.0, 40], [80, 50], [100, 60]], np.float32)
    truth = points - (30, 0.3)
    near, _ = track_points(here, there, points, (truth + 2).astype(np.float32))
    assert np.abs(near - truth).max() < 0.6
    far, _ = track_points(here, there, points, points)
    assert np.abs(far - truth).max() > 5


@pytest.mark.parametrize("margin", [0, 2, 5])
def test_what_lies_beside_a_hole_is_not_sampled(margin: int) -> None:
    mask = disc(80, 48, 10)
    seen = view(0, picture(1)[:96, :160], mask, margin)
    across = np.arange(60, 100, dtype=np.float32)
    coords = np.dstack((across[None], np.full((1, 40), 48, np.float32)))
    _, real = sample(seen, coords)
    edge = int(np.flatnonzero(mask[48])[0]) - max(2, margin)
    assert not real[0][(across >= edge) & (across < 80)].any()
    assert real[0][across < edge].all()


def crop(known: int) -> tuple[Hole, np.ndarray]:
    """A hole in the middle of a picture of one colour."""
    (hole,) = parts(disc(80, 48, 12))
    return hole, np.full((*hole.inside.shape, 3), known, np.uint8)


def test_a_candidate_is_relit_to_meet_what_is_known() -> None:
    hole, known = crop(120)
    (found,) = Seam(hole, known, hole.seam, hole.inside).match([(known - 15, ~hole.inside)])
    assert found is not None
    assert np.abs(found.relight(known - 15) - 120)[hole.inside].max() < 0.5


def test_a_candidate_is_as_bad_as_it_is_on_its_side_of_the_hole() -> None:
    hole, known = crop(120)
    colours = known.copy()
    right = np.arange(known.shape[1]) > known.shape[1] // 2
    colours[:, right] += np.random.default_rng(0).integers(-30, 31, colours[:, right].shape).astype(np.uint8)
    (found,) = Seam(hole, known, hole.seam, hole.inside).match([(colours, np.ones_like(hole.inside))])
    assert found is not None
    inside = found.errors[hole.inside[:, 0].size // 2][hole.inside[hole.inside[:, 0].size // 2]]
    assert inside[-3:].min() > 2 * inside[:3].max()


def test_another_thing_beside_the_hole_does_not_change_the_light() -> None:
    hole, known = crop(120)
    colours = known.copy()
    colours[: known.shape[0] // 3] = 10
    (found,) = Seam(hole, known, hole.seam, hole.inside).match([(colours, np.ones_like(hole.inside))])
    assert found is not None
    lower = hole.inside & (np.arange(known.shape[0]) > known.shape[0] // 2)[:, None]
    assert np.abs(found.relight(colours) - 120)[lower].max() < 0.5


def test_a_candidate_that_meets_nothing_known_is_none() -> None:
    hole, known = crop(120)
    nothing, something = Seam(hole, known, hole.seam, hole.inside).match(
        [(known, hole.inside), (known, ~hole.inside)]
    )
    assert nothing is None
    assert something is not None


def test_a_mean_leans_to_the_candidate_that_fits() -> None:
    known = np.full((12, 12, 3), 100, np.float32)
    mean = WeightedMean((12, 12))
    for off in (1, 30):
        error = np.full((12, 12), off, np.float32)
        mean.add(known + off, weight(error), error)
    assert mean.colours == pytest.approx(101, abs=0.1)
    assert mean.error == pytest.approx(1, abs=0.1)
