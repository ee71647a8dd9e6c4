"""What the scoring tests share: moving pictures with planted faults, and their records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.scoring.metrics.frame_features import compare, features_of

Lumas = list[NDArray[np.uint8]]


def scene(seed: int, height: int = 700, width: int = 1500) -> NDArray[np.uint8]:
    """A drawn picture of shapes, hatching and a soft ground, with edges of all contrasts."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(
        rng.integers(60, 190, (6, 10)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    for _ in range(260):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        shade, size = int(rng.integers(0, 256)), int(rng.integers(6, 60))
        if rng.random() < 0.5:
            cv2.circle(picture, (x, y), size, shade, -1 if rng.random() < 0.6 else 2, cv2.LINE_AA)
        else:
            far = (x + int(rng.integers(-150, 150)), y + int(rng.integers(-150, 150)))
            cv2.line(picture, (x, y), far, shade, int(rng.integers(1, 6)), cv2.LINE_AA)
    return picture


def pan(
    picture: NDArray[np.uint8], frames: int, step: float = 4.0, size: tuple[int, int] = (640, 360)
) -> Lumas:
    """A camera over the picture, with a little shake."""
    shake = np.random.default_rng(7).normal(0, 0.8, (frames, 2)).cumsum(axis=0)
    moves = [np.float32([[1, 0, 20 + step * i + dx], [0, 1, 60 + dy]]) for i, (dx, dy) in enumerate(shake)]
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return [cv2.warpAffine(picture, m, size, flags=how, borderMode=cv2.BORDER_REFLECT) for m in moves]


def noisy(lumas: Lumas, deviation: float = 1.0, seed: int = 3) -> Lumas:
    rng = np.random.default_rng(seed)
    return [np.clip(f + rng.normal(0, deviation, f.shape).round(), 0, 255).astype(np.uint8) for f in lumas]


def records_of(lumas: Lumas) -> NDArray[np.void]:
    looks = [features_of(luma) for luma in lumas]
    return np.concatenate([compare(a, b) for a, b in zip([None, *looks], looks, strict=False)])


@dataclass
class Planted:
    lumas: Lumas
    blurred: NDArray[np.bool_]
    frozen: NDArray[np.bool_]


def plant(seed: int, frames: int = 70) -> Planted:
    """A clip with two blurred stretches and two stretches of copies; noise is added afterwards."""
    lumas = pan(scene(seed), frames, step=3 + seed)
    blurred, frozen = np.zeros(frames, bool), np.zeros(frames, bool)
    motion = np.full((1, 9), 1 / 9, np.float32) if seed % 2 else np.full((9, 1), 1 / 9, np.float32)
    for i in range(10, 15):
        lumas[i], blurred[i] = cv2.GaussianBlur(lumas[i], (0, 0), 1.0 + 0.5 * (seed % 3)), True
    for i in range(40, 45):
        lumas[i], blurred[i] = cv2.filter2D(lumas[i], -1, motion), True
    for i, length in ((25, 3), (55, 1)):
        for j in range(i, i + length):
            lumas[j], frozen[j] = lumas[i - 1], True
    return Planted(noisy(lumas), blurred, frozen)


@pytest.fixture(scope="session")
def clips() -> list[tuple[Planted, NDArray[np.void]]]:
    planted = [plant(seed) for seed in range(4)]
    return [(clip, records_of(clip.lumas)) for clip in planted]


@pytest.fixture(scope="session")
def draw() -> dict[str, Callable[..., Any]]:
    return {"scene": scene, "pan": pan, "noisy": noisy, "records_of": records_of}
