"""LivePortrait on a simulated card, from the files of weights to the pictures: as on the CPU, in counted memory."""

from pathlib import Path

import numpy as np
import pytest

from memory.units import MIB
from pipelines.animation.liveportrait.networks import LivePortrait
from pipelines.animation.motion.keypoints import Floats
from pipelines.vision.types import Pixels
from tests.simulated_card import simulated_card

RANDOM = np.random.default_rng(0)
CROPS: Pixels = RANDOM.integers(0, 256, (8, 256, 256, 3), np.uint8)
KEYPOINTS: Floats = (0.35 * RANDOM.standard_normal((8, 21, 3))).astype(np.float32)


def rendered(portrait: LivePortrait, frames: int) -> Pixels:
    source = portrait.portrait(CROPS[:1], KEYPOINTS[:1])
    return portrait.frames(source, KEYPOINTS[:frames] + np.float32(0.02))


def test_motions_are_those_of_the_cpu(liveportrait_weights: Path) -> None:
    expected = LivePortrait(liveportrait_weights).motions(CROPS[:2])
    with simulated_card() as card:
        found = LivePortrait(liveportrait_weights, device="sim").motions(CROPS[:2])
        assert card.waits == {"download": 1}
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-5)
    np.testing.assert_allclose(found.expression, expected.expression, atol=1e-5)


@pytest.mark.parametrize(
    ("frames", "half", "peak", "operations"),
    [(1, True, 370, 550), (8, True, 1525, 75), (1, False, 700, 500)],
    ids=["one in half precision", "eight in half precision", "one in float32"],
)
def test_rendering_takes_few_operations_and_counted_memory(
    liveportrait_weights: Path, frames: int, half: bool, peak: int, operations: int
) -> None:
    with simulated_card(values=False) as card:
        portrait = LivePortrait(liveportrait_weights, device="sim", half=half)
        source = portrait.portrait(CROPS[:1], KEYPOINTS[:1])
        portrait.frames(source, KEYPOINTS[:1])  # loads the generator
        card.reset()
        portrait.frames(source, KEYPOINTS[:frames])
        assert card.peak_bytes <= peak * MIB
        assert card.operations.total() <= operations * frames
        assert card.waits == {"download": 1}
        assert card.downloads.bytes == frames * 512 * 512 * 3
        assert card.uploads.bytes == frames * 21 * 3 * 4


@pytest.mark.slow
def test_pictures_are_those_of_the_cpu(liveportrait_weights: Path) -> None:
    expected = rendered(LivePortrait(liveportrait_weights), 2).astype(int)
    for half, levels, mean in ((False, 1, 1e-3), (True, 4, 0.2)):
        with simulated_card() as card:
            found = rendered(LivePortrait(liveportrait_weights, device="sim", half=half), 2)
            assert card.waits["download"] == 1
        assert np.abs(found - expected).max() <= levels
        assert np.abs(found - expected).mean() <= mean
