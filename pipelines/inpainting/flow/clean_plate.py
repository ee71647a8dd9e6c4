"""The clean plate around a hole: what looks like it in another frame is background, not a moving object."""

from dataclasses import dataclass
from typing import Self, cast

import cv2
import numpy as np

from pipelines.inpainting.flow.blending import WeightedMean
from pipelines.inpainting.flow.frame_pairs import reduced
from pipelines.inpainting.flow.frame_view import Coords, FrameView, point
from pipelines.inpainting.flow.holes import Hole
from pipelines.vision.camera_motion import Homography, outside_range
from pipelines.vision.crop import Crop
from pipelines.vision.types import Flags, Floats, Mask, Pixels

_SLACK = np.ones((3, 3), np.uint8)
"""A chain of homographies is exact to a pixel or two."""
_SAME_LEVELS = 12
"""Grey levels within which two colours count as the same."""


@dataclass(frozen=True, eq=False)
class CleanPlate:
    """The darkest and lightest colour `(h, w, 3)` uint8 that the background may have in `box`, where `known` {0, 1}.

    At the size of thumbnails.
    """

    box: Crop
    low: Pixels
    high: Pixels
    known: Flags

    @classmethod
    def of(cls, frame: FrameView, box: Crop, moving: Mask, hole: Hole, background: WeightedMean) -> Self:
        """Make a plate of `box` from what does not move in `frame`, and from the filled `background` of its `hole`."""
        times = hole.reduction
        part = box.enlarged(times)
        colours, known = _eight_bits(frame.levels(part.slices)), frame.covered[part.slices] == 0
        top, left = hole.full.top - part.top, hole.full.left - part.left
        height, width = hole.inside.shape
        inner = slice(top, top + height), slice(left, left + width)
        found = hole.inside & background.seen
        colours[inner][found] = np.clip(background.colours[found] + 0.5, 0, 255).astype(np.uint8)
        known[inner][found] = True
        known = (reduced(known.view(np.uint8) * np.uint8(255), box.size, times) == 255) & ~moving
        colours = reduced(colours, box.size, times)
        return cls(
            box,
            cast(Pixels, cv2.erode(colours, _SLACK)),
            cast(Pixels, cv2.dilate(colours, _SLACK)),
            cast(Flags, cv2.erode(known.astype(np.uint8), _SLACK)),
        )

    def matches(self, colours: Pixels | Floats, coords: Coords, camera: Homography) -> Mask:
        """Return where `colours` `(h, w, 3)`, sampled at `coords` of another thumbnail, match the plate, `(h, w)` bool.

        `camera` is the homography from that thumbnail to this one.
        """
        in_plate = cast(Coords, cv2.perspectiveTransform(coords, camera)) - point(self.box.left, self.box.top)
        low, high, known = (
            cv2.remap(plane, in_plate, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
            for plane in (self.low, self.high, self.known)
        )
        red, green, blue = cv2.split(outside_range(_eight_bits(colours), low, high))
        return cast(Mask, (cv2.max(cv2.max(red, green), blue) < _SAME_LEVELS) & (known > 0))


def _eight_bits(levels: Pixels | Floats) -> Pixels:
    """Return a copy of grey levels, rounded to uint8: enough to recognise a background."""
    return cast(Pixels, levels.copy() if levels.dtype == np.uint8 else cv2.convertScaleAbs(levels))
