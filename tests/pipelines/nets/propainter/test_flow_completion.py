from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.errors import WeightsBroken
from pipelines.nets.propainter.flow_completion import FlowCompletion, load_flow_completion

Golden = dict[str, Tensor]


@pytest.fixture(scope="module")
def network(propainter_weights: Callable[[str], Path]) -> FlowCompletion:
    return load_flow_completion(propainter_weights("recurrent_flow_completion"))


@pytest.fixture(scope="module")
def golden(propainter_golden: Callable[[str], Golden]) -> Golden:
    found = propainter_golden("flow_completion")
    return {**found, "mask": found["mask"][:, None]}


def known(flows: Tensor, masks: Tensor) -> Iterator[Tensor]:
    for flow, mask in zip(flows, masks, strict=True):
        yield torch.cat((flow * (1 - mask), mask))[None]


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())


def test_golden_prediction(network: FlowCompletion, golden: Golden) -> None:
    masks = golden["mask"]
    forward = torch.cat(list(network.predict(known(golden["flow_fwd"], masks[:-1]))))
    assert off(forward, golden["pred_fwd"]) < 1e-4
    back = torch.cat(list(network.predict(known(golden["flow_bwd"].flip(0), masks[1:].flip(0))))).flip(0)
    assert off(back, golden["pred_bwd"]) < 1e-4


def test_golden_steps(network: FlowCompletion, golden: Golden) -> None:
    recurrence, shallow = network.feat_prop_module, []
    with torch.inference_mode():
        deep = list(network._encoded(known(golden["flow_fwd"], golden["mask"][:-1]), shallow))
        propagated = list(recurrence(deep))
        seen = recurrence._carried("backward_", ((x,) for x in reversed(deep)))
        first, nothing, align = next(seen), torch.zeros_like(deep[0]), recurrence.deform_align["backward_"]
        condition = torch.cat((first, deep[-2], nothing), 1)
        head = align.conv_offset(condition)
        aligned = align(torch.cat((first, nothing), 1), condition)
        decoded = torch.nn.functional.leaky_relu(network.decoder2(propagated[0]), 0.2)
    assert off(torch.stack(shallow, 2)[0, ::8, :, ::2, ::2], golden["enc1_fwd"]) < 1e-4
    assert off(torch.stack(deep, 2)[0, ::4], golden["mid_fwd"]) < 1e-4
    assert off(torch.cat(propagated)[:, ::4], golden["prop_fwd"]) < 1e-4
    assert off(head[0, ::8], golden["offset_mask_first_bwd_step"]) < 1e-4
    assert off(aligned[0, ::8], golden["dcn_first_bwd_step"]) < 1e-4
    assert off(decoded[:, ::4], golden["decoder2_fwd"]) < 1e-4


@pytest.mark.parametrize("in_place", [False, True])
def test_golden_completion(in_place: bool, network: FlowCompletion, golden: Golden) -> None:
    given = golden["flow_fwd"].clone(), golden["flow_bwd"].clone()
    found = network.complete(*given, golden["mask"], out=given if in_place else None)
    assert off(found[0][:1], golden["combined_fwd"]) < 1e-4
    assert off(found[1][-1:], golden["combined_bwd"]) < 1e-4
    for flows, raw, masks in (
        (found[0], golden["flow_fwd"], golden["mask"][:-1]),
        (found[1], golden["flow_bwd"], golden["mask"][1:]),
    ):
        assert torch.equal(flows * (1 - masks), raw * (1 - masks)), "known flow stays"
    assert torch.equal(given[0], found[0]) == in_place


@pytest.mark.parametrize("flows", [1, 2])
def test_the_shortest_clips(flows: int, network: FlowCompletion) -> None:
    given = torch.randn(2, flows, 2, 64, 64)
    masks = torch.ones(flows + 1, 1, 64, 64)
    forward, backward = network.complete(given[0], given[1], masks)
    assert forward.shape == backward.shape == (flows, 2, 64, 64)
    assert forward.isfinite().all() and backward.isfinite().all()


def test_half_precision_is_close(
    network: FlowCompletion, golden: Golden, propainter_weights: Callable[[str], Path]
) -> None:
    half = load_flow_completion(propainter_weights("recurrent_flow_completion"), dtype=torch.bfloat16)
    given = [golden[name][:2, :, :64, :64].contiguous() for name in ("flow_fwd", "flow_bwd")]
    masks = golden["mask"][:3, :, :64, :64]
    found, exact = half.complete(*given, masks), network.complete(*given, masks)
    assert found[0].dtype == torch.float32
    for one, other in zip(found, exact, strict=True):
        assert (one - other).square().mean().sqrt() < 0.03
        assert off(one, other) < 0.3


def test_memory_is_a_few_features_per_flow(network: FlowCompletion, tally_of: Callable[..., int]) -> None:
    def peak(flows: int) -> int:
        given, masks = torch.zeros(2, flows, 2, 64, 64), torch.ones(flows + 1, 1, 64, 64)
        return tally_of(lambda: network.complete(given[0], given[1], masks, out=(given[0], given[1])))

    assert (peak(12) - peak(6)) / 6 < 40 * 64 * 64


def test_only_weights_that_fit_are_taken(tmp_path: Path) -> None:
    tensors = FlowCompletion().state_dict()
    del tensors["upsample.2.conv.bias"]
    torch.save(tensors, tmp_path / "recurrent_flow_completion.pth")
    with pytest.raises(WeightsBroken, match=r"upsample\.2\.conv\.bias"):
        load_flow_completion(tmp_path / "recurrent_flow_completion.pth")
