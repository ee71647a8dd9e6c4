"""Geometry of keypoints: goldens, and invariants."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.animation.motion import keypoints as k
from pipelines.animation.motion.motions import Motions, decode_motions


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/liveportrait/stage_keypoints.npz") as arrays:
        return dict(arrays)


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_rotations(golden: dict[str, np.ndarray]) -> None:
    close(k.rotation(golden["pitch"], golden["yaw"], golden["roll"]), golden["R"], 7e-6)


def test_a_rotation_turns_rows_and_keeps_lengths() -> None:
    ten, none = np.full((1, 1), 10, np.float32), np.zeros((1, 1), np.float32)
    roll = k.rotation(none, none, ten)[0]
    np.testing.assert_allclose(roll.T @ roll, np.eye(3), atol=1e-6)
    angle = np.radians(10)
    np.testing.assert_allclose(np.array([1, 0, 0]) @ roll, [np.cos(angle), np.sin(angle), 0], atol=1e-6)


def test_keypoints(golden: dict[str, np.ndarray]) -> None:
    parts = (golden[name] for name in ("kp", "R", "exp", "scale", "t"))
    close(k.transform_keypoints(*parts), golden["x"], 2e-6)


def test_the_depth_of_a_translation_is_never_used(golden: dict[str, np.ndarray]) -> None:
    kp, turn, exp, scale = (golden[name] for name in ("kp", "R", "exp", "scale"))
    far = golden["t"] + np.array([0, 0, 5], np.float32)
    assert np.array_equal(
        k.transform_keypoints(kp, turn, exp, scale, far),
        k.transform_keypoints(kp, turn, exp, scale, golden["t"]),
    )


def test_degrees(golden: dict[str, np.ndarray]) -> None:
    close(k.bins_to_degrees(golden["bin_logits"])[:, 0], golden["bin_degrees"], 3e-5)
    assert k.bins_to_degrees(np.zeros((2, 66), np.float32)).tolist() == [[0], [0]]


def test_hulls(golden: dict[str, np.ndarray]) -> None:
    first = golden["x"][0]
    found = [k.hull_ratio(first, each) for each in golden["x"]]
    np.testing.assert_allclose(found, golden["hull_multiplier"], rtol=1e-5)
    assert k.hull_ratio(first, 4 * first) == pytest.approx(1 / 8)


def test_ratios_of_landmarks(golden: dict[str, np.ndarray]) -> None:
    close(k.eye_ratios(golden["landmarks"]), golden["eye_close"], 1e-6)
    close(k.lip_ratios(golden["landmarks"]), golden["lip_close"], 1e-6)
    moved = golden["landmarks"] * np.float32(3) + np.float32(40)
    close(k.lip_ratios(moved), golden["lip_close"], 1e-4)


def heads(frames: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    widths = {"kp": 63, "scale": 1, "pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63}
    return {
        name: random.standard_normal((frames, width)).astype(np.float32) for name, width in widths.items()
    }


def test_motions_of_frames_do_not_hang_on_each_other() -> None:
    together, numbers = decode_motions(heads(5)), heads(5)
    for i in range(5):
        alone = decode_motions({name: part[i : i + 1] for name, part in numbers.items()})
        for name, part in alone.parts().items():
            if part is not None:
                np.testing.assert_allclose(together.parts()[name][i : i + 1], part, atol=1e-6)
    assert together.eyes is None
    assert together.lips is None


def test_motions_are_cut_joined_and_stretched() -> None:
    landmarks = np.random.default_rng(4).random((5, 203, 2)).astype(np.float32)
    whole = decode_motions(heads(5), landmarks)
    concatenate = Motions.concatenate([whole[:2], whole[2:]])
    for name, part in whole.parts().items():
        assert np.array_equal(concatenate.parts()[name], part)
    held = whole[1:2].broadcast(3)
    assert len(held) == 3
    assert np.array_equal(held.keypoints[2], whole.keypoints[1])
    assert held.keypoints.strides[0] == 0
    assert Motions.concatenate([whole[:2], decode_motions(heads(1))]).eyes is None
    with pytest.raises(ValueError, match="no motion"):
        Motions.concatenate([])


def test_a_frame_takes_less_than_a_kilobyte() -> None:
    landmarks = np.zeros((1, 203, 2), np.float32)
    assert sum(part.nbytes for part in decode_motions(heads(1), landmarks).parts().values()) < 1000
