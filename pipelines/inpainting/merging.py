"""Candidates for the pixels of a hole, weighed by how well each meets what is known around it."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.holes import Mask
from pipelines.inpainting.membrane import Floats, coarse_membrane

_SEAM_LIMIT, _ERROR_LIMIT = 40, 80
"""Grey levels: a larger difference beside the hole is another thing, not other light."""
_FEWEST = 8
_ERROR_FLOOR = 1.5
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class Candidate:
    """Colours `(h, w, 3)` float32 for a hole's crop, where they are real, and how far off they are beside the hole."""

    colours: Floats
    real: Mask
    error: float

    @property
    def weight(self) -> float:
        """Falls with the fourth power of the error: an average over good candidates, a choice among bad ones."""
        return float((self.error + _ERROR_FLOOR) ** -4)


def candidate(
    known: Floats, colours: Floats, real: Mask, beside: Mask, *, relight: bool = True
) -> Candidate | None:
    """Compare `colours` with what is `known` on the pixels `beside`; None where too few of those are real.

    With `relight` the difference there is spread over the hole and added, so that no seam shows.
    """
    shared = beside & real
    if np.count_nonzero(shared) < _FEWEST:
        return None
    difference = known - colours
    red, green, blue = cv2.split(np.abs(difference))
    largest = cv2.max(cv2.max(red, green), blue)
    error = float(np.minimum(largest[shared], _ERROR_LIMIT).mean(dtype=np.float64))
    if relight:
        colours = colours + coarse_membrane(difference, (shared & (largest < _SEAM_LIMIT)).astype(np.float32))
    return Candidate(colours, real, error)


class Mean:
    """A weighted mean of candidates, pixel by pixel. Holds 5 float32 a pixel."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros((*shape, 3), np.float32)
        self._errors = np.zeros(shape, np.float32)
        self.weight = np.zeros(shape, np.float32)

    def add(self, found: Candidate, weight: Floats) -> None:
        """Add a candidate with a weight for each pixel."""
        self._sum += found.colours * weight[..., None]
        self._errors += weight * np.float32(found.error)
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
