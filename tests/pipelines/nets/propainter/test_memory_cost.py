"""What is said to be held is held, and not much less."""

from collections.abc import Callable

import pytest
import torch

from memory.units import MIB
from pipelines.nets.kernels import deform_conv
from pipelines.nets.propainter import memory_cost as costs
from pipelines.nets.propainter.flow_completion import FlowCompletion
from pipelines.nets.propainter.generator import InpaintGenerator
from pipelines.nets.raft import correlation
from pipelines.nets.raft.model import Raft, join
from tests.simulated_card import simulated_card

HEIGHT, WIDTH = 128, 192


def held(stated: int, counted: int) -> None:
    assert counted <= stated, f"{counted / MIB:.0f} MiB are more than the stated {stated / MIB:.0f}"
    assert stated < 2 * counted + costs.WORK_BYTES, (
        f"{counted / MIB:.0f} MiB are much less than the stated {stated / MIB:.0f}"
    )


@pytest.mark.parametrize("on_demand", [False, True])
def test_raft(on_demand: bool, tally_of: Callable[..., int]) -> None:
    network, frame = Raft().eval(), torch.rand(1, 3, HEIGHT, WIDTH)
    features = network.features(frame)
    twice = join(features, features)
    network.flows(features, features, 1)  # weights are prepared now
    held(
        costs.raft(HEIGHT, WIDTH, 2, on_demand=on_demand),
        tally_of(lambda: network.flows(twice, twice, 1, on_demand=on_demand)),
    )
    assert tally_of(lambda: network.features(frame)) < costs.raft(HEIGHT, WIDTH, 1, on_demand=True)


def test_correlations_are_what_does_not_fit(tally_of: Callable[..., int]) -> None:
    assert costs.raft(1080, 1920, 1) > 10e9 > 10 * costs.raft(1080, 1920, 1, on_demand=True) / 2


@pytest.mark.parametrize("flows", [2, 12])
def test_completion(flows: int, tally_of: Callable[..., int]) -> None:
    network = FlowCompletion().eval()
    network.complete(*torch.zeros(2, 2, 2, 64, 64), torch.ones(3, 1, 64, 64))
    given, masks = torch.zeros(2, flows, 2, 128, 128), torch.ones(flows + 1, 1, 128, 128)
    found = tally_of(lambda: network.complete(given[0], given[1], masks, out=(given[0], given[1])))
    held(costs.completion(128, 128, flows), found)


def test_generator(tally_of: Callable[..., int]) -> None:
    network = InpaintGenerator().eval()
    frame, mask = torch.zeros(1, 3, HEIGHT, WIDTH), torch.ones(1, 1, HEIGHT, WIDTH)
    encoded = network.encode(frame, mask, mask)
    held(costs.encode(HEIGHT, WIDTH), tally_of(lambda: network.encode(frame, mask, mask)))
    for local, total in ((1, 2), (2, 8)):
        given = encoded.expand(total, -1, -1, -1).contiguous()
        masks, flows = mask.expand(local, -1, -1, -1), torch.zeros(local - 1, 2, HEIGHT // 4, WIDTH // 4)
        found = tally_of(lambda: network.paint(given, masks, masks, flows, flows))  # noqa: B023  called at once
        held(costs.paint(HEIGHT, WIDTH, local, total), found)


def test_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {
        "raft-things.pth": Raft,
        "recurrent_flow_completion.pth": FlowCompletion,
        "ProPainter.pth": InpaintGenerator,
    }
    for name, network in networks.items():
        with torch.device("meta"):
            size = sum(tensor.nbytes for tensor in network().state_dict().values())
        assert 0.9 * costs.WEIGHTS_BYTES[name] < size <= costs.WEIGHTS_BYTES[name]


def test_limits_are_those_of_the_kernels() -> None:
    assert costs.DEFORM_BYTES == deform_conv.DEVICE_SCRATCH_BYTES
    assert costs.ON_DEMAND_BYTES == correlation.ON_DEMAND_BYTES


@pytest.mark.parametrize("half", [False, True])
def test_what_is_held_on_a_card_is_stated(half: bool) -> None:
    kind, each, (height, width) = (torch.float16, 2, (480, 640)) if half else (torch.float32, 4, (240, 432))
    with simulated_card(values=False) as card, torch.no_grad():
        completion, generator = FlowCompletion().to("sim", kind), InpaintGenerator().to("sim", kind)
        flows, masks = torch.zeros(2, 2, 2, height, width), torch.ones(3, 1, height, width).to("sim", kind)

        def counted(run: Callable[[], object]) -> int:
            card.reset()
            before = card.held_bytes
            run()
            return card.peak_bytes - before

        found = counted(
            lambda: completion.complete(flows[0], flows[1], masks.cpu(), out=(flows[0], flows[1]))
        )
        held(costs.completion(height, width, 2, each, on_gpu=True), found)
        encoded = torch.zeros(6, 128, height // 4, width // 4).to("sim", kind)
        quarter = torch.zeros(2, 2, height // 4, width // 4).to("sim", kind)
        found = counted(lambda: generator.paint(encoded, masks, masks, quarter, quarter))
        held(costs.paint(height, width, 3, 6, each, on_gpu=True), found)
