"""Candidates for the pixels of a hole, weighed by how well each meets what is known around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.flow.harmonic import Floats, HarmonicFill, medians
from pipelines.inpainting.flow.holes import Hole
from pipelines.vision.types import Mask, Pixels

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
    """What makes colours meet what is known beside a hole: they are made `gain` times as light, and `light` is added.

    `light` `(h, w, 3)` and `error` `(h, w)`, how far off they were beside that part of the hole (grey levels, the root
    of the mean square), are pictures of cells that are `times` pixels of the hole's look wide.
    """

    hole: Hole
    gain: float
    light: Floats
    error: Floats
    times: int

    def relight(self, colours: Pixels) -> Floats:
        """`colours` of the hole's crop as light as what is known."""
        light = self.hole.enlarged(self.light, self.times)
        return cast(Floats, cv2.addWeighted(colours, self.gain, light, 1, 0, dtype=cv2.CV_32F))

    @property
    def errors(self) -> Floats:
        """At the crop's size."""
        return self.hole.enlarged(self.error, self.times)

    @property
    def weight(self) -> Floats:
        """What the colours are worth, at the crop's size."""
        return self.hole.enlarged(weight(self.error), self.times)


class Seam:
    """The colours `known` `(H, W, 3)` of a hole's crop, on the pixels `beside` what is to be filled, `into`."""

    def __init__(self, hole: Hole, known: Floats | Pixels, beside: Mask, into: Mask) -> None:
        self._hole = hole
        self._spread = HarmonicFill(beside, into, _CELL_PX * hole.reduction)
        self._known = known.reshape(-1, 3)[self._spread.coords].astype(np.float32)

    def match(self, samples: Sequence[tuple[Pixels, Mask]]) -> list[Candidate | None]:
        """Compare colours with what is known; None where too few pixels of them are real there.

        They are made as much lighter as most of what is known says, and what is left of the difference is spread over
        the hole, so that no seam shows.
        """
        spread = self._spread
        if not samples or not spread.cells.size:
            return [None] * len(samples)
        shared = np.stack([real.ravel()[spread.coords] for _, real in samples])
        here = np.stack([colours.reshape(-1, 3)[spread.coords] for colours, _ in samples]).astype(np.float32)
        gains = _gains(self._known, here, shared)
        difference = self._known - gains[:, None, None] * here
        red, green, blue = np.moveaxis(np.abs(difference), -1, 0)
        largest = np.maximum(np.maximum(red, green), blue)
        squares = np.minimum(largest, np.float32(ERROR_LIMIT))[..., None] ** 2
        errors = np.sqrt(spread.field(*spread.means(squares, shared.astype(np.float32)))[..., 0])
        like = (shared & (largest < _SEAM_LIMIT)).astype(np.float32)
        lights = spread.field(*spread.means(difference, like))
        times, enough = spread.cell_px // self._hole.reduction, np.count_nonzero(shared, axis=1) >= _FEWEST
        return [
            Candidate(self._hole, float(gain), light, error, times) if many else None
            for gain, light, error, many in zip(gains, lights, errors, enough, strict=True)
        ]


def weight(error: Floats) -> Floats:
    """Falls with the fourth power of the error: an average over good candidates, a choice among bad ones."""
    return np.float32(1) / (error + np.float32(_ERROR_FLOOR)) ** 4


def _gains(known: Floats, colours: Floats, shared: Mask) -> Floats:
    """How much lighter what is known is, as most of it says."""
    ratios = ((known + 8) / (colours + np.float32(8))).reshape(len(colours), -1)
    return cast(Floats, np.nan_to_num(medians(ratios, shared.repeat(3, axis=1)), posinf=1))


class WeightedMean:
    """A weighted mean of candidates, pixel by pixel. Holds 5 float32 a pixel."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros((*shape, 3), np.float32)
        self._errors = np.zeros(shape, np.float32)
        self.weight = np.zeros(shape, np.float32)

    def add(self, colours: Floats, weight: Floats, error: Floats | None = None) -> None:
        """Add a candidate with a weight and, if it is asked for, an error for each pixel."""
        cv2.accumulateProduct(colours, cv2.merge([weight] * 3), self._sum)
        cv2.accumulate(weight, self.weight)
        if error is not None:
            cv2.accumulateProduct(error, weight, self._errors)

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
