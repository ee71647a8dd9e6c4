"""The background of a hole's surroundings: what is like it in another frame is no thing before it."""

from dataclasses import dataclass
from typing import Self, cast

import cv2
import numpy as np

from pipelines.inpainting.holes import Box, Flags, Hole, Mask
from pipelines.inpainting.looks import Homography
from pipelines.inpainting.membrane import Floats
from pipelines.inpainting.merging import Mean
from pipelines.inpainting.views import Pixels, Places, View, place

_SLACK = np.ones((3, 3), np.uint8)
"""A chain of motions is right to a pixel or two."""
_LIKE = 12
"""Grey levels within which two colours are the same."""


@dataclass(frozen=True, eq=False)
class Plate:
    """The darkest and lightest `(h, w, 3)` uint8 that the background may be at each pixel of `box`, where `known`."""

    box: Box
    low: Pixels
    high: Pixels
    known: Flags

    @classmethod
    def of(cls, frame: View, box: Box, moving: Mask, hole: Hole, background: Mean) -> Self:
        """What `frame` shows in `box` and is not `moving` there, and what was found of the background of its `hole`."""
        colours, known = frame.pixels[box.slices].copy(), (frame.covered[box.slices] == 0) & ~moving
        top, left = hole.tight.top - box.top, hole.tight.left - box.left
        width, height = hole.tight.size
        inner = slice(top, top + height), slice(left, left + width)
        found = hole.inside & background.seen
        colours[inner][found] = np.clip(background.colours[found] + 0.5, 0, 255).astype(np.uint8)
        known[inner][found] = True
        return cls(
            box,
            cast(Pixels, cv2.erode(colours, _SLACK)),
            cast(Pixels, cv2.dilate(colours, _SLACK)),
            cast(Flags, cv2.erode(known.astype(np.uint8), _SLACK)),
        )

    def shows(self, colours: Floats, places: Places, camera: Homography) -> Mask:
        """Whether `colours` `(h, w, 3)`, found at `places` of another frame, are the background there.

        `camera` takes places of that frame to places of this one.
        """
        here = cast(Places, cv2.perspectiveTransform(places, camera)) - place(self.box.left, self.box.top)
        low, high, known = (
            cv2.remap(plane, here, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
            for plane in (self.low, self.high, self.known)
        )
        red, green, blue = cv2.split(np.maximum(colours - high, low - colours))
        off = cv2.max(cv2.max(red, green), blue)
        return cast(Mask, (off < _LIKE) & (known > 0))
