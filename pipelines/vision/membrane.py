"""Membrane interpolation: filling gaps with the smoothest values that match what is known around them.

A pyramid is filled from its coarsest level down (pull-push, Gortler et al. 1996), and each level is relaxed towards
Laplace's equation, which removes the blocks that pull-push alone leaves.
"""

from typing import cast

import cv2
import numpy as np

from pipelines.vision.types import Floats

_COARSEST_PX = 3
"""Shorter side at which the pyramid ends."""
_LEAST_WEIGHT = 1e-6
"""Avoids division by 0 where nothing is known."""
_SURE = 0.5
"""Share of a coarse pixel that must be known for its value to stay fixed."""


def membrane(values: Floats, known: Floats, rounds: int = 4) -> Floats:
    """Fill the unknown pixels of `values` `(H, W, C)` float32, C from 1 to 4.

    `known` `(H, W)` float32 is a weight from 0 to 1; if it is all 0, so is the result. `rounds` of relaxation run at
    each level. Holds about 3 copies of `values`.
    """
    levels = [(values, known)]
    while min(levels[-1][1].shape) > _COARSEST_PX:
        levels.append(_halved(*levels[-1]))
    coarse, weight = levels[-1]
    mean = (coarse * weight[..., None]).sum(axis=(0, 1)) / max(_LEAST_WEIGHT, float(weight.sum()))
    drawn: Floats = np.empty_like(coarse)
    drawn[:] = mean
    for level, weight in reversed(levels):
        drawn = _relaxed(_resized(drawn, weight.shape), level, weight, rounds)
    return drawn


def _halved(values: Floats, known: Floats) -> tuple[Floats, Floats]:
    """Reduce by 2: weighted means, and how well each is known."""
    size = (known.shape[1] + 1) // 2, (known.shape[0] + 1) // 2
    weighted = cv2.resize(values * known[..., None], size, interpolation=cv2.INTER_AREA)
    weight = cast(Floats, cv2.resize(known, size, interpolation=cv2.INTER_AREA))
    means = weighted.reshape(*weight.shape, -1) / np.maximum(weight, _LEAST_WEIGHT)[..., None]
    return cast(Floats, means), np.minimum(weight / _SURE, 1)


def _relaxed(drawn: Floats, level: Floats, weight: Floats, rounds: int) -> Floats:
    """Insert the known values into `drawn`, and smooth the rest."""
    share = weight[..., None]
    fixed, free = level * share, 1 - share
    drawn = fixed + drawn * free
    for _ in range(rounds):
        smooth = cv2.blur(drawn, (3, 3), borderType=cv2.BORDER_REPLICATE).reshape(level.shape)
        drawn = fixed + smooth * free
    return drawn


def _resized(values: Floats, shape: tuple[int, ...]) -> Floats:
    larger = cv2.resize(values, shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cast(Floats, larger.reshape(*shape[:2], -1))
