"""The fill that needs no other frame, and how far what other frames say is trusted against it."""

from functools import cached_property

import cv2
import numpy as np

from pipelines.inpainting.flow.blending import ERROR_LIMIT
from pipelines.inpainting.flow.frame_pairs import reduced
from pipelines.inpainting.flow.harmonic import HarmonicFill
from pipelines.inpainting.flow.holes import Hole
from pipelines.inpainting.flow.membrane import Floats, membrane
from pipelines.vision.types import Mask, Pixels

_TRUSTED = 0.97
_ROUNDS = 6
_CELL_PX = 2
"""Of the look."""
_EDGES, _EDGES_PX = np.float32(0.7), 3
"""What lines that go on into the hole (Telea 2004) are worth against a soap film, and how far they look."""


def smooth_fill(colours: Floats, known: Mask) -> Floats:
    """What is not known of a crop `(h, w, 3)` float32, drawn from what is around it."""
    if known.all():
        return colours
    film = membrane(colours, known.astype(np.float32), _ROUNDS)
    pixels, unknown = np.clip(colours + 0.5, 0, 255).astype(np.uint8), (~known).view(np.uint8)
    lines = cv2.inpaint(pixels, unknown, _EDGES_PX, cv2.INPAINT_TELEA)
    return np.where(known[..., None], colours, film + (lines - film) * _EDGES)


class ConfidenceBlend:
    """Weighs what was found for a hole of a crop `known` `(H, W, 3)` against its smooth fill.

    What references miss beside the hole stands for how far off they are in it, and the deviation of what surrounds it
    for what a smooth fill would miss. Where references are bad, the result is the smooth fill, and in between a mean of
    both: of two estimates, that is the one with the least expected error.
    """

    def __init__(self, hole: Hole, known: Pixels) -> None:
        self._hole, self._known = hole, known

    def blend(self, colours: Floats, error: Floats, seen: Mask) -> Floats:
        """`colours` `(H, W, 3)` as far as their `error` `(H, W)`, grey levels, allows; what is `seen` decides."""
        varies = np.float32(self._varies**2)
        trust = varies / (varies + error**4 + np.float32(1e-6))
        if not seen.any() or float(trust[seen].min()) > _TRUSTED:
            return colours
        return self._smooth_colours + (colours - self._smooth_colours) * trust[..., None]

    def object_error(self, filled: Floats, thing: Mask) -> Floats | None:
        """How far off `filled` `(H, W, 3)` is beside the hole where a `thing` is, spread into it; None without one.

        `thing` `(h, w)` is of the hole's crop of the look.
        """
        hole = self._hole
        beside = hole.repeated(thing) & hole.seam
        if not beside.any():
            return None
        off = np.minimum(np.abs(filled - self._known).max(axis=2), np.float32(ERROR_LIMIT))
        spread = HarmonicFill(hole.seam, hole.inside, _CELL_PX * hole.reduction)
        squares = np.where(beside, off**2, np.float32(0)).ravel()[spread.coords, None]
        field = spread.field(*spread.means(squares, np.ones(len(squares), np.float32)))
        return hole.enlarged(np.sqrt(field[..., 0]), spread.cell_px // hole.reduction)

    @cached_property
    def _varies(self) -> float:
        """The variance of what surrounds the hole, squared grey levels."""
        rim = self._hole.repeated(self._hole.rim) & ~self._hole.inside
        return float(self._known[rim].var(axis=0, dtype=np.float64).mean()) if rim.any() else 0.0

    @cached_property
    def _smooth_colours(self) -> Floats:
        """The crop with its hole drawn from what is around it, at the look's size."""
        hole = self._hole
        small = reduced(self._known, hole.tight.size, hole.reduction).astype(np.float32)
        return hole.enlarged(smooth_fill(small, hole.empty[hole.inner] == 0))
