"""Target keypoints: what each option takes from the driving, and what it leaves to the source."""

from typing import Any

import numpy as np
import pytest

from pipelines.animation.liveportrait.crops import portrait_options
from pipelines.animation.liveportrait.targets import (
    InputKinds,
    KeypointDriver,
    Targets,
    compute_targets,
    smooth_targets,
)
from pipelines.animation.motion.keypoints import (
    EYES,
    LIPS,
    LIPS_CLOSED,
    PART,
    WHOLE,
    hull_ratio,
    transform_keypoints,
)
from pipelines.animation.motion.motions import Motions, decode_motions
from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions

PICTURE, VIDEO = InputKinds(False, True), InputKinds(True, True)
ELSEWHERE = sorted(set(range(21)) - set(WHOLE) - {point for point, _ in PART})


class Marks:
    """Retargeting that leaves a mark: stitching adds 100, eyes 1 and lips 10, each times its last ratio."""

    def stitched(self, source: Any, driving: Any) -> Any:
        return driving + np.float32(100)

    def eyes(self, source: Any, ratios: Any) -> Any:
        assert ratios.shape == (len(source), 3)
        return np.zeros_like(source) + ratios[:, 2:, None]

    def lips(self, source: Any, ratios: Any) -> Any:
        assert ratios.shape == (len(source), 2)
        return np.zeros_like(source) + 10 * (ratios[:, 1:, None] + 1)


def motions(frames: int, seed: int, *, landmarks: bool = True) -> Motions:
    random = np.random.default_rng(seed)
    widths = {"kp": 63, "scale": 1, "pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63}
    heads = {
        name: random.standard_normal((frames, width)).astype(np.float32) for name, width in widths.items()
    }
    heads["scale"] = 1.5 + 0.1 * heads["scale"]
    points = random.random((frames, 203, 2)).astype(np.float32) if landmarks else None
    return decode_motions(heads, points)


def moved(source: Motions, driving: Motions, kind: InputKinds = PICTURE, **options: Any) -> np.ndarray:
    asked = portrait_options({"flag_stitching": False, "driving_option": "pose-friendly", **options})
    return KeypointDriver(asked, kind, source, driving, Marks()).keypoints(source, driving)


def expressions(
    points: np.ndarray, source: Motions, turn: np.ndarray, scale: Any, translation: Any
) -> np.ndarray:
    """Recover the expression of `points` when everything else is known."""
    unmoved = points - np.concatenate([translation[:, :2], np.zeros((len(points), 1))], axis=1)[:, None]
    return unmoved / scale[:, :, None] - source.canonical @ turn


def test_no_motion_is_the_source() -> None:
    source, still = motions(1, 1), motions(1, 2).broadcast(3)
    np.testing.assert_allclose(moved(source, still), source.keypoints.repeat(3, 0), atol=1e-5)


@pytest.mark.parametrize("region", ["all", "exp", "lip", "eyes", "pose"])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("kind", [PICTURE, VIDEO])
def test_regions_take_their_points_and_leave_the_others(
    kind: InputKinds, relative: bool, region: str
) -> None:
    source, driving = motions(4 if kind.source_video else 1, 1), motions(4, 2)
    points = moved(source, driving, kind, animation_region=region, flag_relative_motion=relative)
    relative_picture = relative and not kind.source_video
    turn, translation, scale = source.turn, source.translation, source.scale
    if region in ("all", "pose"):
        turn = driving.turn @ driving.turn[:1].transpose(0, 2, 1) @ source.turn if relative else driving.turn
        translation = driving.translation if not relative else translation
    if region in ("all", "pose") and relative_picture:
        translation = translation + driving.translation - driving.translation[:1]
    if region == "all" and relative_picture:
        scale = scale * driving.scale / driving.scale[:1]
    found = expressions(points, source, turn, scale, np.broadcast_to(translation, (4, 3)))
    target = (
        driving.expression
        if not relative
        else source.expression + driving.expression - driving.expression[:1]
    )
    taken = np.zeros((21, 3), bool)
    if region in ("all", "exp"):
        taken[list(WHOLE)] = True
        taken[tuple(zip(*PART, strict=True))] = True
        taken |= relative_picture
    elif region in ("lip", "eyes"):
        taken[list(LIPS if region == "lip" else EYES)] = True
    expected = np.where(taken, target, source.expression)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert taken[ELSEWHERE].any() == (relative_picture and region in ("all", "exp"))


@pytest.mark.parametrize("region", ["all", "eyes"])
@pytest.mark.parametrize("source_video", [False, True])
def test_a_driving_picture_is_compared_with_closed_lips(source_video: bool, region: str) -> None:
    source, driving, kind = (
        motions(3 if source_video else 1, 1),
        motions(1, 2),
        InputKinds(source_video, False),
    )
    targets = compute_targets(portrait_options({"animation_region": region}), kind, source, driving, driving)
    closed = 0 if region == "eyes" and not source_video else LIPS_CLOSED
    np.testing.assert_allclose(targets.expression, source.expression + driving.expression - closed, atol=1e-6)
    assert np.array_equal(targets.turn, source.turn)
    assert moved(source, driving, kind).shape == (len(source), 21, 3)


def test_expression_friendly_fits_the_motion_to_the_size_of_the_face() -> None:
    source, driving = motions(1, 1), motions(3, 2)
    plain = moved(source, driving)
    fitted = moved(source, driving, driving_option="expression-friendly")
    size = hull_ratio(source.keypoints[0], plain[0])
    np.testing.assert_allclose(fitted, source.keypoints + size * (plain - plain[0]), atol=1e-5)
    for other in ({"flag_relative_motion": False}, {"kind": VIDEO, "source": motions(3, 1)}):
        source, kind = other.pop("source", source), other.pop("kind", PICTURE)
        friendly = moved(source, driving, kind, driving_option="expression-friendly", **other)
        assert np.array_equal(friendly, moved(source, driving, kind, **other))


def test_the_multiplier_comes_last() -> None:
    source, driving = motions(1, 1), motions(2, 2)
    full = moved(source, driving, flag_stitching=True)
    half = moved(source, driving, flag_stitching=True, driving_multiplier=0.5)
    np.testing.assert_allclose(half, source.keypoints + 0.5 * (full - source.keypoints), atol=1e-4)
    assert (np.abs(full - source.keypoints) > 50).all()


@pytest.mark.parametrize(
    "options", [{}, {"driving_option": "expression-friendly"}, {"flag_relative_motion": False}]
)
def test_any_range_of_frames_comes_out_the_same(options: dict[str, Any]) -> None:
    source, driving = motions(1, 1), motions(7, 2)
    driver = KeypointDriver(portrait_options(options), PICTURE, source, driving, Marks())
    parts = [driver.keypoints(source, driving[start : start + 3]) for start in range(0, 7, 3)]
    assert np.array_equal(np.concatenate(parts), driver.keypoints(source, driving))


def test_a_range_of_two_videos_comes_out_the_same_from_smoothed_targets() -> None:
    options, source, driving = (
        portrait_options({"driving_smooth_observation_variance": 1e-4}),
        motions(6, 1),
        motions(6, 2),
    )
    whole = smooth_targets(options, VIDEO, compute_targets(options, VIDEO, source, driving, driving[:1]))
    driver = KeypointDriver(options, VIDEO, source[:1], driving[:1], Marks())
    parts = [driver.keypoints(source[s], driving[s], whole[s]) for s in (slice(0, 2), slice(2, 6))]
    assert np.array_equal(np.concatenate(parts), driver.keypoints(source, driving, whole))
    rough = driver.keypoints(source, driving)
    assert np.abs(np.concatenate(parts) - rough).max() > 1e-3


def test_only_a_video_that_drives_a_video_is_smoothed() -> None:
    targets = Targets(motions(3, 1).expression, motions(3, 1).turn)
    for kind in (PICTURE, InputKinds(True, False), InputKinds(False, False)):
        assert smooth_targets(PortraitOptions(), kind, targets) is targets


def test_open_lips_are_closed_after_stitching_and_closed_ones_left() -> None:
    source, driving = motions(1, 1).broadcast(2), motions(2, 2)
    lips = np.array([[0.029], [0.031]], np.float32)
    source = Motions(**{**source.parts(), "lips": lips})  # type: ignore[arg-type]
    options = {"flag_normalize_lip": True, "flag_stitching": True}
    difference = moved(source, driving, VIDEO, **options) - moved(source, driving, VIDEO, flag_stitching=True)
    np.testing.assert_allclose(difference[:, 0, 0], [0, 10], atol=1e-4)
    off = moved(source, driving, VIDEO, flag_relative_motion=False, **options)
    assert np.array_equal(off, moved(source, driving, VIDEO, flag_relative_motion=False, flag_stitching=True))
    blind = Motions(**{**source.parts(), "lips": None})  # type: ignore[arg-type]
    assert np.array_equal(
        moved(blind, driving, VIDEO, **options), moved(blind, driving, VIDEO, flag_stitching=True)
    )


@pytest.mark.parametrize(("first", "wanted"), [(0.3, 0.3), (0.1, 0.39)])
def test_the_eyes_of_a_source_video_stay_as_open_as_at_first(first: float, wanted: float) -> None:
    driving = motions(2, 2)
    eyes = np.array([[first, first], [0.2, 0.2]], np.float32)
    source = Motions(**{**motions(2, 1).parts(), "eyes": eyes})  # type: ignore[arg-type]
    opened = moved(source, driving, VIDEO, flag_source_video_eye_retargeting=True)
    np.testing.assert_allclose(opened - moved(source, driving, VIDEO), wanted, atol=1e-5)


@pytest.mark.parametrize("relative", [True, False])
def test_retargeting_gives_up_relative_motion_only(relative: bool) -> None:
    source, driving = motions(1, 1), motions(3, 2)
    options = {"flag_eye_retargeting": True, "flag_lip_retargeting": True, "flag_relative_motion": relative}
    points = moved(source, driving, flag_normalize_lip=True, **options)
    base = source.keypoints if relative else moved(source, driving, flag_relative_motion=False)
    expected = base + driving.eyes[:, :1, None] + 10 * (driving.lips[:, :, None] + 1)
    np.testing.assert_allclose(points, expected, atol=1e-4)
    stitched = moved(source, driving, flag_stitching=True, **options)
    np.testing.assert_allclose(stitched - points, 100, atol=1e-3)


@pytest.mark.parametrize(
    ("blind", "options", "said"),
    [
        ("source", {"flag_eye_retargeting": True}, "source"),
        ("driving", {"flag_lip_retargeting": True}, "driving"),
        ("source", {"flag_source_video_eye_retargeting": True}, "source"),
    ],
)
def test_retargeting_without_landmarks_is_refused(blind: str, options: dict[str, Any], said: str) -> None:
    source, driving = (motions(2, i, landmarks=name != blind) for i, name in enumerate(("source", "driving")))
    with pytest.raises(BadInput, match=said) as caught:
        moved(source, driving, VIDEO, **options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"flag_stiching": True}, "flag_stiching"),
        ({"animation_region": "nose"}, "animation_region"),
        ({"driving_multiplier": -1}, "driving_multiplier"),
        ({"driving_smooth_observation_variance": 0}, "driving_smooth_observation_variance"),
    ],
)
def test_options_that_there_are_not_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        portrait_options(options)


def test_the_source_is_placed_as_the_networks_place_it() -> None:
    source = motions(2, 1)
    again = transform_keypoints(
        source.canonical, source.turn, source.expression, source.scale, source.translation
    )
    assert np.array_equal(again, source.keypoints)
