"""The background of a hole's surroundings: what is like it in another frame is no thing before it."""

from dataclasses import dataclass
from typing import Self, cast

import cv2
import numpy as np

from pipelines.inpainting.flow.blending import WeightedMean
from pipelines.inpainting.flow.frame_pairs import Homography, reduced
from pipelines.inpainting.flow.frame_view import Coords, FrameView, point
from pipelines.inpainting.flow.holes import Flags, Hole
from pipelines.vision.camera_motion import outside_range
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask, Pixels

_SLACK = np.ones((3, 3), np.uint8)
"""A chain of motions is right to a pixel or two."""
_LIKE = 12
"""Grey levels within which two colours are the same."""


@dataclass(frozen=True, eq=False)
class CleanPlate:
    """The darkest and lightest `(h, w, 3)` uint8 that the background may be at each pixel of `box`, where `known`.

    At the looks' size.
    """

    box: Crop
    low: Pixels
    high: Pixels
    known: Flags

    @classmethod
    def of(cls, frame: FrameView, box: Crop, moving: Mask, hole: Hole, background: WeightedMean) -> Self:
        """What `frame` shows in `box` and is not `moving` there, and what was found of the background of its `hole`."""
        times = hole.reduction
        part = box.enlarged(times)
        colours, known = frame.pixels[part.slices].copy(), frame.covered[part.slices] == 0
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

    def matches(self, colours: Pixels, coords: Coords, camera: Homography) -> Mask:
        """Whether `colours` `(h, w, 3)`, found at `coords` of another frame's look, are the background there.

        `camera` takes places of that look to places of this one.
        """
        here = cast(Coords, cv2.perspectiveTransform(coords, camera)) - point(self.box.left, self.box.top)
        low, high, known = (
            cv2.remap(plane, here, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
            for plane in (self.low, self.high, self.known)
        )
        red, green, blue = cv2.split(outside_range(colours, low, high))
        return cast(Mask, (cv2.max(cv2.max(red, green), blue) < _LIKE) & (known > 0))
