"""Candidates for the pixels of a hole, weighed by how well each meets what is known around it."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from pipelines.inpainting.holes import Hole, Mask
from pipelines.inpainting.spread import Floats, Spread, median
from pipelines.inpainting.views import Pixels

_SEAM_LIMIT, ERROR_LIMIT = 40, 80
"""Grey levels: a larger difference beside the hole is another thing, not other light."""
_FEWEST = 8
"""Pixels beside a hole that say how a candidate fits."""
_ERROR_FLOOR = 1.5
_TINY = 1e-30
_CELL_PX = 2
"""Of the look."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """Colours `(h, w, 3)` float32 for a crop, relit to meet what is known beside its hole.

    `error` `(h, w)` is how far off they were beside that part of the hole, grey levels, the root of the mean square;
    `weight` `(h, w)` what they are worth.
    """

    colours: Floats
    error: Floats
    weight: Floats


class Seam:
    """The colours `known` `(H, W, 3)` of a hole's crop, on the pixels `beside` what is to be filled, `into`."""

    def __init__(self, hole: Hole, known: Floats | Pixels, beside: Mask, into: Mask) -> None:
        self._hole = hole
        self._spread = Spread(beside, into, _CELL_PX * hole.reduction)
        self._known = known.reshape(-1, 3)[self._spread.places].astype(np.float32)

    def meets(self, colours: Pixels, real: Mask) -> Candidate | None:
        """Compare colours with what is known; None where too few pixels of them are `real` there.

        They are made as much lighter as most of what is known says, and what is left of the difference is spread over
        the hole and added, so that no seam shows.
        """
        places = self._spread.places
        shared = real.ravel()[places]
        if np.count_nonzero(shared) < _FEWEST:
            return None
        here = colours.reshape(-1, 3)[places]
        gain = _gain(self._known[shared], here[shared])
        difference = self._known - gain * here
        largest = np.abs(difference).max(axis=1)
        squares = np.minimum(largest, np.float32(ERROR_LIMIT))[:, None] ** 2
        error = np.sqrt(self._spread.field(*self._spread.means(squares, shared.astype(np.float32)))[..., 0])
        like = (shared & (largest < _SEAM_LIMIT)).astype(np.float32)
        light = self._spread.field(*self._spread.means(difference, like))
        return Candidate(
            colours * gain + self._enlarged(light), self._enlarged(error), self._enlarged(weight(error))
        )

    def _enlarged(self, field: Floats) -> Floats:
        return self._hole.enlarged(field, self._spread.cell_px // self._hole.reduction)


def weight(error: Floats) -> Floats:
    """Falls with the fourth power of the error: an average over good candidates, a choice among bad ones."""
    return np.float32(1) / (error + np.float32(_ERROR_FLOOR)) ** 4


def _gain(known: Floats, colours: Pixels) -> np.float32:
    """How much lighter what is known is, as most of it says."""
    return median(((known + 8) / (colours + np.float32(8))).ravel())


class Mean:
    """A weighted mean of candidates, pixel by pixel. Holds 5 float32 a pixel."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros((*shape, 3), np.float32)
        self._errors = np.zeros(shape, np.float32)
        self.weight = np.zeros(shape, np.float32)

    def add(self, colours: Floats | Pixels, weight: Floats, error: Floats | np.float32) -> None:
        """Add a candidate with a weight and an error for each pixel."""
        self._sum += colours * weight[..., None]
        self._errors += weight * error
        self.weight += weight

    @property
    def seen(self) -> Mask:
        """Where there is any candidate."""
        return self.weight > 0

    @property
    def colours(self) -> Floats:
        """The mean; 0 where there is none."""
        return cast(Floats, self._sum / np.maximum(self.weight, _TINY)[..., None])

    @property
    def error(self) -> Floats:
        """The mean error of the candidates; 0 where there is none."""
        return cast(Floats, self._errors / np.maximum(self.weight, _TINY))
