"""The fill that needs no other frame, and blending references with it by confidence."""

from functools import cached_property
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.flow.blending import ERROR_LIMIT
from pipelines.inpainting.flow.frame_pairs import reduced
from pipelines.inpainting.flow.harmonic import HarmonicFill
from pipelines.inpainting.flow.holes import Hole
from pipelines.vision.membrane import membrane
from pipelines.vision.types import Flags, Floats, Mask, Pixels

_CONFIDENT = 0.97
"""Confidence above which blending with the smooth fill would not be visible and is skipped."""
_ROUNDS = 6
"""Rounds of relaxation of the membrane at each pyramid level."""
_CELL_PX = 2
"""Cell of the harmonic fill, in thumbnail pixels: half resolution loses less than 0.1 dB."""
_EDGES_SHARE, _EDGES_PX = np.float32(0.7), 3
"""Share of Telea's fill (2004), which continues lines into the hole, against the membrane; and its radius."""


def smooth_fill(colours: Floats, known: Mask, *, deep: bool = False) -> Floats:
    """Fill the unknown pixels of a crop `(h, w, 3)` float32 from those around them; `deep`: beyond whole levels."""
    if known.all():
        return colours
    smooth = membrane(colours, known.astype(np.float32), _ROUNDS)
    unknown = (~known).view(np.uint8)
    lines = _deep_lines(colours, unknown) if deep else _lines(colours, unknown)
    return np.where(known[..., None], colours, smooth + (lines - smooth) * _EDGES_SHARE)


def _lines(colours: Floats, unknown: Flags) -> Pixels:
    pixels = np.clip(colours + 0.5, 0, 255).astype(np.uint8)
    return cast(Pixels, cv2.inpaint(pixels, unknown, _EDGES_PX, cv2.INPAINT_TELEA))


def _deep_lines(colours: Floats, unknown: Flags) -> Floats:
    """Continue lines in each channel alone, the only way for more than 8 bits; in 64 steps per level."""
    steps = np.clip(colours * np.float32(64) + np.float32(0.5), 0, 255 * 64).astype(np.uint16)
    lines = [cv2.inpaint(plane, unknown, _EDGES_PX, cv2.INPAINT_TELEA) for plane in cv2.split(steps)]
    return cast(Floats, cv2.merge(lines).astype(np.float32) / np.float32(64))


class ConfidenceBlend:
    """Blends what references show of a hole with a smooth fill, by confidence; `known` `(H, W, 3)` is the hole's crop.

    The references' error beside the hole stands for their error in it, and the deviation of its surroundings for the
    error of a smooth fill. The weights give the least expected error of the two: bad references leave the smooth fill.
    """

    def __init__(self, hole: Hole, known: Pixels | Floats) -> None:
        self._hole, self._known = hole, known

    def blend(self, colours: Floats, error: Floats, seen: Mask) -> Floats:
        """Blend `colours` `(H, W, 3)` by their `error` `(H, W)`, grey levels; unchanged if all `seen` is confident."""
        variance = np.float32(self._variance**2)
        confidence = variance / (variance + error**4 + np.float32(1e-6))
        if not seen.any() or float(confidence[seen].min()) > _CONFIDENT:
            return colours
        return self._smooth_colours + (colours - self._smooth_colours) * confidence[..., None]

    def object_error(self, filled: Floats, moving: Mask) -> Floats | None:
        """Extend into the hole how far `filled` `(H, W, 3)` is off beside it at a `moving` object; None without one.

        `moving` `(h, w)` bool covers the hole's tight crop of the thumbnail.
        """
        hole = self._hole
        beside = hole.repeated(moving) & hole.seam
        if not beside.any():
            return None
        off = np.minimum(np.abs(filled - self._known).max(axis=2), np.float32(ERROR_LIMIT))
        fill = HarmonicFill(hole.seam, hole.inside, _CELL_PX * hole.reduction)
        squares = np.where(beside, off**2, np.float32(0)).ravel()[fill.indices, None]
        field = fill.field(*fill.means(squares, np.ones(len(squares), np.float32)))
        return hole.enlarged(np.sqrt(field[..., 0]), fill.cell_px // hole.reduction)

    @cached_property
    def _variance(self) -> float:
        """Variance of the hole's surroundings, squared grey levels."""
        rim = self._hole.repeated(self._hole.rim) & ~self._hole.inside
        return float(self._known[rim].var(axis=0, dtype=np.float64).mean()) if rim.any() else 0.0

    @cached_property
    def _smooth_colours(self) -> Floats:
        """The crop with its hole filled smoothly, computed at the thumbnail's size."""
        hole = self._hole
        small = reduced(self._known, hole.tight.size, hole.reduction).astype(np.float32)
        return hole.enlarged(
            smooth_fill(small, hole.empty[hole.inner] == 0, deep=self._known.dtype != np.uint8)
        )
