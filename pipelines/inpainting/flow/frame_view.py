"""A frame with its hole as the flow engine holds it, and bilinear sampling."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.flow.holes import dilated
from pipelines.vision.types import Deep, Flags, Floats, Mask, Pixels

Coords = NDArray[np.float32]
"""`(h, w, 2)` float32: x and y in a frame for each pixel of a crop."""

_LEAST_MARGIN_PX = 2
"""Margin of a hole that is not sampled: with less, bilinear sampling pulls the object's edge into the fill
(measured)."""
_HOLE, _MARGIN = 255, 127
"""Values of `covered` in a hole and in its margin."""


_CODES = 257
"""R'G'B' codes of 16 bits per grey level."""


@dataclass(frozen=True, eq=False)
class FrameView:
    """Frame `index`: `pixels` (H, W, 3) and `covered` (H, W) uint8, 255 in the hole, 127 in its margin.

    `pixels` are uint8 RGB, or uint16 R'G'B' codes of a deep video. Holds 4 bytes a pixel, 7 if it is deep.
    """

    index: int
    pixels: Pixels | Deep
    covered: Flags

    @property
    def hole(self) -> Mask:
        """The hole `(H, W)` bool."""
        return cast(Mask, self.covered == _HOLE)

    @property
    def has_hole(self) -> bool:
        """Whether the frame has a hole."""
        return bool(self.covered.any())

    def levels(self, part: tuple[slice, slice]) -> Pixels | Floats:
        """Return the grey levels of a part, 0 to 255: uint8, or float32 if it is deep."""
        return in_levels(self.pixels[part])


def in_levels(pixels: Pixels | Deep) -> Pixels | Floats:
    """Return grey levels, 0 to 255: uint8 as they are, and float32 for codes of 16 bits."""
    if pixels.dtype == np.uint8:
        return cast(Pixels, pixels)
    return pixels.astype(np.float32) * np.float32(1 / _CODES)


def rounded_levels(levels: Floats, like: Pixels | Deep) -> Pixels | Deep:
    """Round grey levels to uint8, or to codes of 16 bits where `like` has these."""
    if like.dtype == np.uint8:
        return cast(Pixels, np.clip(levels + 0.5, 0, 255).astype(np.uint8))
    codes = levels * np.float32(_CODES) + np.float32(0.5)
    return cast(Deep, np.clip(codes, 0, 255 * _CODES).astype(np.uint16))


def view(index: int, pixels: Pixels | Deep, mask: Mask, margin_px: int = 0) -> FrameView:
    """Make a view of a frame and its mask `(H, W)` bool.

    Pixels within `margin_px` of the hole, or a little more, count as covered: masks are rarely exact, and bilinear
    sampling reaches one pixel further.
    """
    hole = mask.astype(np.uint8)
    if not mask.any():
        return FrameView(index, pixels, hole)
    margin = dilated(hole, max(_LEAST_MARGIN_PX, margin_px)) * np.uint8(_MARGIN)
    return FrameView(index, pixels, cast(Flags, cv2.max(margin, hole * np.uint8(_HOLE))))


def sample(frame: FrameView, coords: Coords) -> tuple[Pixels | Floats, Mask]:
    """Sample grey levels `(h, w, 3)` at `coords`, bilinear; also returns where the frame really shows them."""
    colours = cv2.remap(frame.pixels, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return in_levels(cast(Pixels, colours)), covered_at(frame.covered, coords) == 0


def covered_at(flags: Flags, coords: Coords) -> Flags:
    """Sample `flags` at `coords`: positive wherever any contributing pixel is; 255 outside the frame."""
    found = cv2.remap(
        flags,
        coords,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=255,  # type: ignore[call-overload]
    )
    return cast(Flags, found)


def point(x: float, y: float) -> Coords:
    """Return one point `(2,)` float32."""
    return np.array((x, y), np.float32)


def pixel_grid(width: int, height: int) -> Coords:
    """Return the coordinates of each pixel of a crop of this size."""
    found = np.empty((height, width, 2), np.float32)
    found[..., 0], found[..., 1] = np.arange(width), np.arange(height)[:, None]
    return found
