"""One step of the method of Lucas and Kanade at each pixel: what is left of a flow that was found at half the size."""

from dataclasses import dataclass
from typing import Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WINDOW = (9, 9)
_DAMPING = np.float32(4)
"""Squared grey levels a pixel: where a picture is smoother than its noise, nothing is to be told."""
_SCHARR = 1 / 32
_MOST_PX = 1


@dataclass(frozen=True, eq=False)
class Slopes:
    """How a picture `(h, w)` rises `across` and `down`, the means of these around each pixel, and what makes a step.

    Holds 7 float32 a pixel. Differences are compared less their mean: a change of light is no motion.
    """

    across: Floats
    down: Floats
    mean_across: Floats
    mean_down: Floats
    inverse: tuple[Floats, Floats, Floats]

    @classmethod
    def of(cls, gray: NDArray[np.uint8], known: Mask) -> Self:
        """What is not `known` of a picture is as if it were flat."""
        across, down = (
            cast(Floats, cv2.Scharr(gray, cv2.CV_32F, x, 1 - x, scale=_SCHARR) * known) for x in (1, 0)
        )
        xx, xy, yy = _around(across * across, across * down, down * down)
        mean_across, mean_down = _around(across, down)
        xx, xy, yy = (
            xx - mean_across**2 + _DAMPING,
            xy - mean_across * mean_down,
            yy - mean_down**2 + _DAMPING,
        )
        scale = np.float32(1) / (xx * yy - xy**2)
        return cls(across, down, mean_across, mean_down, (yy * scale, -xy * scale, xx * scale))

    def step(self, off: Floats) -> Floats:
        """How much farther `(h, w, 2)` pixels to look where the picture is `off` `(h, w)` grey levels what was found.

        No more than a pixel: farther than that, slopes say nothing.
        """
        level, across, down = _around(off, off * self.across, off * self.down)
        across, down = across - level * self.mean_across, down - level * self.mean_down
        xx, xy, yy = self.inverse
        step = cv2.merge((xx * across + xy * down, xy * across + yy * down))
        return cast(Floats, np.clip(step, -_MOST_PX, _MOST_PX, out=step))


def _around(*planes: Floats) -> tuple[Floats, ...]:
    return cast(tuple[Floats, ...], cv2.split(cv2.boxFilter(cv2.merge(planes), -1, _WINDOW)))
