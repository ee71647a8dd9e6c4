"""A portrait follows a driving one: the published system's cases, on stand-in weights, and the contract around them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipelines.animation.liveportrait.crops import animate_crops, portrait_options
from pipelines.animation.liveportrait.networks import LivePortrait
from pipelines.animation.liveportrait.targets import (
    InputKinds,
    KeypointDriver,
    compute_targets,
    smooth_targets,
)
from pipelines.animation.motion.motions import Motions
from pipelines.errors import BadInput, WeightsMissing

CASES = {
    **dict.fromkeys(("rel_stitch", "rel_nostitch", "rel_lip", "rel_exp"), ("source", slice(0, 8))),
    **dict.fromkeys(("rel_normlip", "rel_eyelip_retarget"), ("source", slice(0, 8))),
    "rel_normlip_below": ("source_b", slice(0, 8)),
    "i2i": ("source", slice(3, 4)),
    **dict.fromkeys(("v2v_smooth", "v2v_default_var"), ("source_video", slice(0, 6))),
}
"""By name: what is the source, and which driving frames there are."""

PICTURES = [("rel_stitch", 4)]
"""Frames that are drawn by default; each takes six seconds of a core. LONGTAKE_SLOW=1 draws all there are."""


@pytest.fixture(scope="module")
def crops(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "parity/liveportrait/e2e_inputs.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Callable[[str], dict[str, Any]]:
    def of(case: str) -> dict[str, Any]:
        with np.load(shared / f"parity/liveportrait/e2e_{case}.npz") as arrays:
            return dict(arrays)

    return of


@pytest.fixture(scope="module")
def engine(liveportrait_weights: Path) -> LivePortrait:
    return LivePortrait(liveportrait_weights)


@pytest.fixture(scope="module")
def motions(engine: LivePortrait, crops: dict[str, np.ndarray]) -> dict[str, Motions]:
    """Motions of all pictures, estimated once for all cases."""
    seen = {}
    for name in ("source", "source_b", "source_video", "driving"):
        pictures = crops[name] if crops[name].ndim == 4 else crops[name][None]
        seen[name] = engine.motions(pictures, crops[f"lmk_{name}"].reshape(-1, 203, 2))
    engine.release("motion")
    return seen


@pytest.mark.parametrize("case", CASES)
def test_keypoints_of_every_case(
    case: str, engine: LivePortrait, motions: dict[str, Motions], golden: Callable[[str], dict[str, Any]]
) -> None:
    (name, frames), expected = CASES[case], golden(case)
    source, driving = motions[name], motions["driving"][frames]
    kind = InputKinds(name == "source_video", len(driving) > 1)
    options = portrait_options(json.loads(str(expected["opts"])))
    whole = smooth_targets(options, kind, compute_targets(options, kind, source, driving, driving[:1]))
    found = KeypointDriver(options, kind, source, driving, engine).keypoints(source, driving, whole)
    np.testing.assert_allclose(source.keypoints, expected["x_s"], rtol=0, atol=1.7e-5)
    np.testing.assert_allclose(found, expected["x_d"], rtol=0, atol=1.7e-5)
    for part, name in (("turn", "R"), ("expression", "exp"), ("translation", "t"), ("scale", "scale")):
        np.testing.assert_allclose(getattr(driving, part), expected[f"tpl_{name}"], rtol=0, atol=7e-6)
    for part, name in (("canonical", "kp"), ("keypoints", "x_s"), ("eyes", "c_eyes"), ("lips", "c_lip")):
        np.testing.assert_allclose(getattr(driving, part), expected[f"tpl_{name}"], rtol=0, atol=7e-6)


def drawn_as_published(
    case: str, frame: int, engine: LivePortrait, crops: dict[str, np.ndarray], expected: dict[str, Any]
) -> None:
    """Render from the published keypoints, so that only the picture is compared."""
    source = crops[CASES[case][0]]
    sources = source[frame : frame + 1] if source.ndim == 4 else source[None]
    still = expected["x_s"][frame : frame + 1] if source.ndim == 4 else expected["x_s"]
    [picture] = engine.frames(engine.portrait(sources, still), expected["x_d"][frame : frame + 1])
    row, step = expected["frame_index"].tolist().index(frame), int(expected["sub"])
    difference = np.abs(picture[::step, ::step].astype(int) - expected["frames_sub"][row])
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3
    assert picture.mean() == pytest.approx(255 * float(expected["frame_mean"][row]) - 0.5, abs=0.01)


@pytest.mark.parametrize(("case", "frame"), PICTURES)
def test_pictures(
    case: str,
    frame: int,
    engine: LivePortrait,
    crops: dict[str, np.ndarray],
    golden: Callable[[str], dict[str, Any]],
) -> None:
    drawn_as_published(case, frame, engine, crops, golden(case))


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("LONGTAKE_SLOW"), reason="14 frames of six seconds; LONGTAKE_SLOW=1 draws them"
)
@pytest.mark.parametrize("case", [case for case in CASES if case not in ("rel_exp", "rel_eyelip_retarget")])
def test_all_pictures(
    case: str, engine: LivePortrait, crops: dict[str, np.ndarray], golden: Callable[[str], dict[str, Any]]
) -> None:
    expected = golden(case)
    for frame in expected.get("frame_index", np.zeros(0, int)).tolist():
        drawn_as_published(case, frame, engine, crops, expected)


class Drawn:
    """Fake networks that analyse and render at once: a picture of the keypoints' first number, and a tally of calls."""

    widths: ClassVar = {"kp": 63, "scale": 1, "pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63}

    def __init__(self) -> None:
        self.warped: list[int] = []
        self.portraits: list[int] = []

    def look(self, pictures: Any) -> Any:
        """Heads that depend on this picture alone: means of as many of its rows."""
        means = pictures.mean(dim=(1, 3))
        return {name: means[:, :width] for name, width in self.widths.items()}

    def appearance(self, pictures: Any) -> Any:
        self.portraits.append(len(pictures))
        return pictures[:, :1, :1, :1]

    def source(self, feature: Any, points: Any) -> Any:
        import torch

        from pipelines.nets.liveportrait.warping import Source

        return Source(feature, points, *(torch.zeros(len(points), 1) for _ in range(3)))

    def __call__(self, source: Any, points: Any) -> Any:
        assert len(source.points) in (1, len(points))
        self.warped.append(len(points))
        return points[:, 0, 0].frac().abs()

    def generate(self, warped: Any) -> Any:
        return warped.view(-1, 1, 1, 1).expand(-1, 3, 512, 512)


@pytest.fixture
def quick(engine: LivePortrait, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Engines without their large networks."""
    networks = Drawn()
    for name, value in (
        ("_motion", networks.look),
        ("_warping", networks),
        ("_appearance", networks.appearance),
        ("_generator", networks.generate),
    ):
        monkeypatch.setattr(LivePortrait, name, value)
    return networks


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_batch_changes_nothing(
    batch_size: int, quick: Drawn, crops: dict[str, np.ndarray], liveportrait_weights: Path
) -> None:
    still, points, frames = animate_crops(
        crops["source"], crops["driving"][:3], liveportrait_weights, {}, batch_size=batch_size
    )
    assert (still.shape, points.shape) == ((1, 21, 3), (3, 21, 3))
    _, alone, _ = animate_crops(crops["source"], crops["driving"][:3], liveportrait_weights, {})
    assert np.array_equal(points, alone)
    pictures = list(frames)
    assert [(picture.shape, picture.dtype) for picture in pictures] == [((512, 512, 3), np.uint8)] * 3
    expected = (np.abs(np.modf(points[:, 0, 0])[0]) * np.float32(255)).astype(np.uint8)
    assert len(set(expected.tolist())) == 3
    assert [int(picture[0, 0, 0]) for picture in pictures] == expected.tolist()
    assert quick.warped == [1, 1, 1]
    assert quick.portraits == [1]


def test_frames_are_drawn_when_they_are_asked_for(
    quick: Drawn, crops: dict[str, np.ndarray], liveportrait_weights: Path
) -> None:
    _, _, frames = animate_crops(
        crops["source_video"], crops["driving"][:3], str(liveportrait_weights), {}, batch_size=2
    )
    assert quick.warped == []
    next(frames)
    assert quick.warped == [1, 1]
    assert quick.portraits == [1, 1]
    assert len(list(frames)) == 2


@pytest.mark.parametrize(
    ("source", "driving", "frames"),
    [("source", slice(0, 2), 2), ("source", 1, 1), ("source_video", slice(0, 4), 4), ("source_video", 1, 6)],
)
def test_how_many_frames_there_are(
    source: str,
    driving: Any,
    frames: int,
    quick: Drawn,
    crops: dict[str, np.ndarray],
    liveportrait_weights: Path,
) -> None:
    landmarks = {"source": crops[f"lmk_{source}"], "driving": crops["lmk_driving"][driving]}
    still, points, drawn = animate_crops(
        crops[source],
        crops["driving"][driving],
        liveportrait_weights,
        {"flag_eye_retargeting": True},
        landmarks,
        batch_size=3,
    )
    assert len(points) == len(list(drawn)) == frames
    assert len(still) == (frames if source == "source_video" else 1)


def test_networks_of_a_finished_pass_are_released(engine: LivePortrait, crops: dict[str, np.ndarray]) -> None:
    first = engine.motions(crops["driving"][:1])
    assert engine.release("motion")
    assert not engine.release("motion")
    assert np.array_equal(engine.motions(crops["driving"][:1]).expression, first.expression)


def test_a_batch_is_analysed_like_its_frames(engine: LivePortrait, crops: dict[str, np.ndarray]) -> None:
    together = engine.motions(crops["driving"][:2])
    alone = Motions.concatenate(engine.motions(crops["driving"][i : i + 1]) for i in range(2))
    for name, part in together.parts().items():
        assert part is None or np.array_equal(part, alone.parts()[name])


@pytest.mark.parametrize(
    ("source", "driving", "landmarks", "said"),
    [
        (np.zeros((200, 256, 3), np.uint8), None, None, "source"),
        (None, np.zeros((256, 256, 3), np.float32), None, "driving"),
        (None, np.zeros((0, 256, 256, 3), np.uint8), None, "driving"),
        (None, None, {"driving": np.zeros((2, 203, 2), np.float32)}, "2 of 3 frames"),
    ],
)
def test_what_are_no_crops_is_refused(
    source: Any,
    driving: Any,
    landmarks: Any,
    said: str,
    crops: dict[str, np.ndarray],
    liveportrait_weights: Path,
) -> None:
    source = crops["source"] if source is None else source
    driving = crops["driving"][:3] if driving is None else driving
    with pytest.raises(BadInput, match=said):
        animate_crops(source, driving, liveportrait_weights, {}, landmarks)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    with pytest.raises(WeightsMissing, match=r"spade_generator\.pth"):
        animate_crops(picture, picture, tmp_path, {})
