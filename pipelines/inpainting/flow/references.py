"""Choosing reference frames for a hole: those that show most of it, near ones first, and not too similar ones."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Visibility = NDArray[np.bool_]
"""Which of N sample points in a hole a frame shows, `(N,)` bool."""

_REPEAT_WEIGHT = np.float32(0.5)
"""Factor on the worth of a sample point each time that a chosen frame shows it."""
_SIMILAR = 0.4
"""Frames nearer to a chosen one than this share of its distance have similar errors, and are worth half."""


def choose_references(visible: Mapping[int, Visibility], index: int, most: int) -> list[int]:
    """Choose up to `most` of the frames in `visible` as references of frame `index`, the most useful first.

    Greedy: a frame is worth the points that it shows, divided by its distance.
    """
    frames = [frame for frame, sight in visible.items() if sight.any()]
    if not frames:
        return []
    shown = np.stack([visible[frame] for frame in frames]).astype(np.float32)
    offset = np.array(frames) - index
    worth = (1 / np.abs(offset)).astype(np.float32)
    wanted = np.ones(shown.shape[1], np.float32)
    found: list[int] = []
    while len(found) < min(most, len(frames)):
        best = int(((shown * wanted).sum(axis=1) * worth).argmax())
        found.append(frames[best])
        wanted[shown[best] > 0] *= _REPEAT_WEIGHT
        worth[np.abs(offset - offset[best]) < 1 + _SIMILAR * abs(offset[best])] *= np.float32(0.5)
        worth[best] = 0
    return found
