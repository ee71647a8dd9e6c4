"""Blending candidates for the pixels of a hole, weighted by how well each matches what is known around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.flow.harmonic import HarmonicFill, medians
from pipelines.inpainting.flow.holes import Hole
from pipelines.vision.types import Floats, Mask, Pixels

_SEAM_LIMIT, ERROR_LIMIT = 40, 80
"""Grey levels: larger differences beside the hole are another object, not other light, so they do not correct the seam,
and errors are cut off. (The seam correction gained 0.75 to 1.6 dB on a textured clip in a prototype.)
"""
_FEWEST = 8
"""Pixels beside a hole that a candidate must cover to be judged."""
_ERROR_FLOOR = 1.5
"""Grey levels of noise, added to errors so that weights stay finite."""
_DARK_LEVELS = 8
"""Grey levels added before ratios: shadows say little about brightness."""
_TINY = 1e-30
_CELL_PX = 2
"""Cell of the harmonic fill, in thumbnail pixels: half resolution loses less than 0.1 dB."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A correction that makes a reference's colours match what is known beside a hole: `gain` times, plus `light`.

    `light` `(h, w, 3)` and `error` `(h, w)`, the root mean square error beside the hole in grey levels, are fields of
    cells, each `times` pixels of the thumbnail wide.
    """

    hole: Hole
    gain: float
    light: Floats
    error: Floats
    times: int

    def relight(self, colours: Pixels | Floats) -> Floats:
        """Correct `colours` of the hole's crop, grey levels `(H, W, 3)`; returns float32."""
        light = self.hole.enlarged(self.light, self.times)
        return cast(Floats, cv2.addWeighted(colours, self.gain, light, 1, 0, dtype=cv2.CV_32F))

    @property
    def errors(self) -> Floats:
        """Errors `(H, W)` at the size of the crop."""
        return self.hole.enlarged(self.error, self.times)

    @property
    def weight(self) -> Floats:
        """Weights `(H, W)` at the size of the crop."""
        return self.hole.enlarged(weight(self.error), self.times)


class Seam:
    """The known colours of a hole's crop, `known` `(H, W, 3)`, on the pixels `beside` the ones to fill, `into`."""

    def __init__(self, hole: Hole, known: Floats | Pixels, beside: Mask, into: Mask) -> None:
        self._hole = hole
        self._fill = HarmonicFill(beside, into, _CELL_PX * hole.reduction)
        self._known = known.reshape(-1, 3)[self._fill.indices].astype(np.float32)

    def match(self, samples: Sequence[tuple[Pixels | Floats, Mask]]) -> list[Candidate | None]:
        """Match samples, each colours and where they are real, to the seam; None if too few pixels are real there.

        The gain is the median ratio; the remaining difference is extended over the hole, so that no seam shows.
        """
        fill = self._fill
        if not samples or not fill.cells.size:
            return [None] * len(samples)
        shared = np.stack([real.ravel()[fill.indices] for _, real in samples])
        candidates = np.stack([colours.reshape(-1, 3)[fill.indices] for colours, _ in samples]).astype(
            np.float32
        )
        gains = _gains(self._known, candidates, shared)
        difference = self._known - gains[:, None, None] * candidates
        red, green, blue = np.moveaxis(np.abs(difference), -1, 0)
        largest = np.maximum(np.maximum(red, green), blue)
        squares = np.minimum(largest, np.float32(ERROR_LIMIT))[..., None] ** 2
        errors = np.sqrt(fill.field(*fill.means(squares, shared.astype(np.float32)))[..., 0])
        like = (shared & (largest < _SEAM_LIMIT)).astype(np.float32)
        lights = fill.field(*fill.means(difference, like))
        times, enough = fill.cell_px // self._hole.reduction, np.count_nonzero(shared, axis=1) >= _FEWEST
        return [
            Candidate(self._hole, float(gain), light, error, times) if many else None
            for gain, light, error, many in zip(gains, lights, errors, enough, strict=True)
        ]


def weight(error: Floats) -> Floats:
    """Weight a candidate by the inverse fourth power of its error: averages good candidates, selects among bad ones."""
    return np.float32(1) / (error + np.float32(_ERROR_FLOOR)) ** 4


def _gains(known: Floats, colours: Floats, shared: Mask) -> Floats:
    """Median brightness ratio of the known colours to each candidate's."""
    ratios = ((known + _DARK_LEVELS) / (colours + np.float32(_DARK_LEVELS))).reshape(len(colours), -1)
    return cast(Floats, np.nan_to_num(medians(ratios, shared.repeat(3, axis=1)), posinf=1))


class WeightedMean:
    """Running weighted mean of candidates per pixel. Holds 5 float32 per pixel."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros((*shape, 3), np.float32)
        self._errors = np.zeros(shape, np.float32)
        self.weight = np.zeros(shape, np.float32)

    def add(self, colours: Floats, weight: Floats, error: Floats | None = None) -> None:
        """Add a candidate with a weight and optionally an error for each pixel."""
        cv2.accumulateProduct(colours, cv2.merge([weight] * 3), self._sum)
        cv2.accumulate(weight, self.weight)
        if error is not None:
            cv2.accumulateProduct(error, weight, self._errors)

    @property
    def seen(self) -> Mask:
        """Where any candidate was added."""
        return self.weight > 0

    @property
    def colours(self) -> Floats:
        """Mean colours `(H, W, 3)`; 0 without a candidate."""
        return cast(Floats, self._sum / np.maximum(self.weight, _TINY)[..., None])

    @property
    def error(self) -> Floats:
        """Mean error `(H, W)` of the candidates; 0 without one."""
        return cast(Floats, self._errors / np.maximum(self.weight, _TINY))
