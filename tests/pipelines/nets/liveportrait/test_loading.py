"""The published networks, step by step: goldens, and files that are none of the published ones.

Tolerances are those that were measured between independent implementations, times ten, since sums are taken in another
order; where nothing was measured, a few 1e-5 of the spread.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.errors import WeightsBroken
from pipelines.nets.liveportrait import loading as nets

PLACE = nets.NetworkDevice(torch.device("cpu"))


@pytest.fixture(scope="module")
def files(liveportrait_weights: Path) -> dict[str, Path]:
    return {path.name: path for path in liveportrait_weights.rglob("*.pth")}


@pytest.fixture(scope="module")
def golden(shared: Path) -> Callable[[str], dict[str, Any]]:
    def of(name: str) -> dict[str, Any]:
        with np.load(shared / f"parity/liveportrait/{name}.npz") as arrays:
            return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}

    return of


@pytest.fixture(scope="module")
def pictures(golden: Callable[[str], dict[str, Any]]) -> Tensor:
    """The source and two driving frames, (3, 3, 256, 256) in 0 to 1."""
    crops = golden("e2e_inputs")
    chosen = torch.stack([crops["source"], crops["driving"][0], crops["driving"][3]])
    return chosen.movedim(-1, 1).float() / 255


@pytest.fixture(scope="module")
def stream() -> tuple[Tensor, Tensor]:
    """The feature volume and the generator's input of the goldens: parts of one stream of random numbers."""
    random = np.random.default_rng(101)
    for shape in ((5, 21, 3), (5, 21, 3), (5, 3)):
        random.standard_normal(shape)
    random.random((5, 1))
    random.standard_normal((3, 5, 1))
    random.random((5, 3)), random.random((5, 2))
    for shape in ((4, 66), (40, 21, 3), (40, 21, 3)):
        random.standard_normal(shape)
    feature = random.standard_normal((2, 32, 16, 64, 64))
    for _ in range(2):
        random.standard_normal((2, 21, 3))
    guide = random.standard_normal((2, 256, 64, 64)) * 0.9
    return torch.from_numpy(feature).float(), torch.from_numpy(guide).float()


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@torch.no_grad()
def test_motion(files: dict[str, Path], golden: Callable[[str], dict[str, Any]], pictures: Tensor) -> None:
    network, expected = nets.load_motion(files, PLACE), golden("stage_motion_extractor")
    for name, numbers in network(pictures).items():
        close(numbers, expected[name], 2.2e-5 if name in ("pitch", "yaw", "roll") else 3e-6)
    close(network.detector.pooled(pictures), expected["pooled"], 2e-5)


@torch.no_grad()
def test_appearance(
    files: dict[str, Path], golden: Callable[[str], dict[str, Any]], pictures: Tensor
) -> None:
    feature, expected = nets.load_appearance(files, PLACE)(pictures[:2]), golden("stage_appearance")
    close(feature[:, ::2, ::3, ::4, ::4], expected["feature_sub"], 8e-5)
    close(feature.mean((0, 2, 3, 4)), expected["channel_mean"], 1e-5)
    close(feature.mean((0, 1, 3, 4)), expected["depth_mean"], 1e-5)


@torch.no_grad()
def test_warping(files: dict[str, Path], golden: Callable[[str], dict[str, Any]], stream: Any) -> None:
    network, expected, seen = nets.load_warping(files, PLACE), golden("stage_warping"), {}
    dense = network.dense_motion_network
    dense.hourglass.register_forward_hook(
        lambda _, given, result: seen.update(given=given[0].clone(), result=result)
    )
    dense.mask.register_forward_hook(lambda _, given, result: seen.update(logits=result))
    dense.register_forward_hook(lambda _, given, result: seen.update(where=result[0], visible=result[1]))
    close(stream[0][:, ::8, ::8, ::16, ::16], expected["feature_probe"], 0)
    out = network(network.source(stream[0], expected["kp_source"]), expected["kp_driving"])
    close(seen["given"][:, 32::3, ::5, ::8, ::8], expected["hourglass_in_sub"], 8e-5)
    close(seen["result"][:, ::5, ::5, ::8, ::8], expected["hourglass_out_sub"], 4e-5)
    close(seen["logits"][:, :, ::5, ::8, ::8], expected["mask_logits_sub"], 4e-5)
    close(seen["where"][:, ::3, ::4, ::4], expected["deformation_sub"], 4e-6)
    close(seen["visible"], expected["occlusion"], 5e-6)
    close(out[:, ::4, ::4, ::4], expected["out_sub"], 8e-5)


@torch.no_grad()
def test_generator(files: dict[str, Path], golden: Callable[[str], dict[str, Any]], stream: Any) -> None:
    network, expected, seen = nets.load_generator(files, PLACE), golden("stage_generator"), {}
    steps = {"fc": (16, 8), "G_middle_0": (16, 8), "G_middle_5": (16, 8), "up_0": (16, 16), "up_1": (8, 16)}
    names = {"fc": "fc", "G_middle_0": "g0", "G_middle_5": "g5", "up_0": "up0", "up_1": "up1"}
    for step, (channels, pixels) in steps.items():
        network.get_submodule(step).register_forward_hook(
            lambda _, given, result, step=step, c=channels, p=pixels: seen.update(
                {step: result[:, ::c, ::p, ::p].clone()}
            )
        )
    close(stream[1][:, ::32, ::16, ::16], expected["feature_probe"], 0)
    picture = network(stream[1])
    for step, name in names.items():
        close(seen[step], expected[f"{name}_sub"], 3e-5 * float(expected[f"{name}_sub"].std()))
    close(picture[:, :, ::4, ::4], expected["out_sub"], 4e-6)


@torch.no_grad()
def test_retargeting(files: dict[str, Path], golden: Callable[[str], dict[str, Any]]) -> None:
    networks, expected = nets.load_retargeting(files), golden("stage_keypoints")
    source = expected["x"].flatten(1)
    for name, part in (("eye", "retarget_eye"), ("lip", "retarget_mouth")):
        found = networks[part](torch.cat([source, expected[f"{name}_ratio"]], dim=1))
        close(found.view(-1, 21, 3), expected[f"{name}_delta"], 2e-6)
    pair = torch.cat([expected["stitch_source"].flatten(1), expected["stitch_driving"].flatten(1)], dim=1)
    numbers = networks["retarget_shoulder"](pair)
    moved = expected["stitch_driving"] + numbers[:, :63].view(-1, 21, 3)
    moved[..., :2] += numbers[:, None, 63:]
    close(moved, expected["stitched"], 2e-6)


def changed(files: dict[str, Path], folder: Path, name: str, change: Callable[[Any], Any]) -> dict[str, Path]:
    """The files with another one of that name."""
    path = folder / name
    torch.save(change(torch.load(files[name])), path)
    return {**files, name: path}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: {k: v for k, v in table.items() if k != "second.bias"}, "second.bias"),
        (lambda table: {**table, "third.bias": table["second.bias"]}, "third.bias"),
        (lambda table: {**table, "second.bias": table["second.bias"][:5]}, "second.bias"),
        (lambda table: [table], "no table"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(
    files: dict[str, Path], tmp_path: Path, change: Callable[[Any], Any], said: str
) -> None:
    name = "appearance_feature_extractor.pth"
    with pytest.raises(WeightsBroken, match=said):
        nets.load_appearance(changed(files, tmp_path, name, change), PLACE)


def test_a_truncated_file_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    name = "appearance_feature_extractor.pth"
    path = shutil.copy(files[name], tmp_path / name)
    with Path(path).open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(WeightsBroken, match=name):
        nets.load_appearance({**files, name: Path(path)}, PLACE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: {k: v for k, v in table.items() if k != "retarget_eye"}, "retarget_eye"),
        (lambda table: {**table, "retarget_mouth": {}}, "retarget_mouth"),
    ],
)
def test_small_networks_that_are_missing_are_named(
    files: dict[str, Path], tmp_path: Path, change: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(WeightsBroken, match=said):
        nets.load_retargeting(changed(files, tmp_path, "stitching_retargeting_module.pth", change))


def test_other_entries_of_the_small_networks_file_are_left_aside(
    files: dict[str, Path], tmp_path: Path
) -> None:
    name = "stitching_retargeting_module.pth"
    assert set(
        nets.load_retargeting(changed(files, tmp_path, name, lambda table: {**table, "epoch": 7}))
    ) == {
        "retarget_shoulder",
        "retarget_mouth",
        "retarget_eye",
    }


def test_weights_do_not_hang_on_the_file(files: dict[str, Path], tmp_path: Path) -> None:
    name = "appearance_feature_extractor.pth"
    path = Path(shutil.copy(files[name], tmp_path / name))
    network = nets.load_appearance({**files, name: path}, PLACE)
    before = network.second.weight.clone()
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(network.second.weight, before)
