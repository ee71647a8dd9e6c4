"""Q-Align at a tiny size on a simulated card: rated as on the CPU, wherever its layers lie."""

from typing import Any

import pytest
import torch

from pipelines.nets.qalign.config import Place, Quant
from pipelines.nets.qalign.model import load
from tests.simulated_card import simulated_card


def rated(folder: Any, device: str, dtype: torch.dtype, quant: Quant | None, place: Place) -> torch.Tensor:
    torch.manual_seed(0)
    network = load(folder, device, dtype, quant, place=place)
    side = network.config.vision.image_side
    features = network.encode_frames(torch.randn(3, 3, side, side))
    return network.scores(features.flatten(0, 1)[None]).cpu()


@pytest.mark.parametrize("place", ["device", "host", "disk"])
@pytest.mark.parametrize("quant", [None, "int8", "int4"])
def test_scores_are_those_of_the_cpu(tiny_qalign: Any, quant: Quant | None, place: Place) -> None:
    given = torch.float32, quant, place
    expected = rated(tiny_qalign.folder(), "cpu", *given)
    with simulated_card():
        found = rated(tiny_qalign.folder(), "sim", *given)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
