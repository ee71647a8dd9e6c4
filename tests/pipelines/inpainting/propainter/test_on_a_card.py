"""The chain on a simulated card, from the files of weights to the frames: what the CPU paints, in counted memory."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from memory.ladder import Effort, Ladder
from pipelines.inpainting.propainter.engine import load_networks
from pipelines.inpainting.propainter.schedule import Schedule
from pipelines.inpainting.propainter.streaming import Chain, Recipe
from pipelines.spans import Span
from pipelines.vision.types import Mask, Pixels
from tests.simulated_card import simulated_card

FRAMES = 4


def clip(width: int, height: int, frames: int = FRAMES, share: float = 1 / 6) -> list[tuple[Pixels, Mask]]:
    """Noise that moves by two pixels a frame, with a hole of a `share` of the picture in its middle."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8 + frames, 3), np.uint8)
    noise = coarse.repeat(8, 0).repeat(8, 1)
    mask, side = np.zeros((height, width), np.bool_), share**0.5
    above, left = round(height * (1 - side) / 2), round(width * (1 - side) / 2)
    mask[above : height - above, left : width - left] = True
    return [(np.ascontiguousarray(noise[:, 2 * i : 2 * i + width]), mask) for i in range(frames)]


def painted(
    weights: Path, device: str, given: list[tuple[Pixels, Mask]], effort: Effort, iterations: int = 2
) -> Pixels:
    """Run the chain and return its frames."""

    def read(start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
        yield from given[start:stop]

    networks, count = load_networks(weights, device), len(given)
    recipe = Recipe(Schedule(count, 80, 10, 10), iterations, effort.batch)
    return np.stack(
        [each.after for each in Chain(read, networks, Ladder(effort, ()), recipe, Span(0, count)).frames()]
    )


@pytest.fixture(scope="module")
def expected(weights: Path) -> Pixels:
    return painted(weights, "cpu", clip(160, 128), Effort(80))


@pytest.mark.parametrize(
    ("effort", "levels", "mean"),
    [
        (Effort(80), 1, 1e-3),
        (Effort(80, 3, tile_px=1), 1, 1e-3),
        (Effort(80, precision="float16"), 2, 0.05),
    ],
    ids=["float32", "on demand, three pairs at once", "float16"],
)
def test_the_frames_are_those_of_the_cpu(
    weights: Path, expected: Pixels, effort: Effort, levels: int, mean: float
) -> None:
    with simulated_card() as card:
        found = painted(weights, "sim", clip(160, 128), effort)
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= levels
    assert difference.mean() <= mean
    assert card.held_bytes == 0


def test_the_host_starts_few_operations_and_waits_for_results_alone(weights: Path) -> None:
    """Without values a chain of few iterations is quick; how many there are changes no wait and no peak."""
    with simulated_card(values=False) as card:
        painted(weights, "sim", clip(432, 240), Effort(80, precision="float16"), iterations=1)
    # Both flows of each pair as RAFT and as the completion give them, and the colours of each hole.
    assert card.waits == {"download": 2 * (FRAMES - 1) + 2 * (FRAMES - 1) + FRAMES}
    assert card.operations.total() <= 950 * FRAMES
    # 8 bytes each of raw flows, 4 of completed ones in half precision, and the hole in half precision.
    pixels = 432 * 240
    assert card.downloads.bytes <= pixels * (2 * (8 + 8) * (FRAMES - 1) + FRAMES * 12)
