"""Which other frames are looked at for a hole: those that show most of it, near ones first, and not all alike."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Visibility = NDArray[np.bool_]
"""Which of some places in a hole a frame shows, `(N,)`."""

_AGAIN = np.float32(0.5)
"""What one more sight of a place that was seen is worth against the one before."""
_ALIKE = 0.4
"""Frames that are nearer to a chosen one than this share of its distance err as it does, and are worth half."""


def choose_references(visible: Mapping[int, Visibility], index: int, most: int) -> list[int]:
    """Up to `most` of the frames in `visible` for frame `index`, the one that adds most first.

    A frame is worth what it shows, by its distance.
    """
    frames = [frame for frame, sight in visible.items() if sight.any()]
    if not frames:
        return []
    shown = np.stack([visible[frame] for frame in frames]).astype(np.float32)
    apart = np.array(frames) - index
    worth = (1 / np.abs(apart)).astype(np.float32)
    wanted = np.ones(shown.shape[1], np.float32)
    found: list[int] = []
    while len(found) < min(most, len(frames)):
        best = int(((shown * wanted).sum(axis=1) * worth).argmax())
        found.append(frames[best])
        wanted[shown[best] > 0] *= _AGAIN
        worth[np.abs(apart - apart[best]) < 1 + _ALIKE * abs(apart[best])] *= np.float32(0.5)
        worth[best] = 0
    return found
