"""Parts of the built-in engine, one by one."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.animation.faces.aligned_view import (
    CORE,
    EYES_APART,
    PER_SIDE,
    SIDE_PX,
    FacePlacement,
    compose,
    ellipse,
    pad_core,
)
from pipelines.animation.faces.alignment import fit
from pipelines.animation.faces.cascade import FaceBox
from pipelines.animation.warp.driving_flow import DrivingFlow, Motion, blend_motions
from pipelines.animation.warp.flow_fields import FACE, FaceField
from pipelines.animation.warp.fold_removal import MIN_AREA, remove_folds, smallest_areas
from pipelines.animation.warp.mesh_warp import MeshWarp
from pipelines.animation.warp.motion_limits import MOST_SHIFT, MotionExtent, limit_motion, measure_extent
from pipelines.animation.warp.mouth import MouthOpening, insert_mouth
from pipelines.example.moving_face import DrawnFace, MovingFace, Pose

from ..local_error import local_errors

CENTRE = (SIDE_PX - 1) / 2


def motion(head: Any = None, face: Any = None, opening: Any = None) -> Motion:
    none = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    still = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
    aligned = np.full((SIDE_PX, SIDE_PX, 3), 120, np.uint8)
    return Motion(
        np.eye(2, 3) if head is None else head,
        still if face is None else face,
        none if opening is None else opening,
        aligned,
    )


def moved_by(right: float, down: float) -> Any:
    """Return the transform that leads a head, so many box sides away, back."""
    return np.array([[1, 0, -right * PER_SIDE], [0, 1, -down * PER_SIDE]])


class TestFoldRemoval:
    def test_a_map_without_folds_is_left_alone(self) -> None:
        offsets = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 30, (40, 50, 2)), (0, 0), 8)
        assert smallest_areas(offsets.astype(np.float32), 2).min() > MIN_AREA
        assert remove_folds(offsets.astype(np.float32), 2) is not None
        assert np.array_equal(remove_folds(offsets.astype(np.float32), 2), offsets.astype(np.float32))

    @pytest.mark.parametrize("spread", [0.0, 1.0, 3.0, 9.0])
    def test_folds_are_removed(self, spread: float) -> None:
        offsets = np.random.default_rng(1).normal(0, 40 + 300 * spread, (60, 50, 2)).astype(np.float32)
        if spread:
            offsets = cv2.GaussianBlur(offsets, (0, 0), spread)
        assert smallest_areas(offsets, 2).min() < 0
        assert smallest_areas(remove_folds(offsets, 2), 2).min() >= MIN_AREA

    def test_only_the_surroundings_of_a_fold_change(self) -> None:
        offsets = np.zeros((64, 64, 2), np.float32)
        offsets[10:12, 10:12] = 9
        found = remove_folds(offsets, 1)
        assert not np.array_equal(found, offsets)
        assert not found[32:, 32:].any()

    def test_areas_are_those_of_the_map(self) -> None:
        y, x = np.mgrid[:8, :9].astype(np.float32)
        assert np.allclose(smallest_areas(np.stack((0.5 * x, -0.25 * y), axis=2), 1), 1.5 * 0.75)
        assert np.allclose(smallest_areas(np.stack((-2 * x, 0 * y), axis=2), 1), -1)


class TestMotionLimits:
    def test_shift_and_turn_are_measured(self) -> None:
        assert measure_extent(None) == MotionExtent()
        asked = measure_extent(motion(moved_by(0.29, 0)))
        assert asked.shift == pytest.approx(0.5)
        assert asked.degrees == pytest.approx(0)
        turned = cv2.getRotationMatrix2D((CENTRE, CENTRE + 0.06 * PER_SIDE), 12, 1)
        assert measure_extent(motion(turned)).degrees == pytest.approx(12)

    def test_a_nose_that_moves_over_the_face_is_a_turn(self) -> None:
        face = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
        face[..., 0] = (
            ellipse((0, 0.05, 0.15, 0.2), 0.1) * 0.45 * 0.58 * PER_SIDE * math.sin(math.radians(30))
        )
        assert measure_extent(motion(face=face)).degrees == pytest.approx(30, abs=1)

    def test_the_larger_of_each_counts(self) -> None:
        assert MotionExtent(0.1, 25).merged(MotionExtent(0.4, 3)) == MotionExtent(0.4, 25)
        warning = MotionExtent(0.6, 25).warning()
        assert warning and "0.6 eye distances" in warning and "25 degrees" in warning
        assert MotionExtent(0.5, 20).warning() is None

    def test_small_motion_is_followed_in_full(self) -> None:
        head = compose(cv2.getRotationMatrix2D((90, 95), 8, 1.05), moved_by(0.05, -0.04))
        assert np.allclose(limit_motion(motion(head), 1.0).head, head)

    def test_a_shift_is_followed_in_full_up_to_half_an_eye_distance(self) -> None:
        assert np.allclose(limit_motion(motion(moved_by(0.2, -0.2)), 1.0).head, moved_by(0.2, -0.2))

    @pytest.mark.parametrize("far", [0.4, 1.0, 5.0])
    def test_large_motion_is_followed_as_far_as_a_picture_can_be_warped(self, far: float) -> None:
        head = compose(cv2.getRotationMatrix2D((CENTRE, CENTRE), 40, math.exp(far)), moved_by(far, 0))
        asked = measure_extent(limit_motion(motion(head), 1.0))
        assert asked.shift <= 0.7500001
        assert asked.degrees <= 25.000001

    def test_a_share_of_the_motion(self) -> None:
        face = np.ones((SIDE_PX, SIDE_PX, 2), np.float32)
        half = limit_motion(motion(moved_by(0.058, 0), face, face[..., 0]), 0.5)
        assert measure_extent(half).shift == pytest.approx(0.05)
        assert np.allclose(half.face, 0.5)
        assert np.allclose(half.opening, 0.5)


class TestField:
    def test_inside_the_flow_counts_and_outside_it_does_not(self) -> None:
        inside = ellipse(FACE, 0.01) > 0.5
        rest = np.where(inside[..., None], (3.0, -2.0), (-40.0, 40.0)).astype(np.float32)
        found = FaceField().dense(rest[CORE], inside.astype(np.float32)[CORE])
        assert np.abs(found[100:130, 90:110] - (3, -2)).max() < 0.1
        assert np.abs(found[~inside]).max() < 3.7

    def test_uncertain_motion_is_filled_from_around_it(self) -> None:
        sure = ellipse(FACE, 0.01)
        rest = np.full((SIDE_PX, SIDE_PX, 2), 2, np.float32)
        sure[120:140, 90:120], rest[120:140, 90:120] = 0, 70
        found = FaceField().dense(rest[CORE], sure[CORE])[60:160, 60:150]
        assert np.abs(found - 2).max() < 0.2

    def test_nothing_moves_farther_than_a_limit(self) -> None:
        rest = np.full((SIDE_PX, SIDE_PX, 2), 500, np.float32)
        found = FaceField().dense(rest[CORE], ellipse(FACE, 0.01)[CORE])
        assert np.hypot(found[..., 0], found[..., 1]).max() <= 0.3 * 0.58 * PER_SIDE + 1e-3

    def test_what_lies_beside_the_core_goes_on_from_it(self) -> None:
        """No step where the core of a view ends."""
        rest = np.full((SIDE_PX, SIDE_PX, 2), 4, np.float32)
        found = FaceField().dense(rest[CORE], ellipse(FACE, 0.05)[CORE])
        steps = [np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1)]
        assert max(steps) < 0.2
        assert np.abs(found[104, [0, -1]] - 4).max() < 0.5


class TestMouthOpening:
    @pytest.fixture
    def view(self, driver: DrawnFace) -> Any:
        return driver.placement.view(driver.picture)

    def test_a_dark_hole_is_found_and_only_it(self, view: Any) -> None:
        still, aligned = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32), view.copy()
        opening = MouthOpening(np.ascontiguousarray(view[CORE]), 0.0)
        assert not any(hull.any() for hull in opening.hulls(view[CORE], still[CORE]))
        cv2.ellipse(aligned, (104, 145), (14, 9), 0, 0, 360, (25, 5, 5), -1)
        found = pad_core(opening.hulls(aligned[CORE], still[CORE])[1])
        assert found[145, 104] == 1
        assert 300 < found.sum() < 900

    def test_what_does_not_reach_the_lips_is_no_mouth(self, view: Any) -> None:
        still, aligned = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32), view.copy()
        cv2.ellipse(aligned, (104, 182), (20, 5), 0, 0, 360, (5, 5, 5), -1)
        opening = MouthOpening(np.ascontiguousarray(view[CORE]), 0.0)
        assert not any(hull.any() for hull in opening.hulls(aligned[CORE], still[CORE]))

    def test_a_mouth_is_inserted_without_a_seam(self) -> None:
        """The inserted mouth has another skin around it; only its inside may show."""
        skin = np.full((60, 80, 3), (200, 150, 120), np.uint8)
        other = np.full((60, 80, 3), (150, 130, 140), np.uint8)
        cv2.ellipse(other, (40, 30), (14, 7), 0, 0, 360, (40, 10, 10), -1)
        share = np.zeros((60, 80), np.float32)
        cv2.ellipse(share, (40, 30), (24, 15), 0, 0, 360, 1.0, -1)
        share = cv2.GaussianBlur(share, (0, 0), 1.2)
        found = insert_mouth(skin, other, share, np.ones(3, np.float32))[0].astype(int)
        away = np.abs(found - (200, 150, 120)).max(axis=2)
        assert away[30, 20] < 12
        assert away[17, 40] < 12
        assert np.abs(found[30, 40] - (80, 26, 0)).max() < 25
        assert not away[share == 0].any()


class TestMeshWarp:
    @pytest.fixture
    def mesh(self, driver: DrawnFace) -> MeshWarp:
        return MeshWarp(driver.picture, driver.placement, driver.placement.view(driver.picture), 0.0)

    def test_no_motion_is_the_picture(self, mesh: MeshWarp, driver: DrawnFace) -> None:
        assert np.array_equal(mesh.apply(driver.picture, motion())[0], driver.picture)

    def test_another_picture_is_warped_in_the_same_way(self, mesh: MeshWarp, driver: DrawnFace) -> None:
        """The held picture is prepared in advance, others when they come."""
        for picture in (driver.picture.copy(), driver.picture[..., ::-1].copy()):
            held = MeshWarp(picture, driver.placement, driver.placement.view(driver.picture), 0.0)
            here, there = (one.apply(picture, motion(moved_by(0.03, 0.01)))[0] for one in (held, mesh))
            assert np.array_equal(here, there)

    def test_a_head_moves_by_what_its_size_says(self, mesh: MeshWarp, driver: DrawnFace) -> None:
        bent, _ = mesh.apply(driver.picture, motion(moved_by(0.1, 0)))
        part, there = np.s_[90:130, 105:150], round(0.1 * driver.placement.size)
        found = cv2.matchTemplate(bent, np.ascontiguousarray(driver.picture[part]), cv2.TM_SQDIFF)
        x, y = cv2.minMaxLoc(found)[2]
        assert abs(x - 105 - there) <= 1
        assert abs(y - 90) <= 1

    @pytest.mark.parametrize("way", [(-1, 0), (1, 0), (0, -1), (0, 1)])
    def test_a_face_that_moves_as_far_as_it_may_stays_as_it_is(
        self, way: tuple[int, int], portrait: DrawnFace, driver: DrawnFace
    ) -> None:
        """Whatever is around it, and wherever it goes: down over its collar, too."""
        moved = motion(moved_by(*(MOST_SHIFT * EYES_APART * step for step in way)))
        for face in (portrait, driver):
            mesh = MeshWarp(face.picture, face.placement, face.placement.view(face.picture), 0.0)
            bent, share = mesh.apply(face.picture, moved)
            assert share == 1
            assert max(local_errors(bent, face.picture, face.placement).values()) < 30

    def test_what_moves_stays_sharp(self, driver: DrawnFace) -> None:
        """As sharp as bicubic sampling: half a pixel aside and half a pixel back again."""
        mesh = MeshWarp(driver.picture, driver.placement, driver.placement.view(driver.picture), 0.0)
        half = 0.5 / driver.placement.size
        once, _ = mesh.apply(driver.picture, motion(moved_by(half, 0)))
        twice, _ = mesh.apply(once, motion(moved_by(-half, 0)))
        face = np.s_[60:170, 85:170]
        by_cubics, columns = driver.picture, np.indices((256, 256), np.float32)[::-1]
        for aside in (-0.5, 0.5):
            by_cubics = cv2.remap(by_cubics, columns[0] + np.float32(aside), columns[1], cv2.INTER_CUBIC)
        lost = [
            float(np.abs(found[face].astype(int) - driver.picture[face]).mean())
            for found in (twice, by_cubics)
        ]
        assert lost[0] <= lost[1]

    def test_lips_that_meet_lower_move_where_they_are(self, driver: DrawnFace) -> None:
        """The same motion about the driving lips, .05 lower on the portrait."""
        y = (np.arange(SIDE_PX)[:, None, None] + 0.5) / PER_SIDE - 0.8125
        face = np.zeros((SIDE_PX, SIDE_PX, 2), np.float32)
        face[..., 1] = (3 * np.exp(-0.5 * ((y - 0.262) / 0.03) ** 2))[..., 0]
        picture = np.repeat(np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 256, 1), 3, 2)
        changed = []
        for lip_offset in (0.0, 0.05):
            mesh = MeshWarp(
                picture, replace(driver.placement, lip_offset=lip_offset), picture[:SIDE_PX, :SIDE_PX], 0.0
            )
            off = np.abs(mesh.apply(picture, motion(face=face))[0].astype(int) - picture)[:, 118:138].sum(
                axis=(1, 2)
            )
            changed.append(float((off * np.arange(len(off))).sum() / off.sum()))
        assert changed[1] - changed[0] == pytest.approx(0.05 * driver.placement.size, abs=2)

    def test_nothing_is_sampled_outside_the_picture(
        self, driver: DrawnFace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A head at the border that moves away from it is stretched, not torn off."""
        cut = np.ascontiguousarray(driver.picture[60:, 70:])
        placement = replace(driver.placement, x=driver.placement.x - 70, y=driver.placement.y - 60)
        seen: list[Any] = []
        remapped = MeshWarp._remap
        monkeypatch.setattr(MeshWarp, "_remap", lambda s, p, px: seen.append(px) or remapped(s, p, px))
        MeshWarp(cut, placement, driver.picture[:SIDE_PX, :SIDE_PX], 0.0).apply(
            cut, motion(moved_by(0.25, 0.25))
        )
        px, step = seen[0], round(placement.size / 64)
        assert step > 1
        rows, columns = (np.indices(px.shape[:2]) + 0.5) * step - 0.5
        assert (px[..., 0] + columns).min() >= 0
        assert (px[..., 1] + rows).min() >= 0
        assert px.min() < -20


class TestDrivingFlow:
    def test_another_light_is_no_motion(self, driver: DrawnFace, clip: list[Any]) -> None:
        dark = [np.clip(frame * 0.8 - 5, 0, 255).astype(np.uint8) for frame in clip[:8]]
        flow, dimmed = DrivingFlow(clip[0], driver.placement), DrivingFlow(clip[0], driver.placement)
        for frame, dim in zip(clip[1:8], dark[1:], strict=True):
            here, there = flow.follow(frame), dimmed.follow(dim)
        assert here and there
        inside = ellipse(FACE, 0.05) > 0.5
        assert np.abs(here.head - there.head)[:, 2].max() < 1.5
        assert np.abs(here.face - there.face)[inside].mean() < 0.35

    def test_another_shot_is_not_followed_and_then_forgotten(
        self, driver: DrawnFace, clip: list[Any]
    ) -> None:
        flow = DrivingFlow(clip[0], driver.placement)
        flow.follow(clip[1])
        lost = flow.follow(np.full_like(clip[0], 30))
        assert lost and lost.confidence == 0
        again, fresh = flow.follow(clip[2]), DrivingFlow(clip[0], driver.placement).follow(clip[2])
        assert again and fresh
        assert np.array_equal(again.head, fresh.head)
        assert 0 < again.confidence < fresh.confidence == 1

    def test_blending_goes_from_one_to_the_other(self) -> None:
        a, b = motion(), motion(moved_by(0.1, 0), np.ones((SIDE_PX, SIDE_PX, 2), np.float32))
        assert blend_motions(a, b, 0) is a
        assert blend_motions(None, b, 0.5) is b
        assert blend_motions(a, None, 0.5) is a
        half = blend_motions(a, b, 0.5)
        assert half
        assert np.allclose(half.head[0, 2], -0.05 * PER_SIDE)
        assert np.allclose(half.face, 0.5)


class TestAlignment:
    def test_a_sloppy_box_still_leads_to_the_face(self, portrait: DrawnFace) -> None:
        eyes, mouth = portrait.landmarks[:8].mean(axis=0), portrait.landmarks[8:10].mean(axis=0)
        place, errors = portrait.placement, []
        for right, down, growth in ((0.07, 0, 0.9), (-0.07, 0, 1.1), (0, 0.07, 0.92), (0, -0.07, 1.15)):
            box = FaceBox(place.x + right * place.size, place.y + down * place.size, place.size * growth)
            found = fit(portrait.picture, box).to_picture()
            there = np.array([found @ (*point, 1.0) for point in ((0, -0.115), (0, 0.262))])
            errors.append(np.hypot(*(there - (eyes, mouth)).T).mean() / portrait.eyes_apart)
        assert np.mean(errors) < 0.06

    def test_the_line_between_the_lips_is_found(self, driver: DrawnFace) -> None:
        closed = driver.picture.copy()
        cv2.rectangle(closed, (100, 128), (158, 152), (225, 175, 150), -1)
        closed = cv2.GaussianBlur(closed, (0, 0), 1)
        cv2.line(closed, (108, 148), (150, 148), (90, 40, 40), 2)
        placement = fit(closed, driver.box)
        line = placement.to_picture() @ (0.0, 0.262 + placement.lip_offset, 1.0)
        assert abs(line[1] - 148) < 3

    def test_a_view_of_a_large_face_skips_no_pixels(self) -> None:
        """Stripes that are finer than the view are grey there, not stripes of another width."""
        stripes = np.zeros((1200, 1200, 3), np.uint8)
        stripes[:, ::2] = 200
        view = FacePlacement(600, 600, 900).view(stripes)
        assert np.abs(view.astype(int) - 100).max() <= 20

    def test_moving_face_tells_the_truth(self, driver: DrawnFace) -> None:
        """The reference of other tests: a landmark of a head that moves by so much moves by so much."""
        moved = MovingFace(driver).landmarks(Pose(right=0.1)) - MovingFace(driver).landmarks(Pose())
        assert np.allclose(moved[:11], (0.1 * 113.2, 0), atol=0.6)
