import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.errors import WeightsBroken
from pipelines.nets.raft import correlation as raft_correlation
from pipelines.nets.raft.correlation import Correlation
from pipelines.nets.raft.model import Features, Raft, join, load_raft
from pipelines.nets.raft.update import MotionEncoder

Golden = dict[str, Tensor]


@pytest.fixture(scope="module")
def network(propainter_weights: Callable[[str], Path]) -> Raft:
    return load_raft(propainter_weights("raft-things"))


@pytest.fixture(scope="module")
def golden(propainter_golden: Callable[[str], Golden]) -> Golden:
    return propainter_golden("raft")


@pytest.fixture(scope="module")
def features(network: Raft, golden: Golden) -> Features:
    frames = torch.stack((golden["image1"], golden["image2"])).permute(0, 3, 1, 2) / 255 * 2 - 1
    return network.features(frames)


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())


def test_golden_features(network: Raft, golden: Golden, features: Features) -> None:
    assert off(features.fmap[0, ::4], golden["fmap1"]) < 1e-4
    assert off(features.fmap[1, ::4], golden["fmap2"]) < 1e-4
    context = golden["cnet"]
    assert off(features.net[0, ::4], context[:32].tanh()) < 1e-4
    assert off(features.inp[0, ::4], context[32:].relu()) < 1e-4


def test_golden_first_iteration(network: Raft, golden: Golden, features: Features) -> None:
    correlation = Correlation(features.fmap[:1], features.fmap[1:])
    with torch.inference_mode():
        state, flow = network._recur(correlation, features[:1], 1, None)
        upsampling = 0.25 * network.update_block.mask(state)
    still = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")[::-1])
    assert off(correlation.lookup(still[None])[0, ::3], golden["corr_first"]) < 1e-4
    assert off(state[0, ::4], golden["net_first"]) < 1e-4
    assert off(flow[0], golden["delta_first"]) < 1e-4
    assert off(upsampling[0, ::8], golden["upmask_first"]) < 1e-4


def test_golden_flows(network: Raft, golden: Golden, features: Features) -> None:
    forward, backward = network.flows(features[:1], features[1:], int(golden["iters"]))
    assert forward.shape == backward.shape == (1, 2, 128, 160)
    assert off(forward[0], golden["flow_fwd"]) < 1e-3
    assert off(backward[0], golden["flow_bwd"]) < 1e-3


def test_correlations_on_demand_are_the_same(
    network: Raft, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = network.flows(features[:1], features[1:], 2)
    monkeypatch.setattr(raft_correlation, "ON_DEMAND_BYTES", 5_000_000)
    found = network.flows(features[:1], features[1:], 2, on_demand=True)
    assert max(off(one, other) for one, other in zip(found, kept, strict=True)) < 1e-4


def test_pairs_do_not_see_each_other(network: Raft, features: Features) -> None:
    here, there = join(features, features[:1]), join(features[1:], features[:1], features[:1])
    together = network.flows(here, there, 2)
    for index in range(len(here)):
        alone = network.flows(here[index : index + 1], there[index : index + 1], 2)
        for one, all_of_them in zip(alone, together, strict=True):
            assert off(one[0], all_of_them[index]) < 1e-4


def test_it_may_stop_when_nothing_moves(
    network: Raft, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    forward = MotionEncoder.forward
    monkeypatch.setattr(MotionEncoder, "forward", lambda *given: seen.append(given) or forward(*given))
    network.flows(features[:1], features[1:], 3, still_px=0.0)
    assert len(seen) == 3
    seen.clear()
    stopped = network.flows(features[:1], features[1:], 3, still_px=1000.0)
    assert len(seen) == 1
    assert off(stopped[0], network.flows(features[:1], features[1:], 1)[0]) == 0


def test_runaway_flow_is_outside(features: Features) -> None:
    correlation = Correlation(features.fmap[:1], features.fmap[1:])
    for place in (-1e30, -100.0, 100.0, 1e30):
        assert not correlation.lookup(torch.full((1, 2, 16, 20), place)).any()


@pytest.mark.parametrize("size", [(120, 160), (160, 120), (128, 132)])
def test_sizes_without_flow_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 8, and at least 128"):
        Raft().features(torch.zeros(1, 3, *size))


def test_the_second_name_of_a_norm_is_ignored(
    propainter_weights: Callable[[str], Path], network: Raft, tmp_path: Path
) -> None:
    tensors = torch.load(propainter_weights("raft-things"))
    changed = {key: value * 7 if ".norm3." in key else value for key, value in tensors.items()}
    torch.save(changed, tmp_path / "raft-things.pth")
    again = load_raft(tmp_path / "raft-things.pth")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda tensors: tensors.pop("module.fnet.conv2.bias"), "fnet.conv2.bias"),
        (lambda tensors: tensors.update({"module.more": torch.zeros(1)}), "more"),
        (lambda tensors: tensors.update({"module.fnet.conv2.bias": torch.zeros(3)}), "fnet.conv2.bias"),
    ],
)
def test_only_weights_that_fit_are_taken(
    spoil: Callable[[dict[str, Tensor]], object], says: str, tmp_path: Path
) -> None:
    tensors = {f"module.{key}": value for key, value in Raft().state_dict().items()}
    spoil(tensors)
    torch.save(tensors, tmp_path / "raft-things.pth")
    with pytest.raises(WeightsBroken, match=says):
        load_raft(tmp_path / "raft-things.pth")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_file_that_wants_to_run_something_runs_nothing(tmp_path: Path) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "raft-things.pth"
    torch.save({"module.fnet.conv2.bias": Trap(sprung)}, path)
    with pytest.raises(WeightsBroken):
        load_raft(path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap is a real one"
