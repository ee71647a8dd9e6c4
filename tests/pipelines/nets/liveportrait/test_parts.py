"""The networks on random weights and small pictures: folded or not, alone or in a batch, whatever the device wants."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memory.plan import Load
from pipelines.animation.liveportrait.memory_cost import cost
from pipelines.nets.kernels.scratch import Scratch
from pipelines.nets.liveportrait import loading as nets
from pipelines.nets.liveportrait.folding import prepare
from pipelines.nets.liveportrait.warping import DenseMotion, Source, all_shifted, identity, shifted
from tests.simulated_card import simulated_card

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
"""Of activations with a spread around 1, after dozens of layers."""


def drawn(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Weights that keep numbers in range, under the published names."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
    torch.manual_seed(1)
    weights = {}
    for name, shape in shapes.items():
        fan_in = shape[1:].numel() if len(shape) > 1 else 100
        weights[name] = torch.randn(shape) * fan_in**-0.5
        if name.endswith(("running_var", "norm.weight", "norm1.weight", "norm2.weight")):
            weights[name] = 1 + 0.1 * torch.rand(shape)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.zeros(shape, dtype=torch.int64)
        if name.endswith(("weight_u", "weight_v")):
            weights[name] = shape.numel() ** -0.5 * torch.ones(shape)
    for name in [name.removesuffix("_orig") for name in shapes if name.endswith("weight_orig")]:
        # A factor of about 1 that is none.
        u, v = weights[f"{name}_u"], weights[f"{name}_v"]
        weights[f"{name}_u"] *= 1.25 / (u @ weights[f"{name}_orig"].flatten(1) @ v)
    return weights


def made(make: Callable[[], Any], *, folded: bool) -> Any:
    with torch.device("meta"):
        network = make()
    network.load_state_dict(drawn(make), assign=True)
    return prepare(network.requires_grad_(False).eval(), Scratch() if folded else None)


def test_the_generator_draws_the_same_folded_and_not() -> None:
    guide = torch.randn(2, 256, 8, 8)
    plain, few = (made(nets.SpadeGenerator, folded=folded)(guide) for folded in (False, True))
    assert few.shape == (2, 3, 64, 64)
    assert float(few.std()) > 0.01
    torch.testing.assert_close(few, plain, **CLOSE)


def test_the_generator_draws_a_batch_as_one_by_one() -> None:
    generator, guide = made(nets.SpadeGenerator, folded=True), torch.randn(3, 256, 8, 8)
    torch.testing.assert_close(
        generator(guide), torch.cat([generator(guide[i : i + 1]) for i in range(3)]), atol=1e-6, rtol=0
    )


def test_the_dense_motion_is_the_same_folded_and_not() -> None:
    given = torch.randn(1, 142, 3, 32, 32)
    results = []
    for folded in (False, True):
        dense = made(DenseMotion, folded=False)
        if folded:
            dense = made(lambda: nn.Sequential(DenseMotion()), folded=True)[0]
        there = dense.hourglass(given.clone())
        results.append((there, dense.mask(there)))
    torch.testing.assert_close(results[1], results[0], **CLOSE)


def test_a_portrait_alone_and_one_for_each_frame_warp_alike() -> None:
    warping = made(nets.WarpingModule, folded=False)
    feature, points = torch.randn(1, 32, 16, 64, 64), 0.3 * torch.randn(1, 21, 3)
    alone = warping.source(feature, points)
    each = warping.source(feature.expand(2, -1, -1, -1, -1), points.expand(2, -1, -1))
    driving = points + 0.1 * torch.randn(2, 21, 3)
    dense = warping.dense_motion_network
    assert torch.equal(dense.arrange(alone, driving)[:, 32:], dense.arrange(each, driving)[:, 32:])
    assert alone[1:2] is alone
    assert torch.equal(each[1:2].heat, each.heat[1:2])


def test_a_shifted_volume_is_sampled_as_the_grid_says() -> None:
    volume, shift = torch.randn(4, 16, 64, 64), torch.tensor([0.3, -0.7, 1.4])
    grid = (identity(volume.device) + shift)[None]
    expected = nn.functional.grid_sample(volume[None], grid, align_corners=False)[0]
    torch.testing.assert_close(shifted(volume, shift), expected, atol=2e-5, rtol=0)


def test_on_a_card_all_points_are_shifted_in_few_operations() -> None:
    volumes, shifts = torch.rand(2, 4, 16, 64, 64), 0.3 * torch.randn(2, 21, 3)
    expected = [
        torch.stack([shifted(*pair) for pair in zip([volume] * 21, each, strict=True)])
        for volume, each in zip(volumes, shifts, strict=True)
    ]
    with simulated_card() as card, torch.no_grad():
        there = volumes.to("sim"), shifts.to("sim")
        card.reset()
        found = list(all_shifted(*there))
        assert card.operations.total() <= 42 + 2 * 6
        torch.testing.assert_close(torch.stack(found).cpu(), torch.stack(expected), atol=1e-6, rtol=0)


def test_what_is_constant_of_a_portrait_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    warping = made(nets.WarpingModule, folded=False)
    source = warping.source(torch.randn(1, 32, 16, 64, 64), 0.3 * torch.randn(1, 21, 3))
    monkeypatch.setattr(warping.dense_motion_network.compress, "forward", pytest.fail)
    assert warping.dense_motion_network.arrange(source, torch.zeros(1, 21, 3)).shape == (1, 142, 16, 64, 64)


@pytest.mark.parametrize("half", [False, True])
def test_what_the_planner_is_told_covers_the_tensors_that_live_at_once(
    half: bool, tally_of: Callable[[Callable[[], object]], int]
) -> None:
    device = cost(on_gpu=True, half=half).device
    with torch.device("meta"):
        warping, generator, appearance = (
            nets.WarpingModule(),
            nets.SpadeGenerator(),
            nets.AppearanceExtractor(),
        )
    kind = torch.float16 if half else torch.float32
    for network in (warping, generator, appearance):
        prepare(network.requires_grad_(False)).to(dtype=kind)
    weights = sum(p.nbytes for n in (warping, generator, appearance) for p in (*n.parameters(), *n.buffers()))
    assert weights < device.fixed

    def live(frames: int) -> int:
        source = on_meta(frames)
        return tally_of(lambda: generator(warping(source, torch.empty(frames, 21, 3, device="meta"))))

    def on_meta(frames: int) -> Source:
        feature = appearance(torch.empty(1, 3, 256, 256, device="meta"))
        return warping.source(feature, torch.empty(1, 21, 3, device="meta"))

    several = live(5) - live(1)
    assert 4 * device.per_batch_frame / 2 < several < 4 * device.per_batch_frame


def test_a_processor_holds_one_frame_whatever_the_batch() -> None:
    host = cost(on_gpu=False).host
    assert host.per_batch_frame < host.fixed / 100
    assert cost(on_gpu=False).device == Load()
