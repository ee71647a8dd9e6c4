"""A frame as the flow engine holds it, and sampling it anywhere."""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.inpainting.flow.holes import Flags, dilated
from pipelines.vision.types import Mask, Pixels

Floats = NDArray[np.float32]
Coords = NDArray[np.float32]
"""`(h, w, 2)` float32: for each pixel of a crop, x and y in a frame."""

_LEAST_MARGIN_PX = 2
_HOLE, _MARGIN = 255, 127


@dataclass(frozen=True, eq=False)
class FrameView:
    """Frame `index`: `pixels` (H, W, 3) uint8 RGB and `covered` (H, W) uint8, 255 in the hole, 127 right beside it.

    Holds 4 bytes a pixel.
    """

    index: int
    pixels: Pixels
    covered: Flags

    @property
    def hole(self) -> Mask:
        """(H, W)."""
        return cast(Mask, self.covered == _HOLE)

    @property
    def has_hole(self) -> bool:
        """Whether anything is to be filled."""
        return bool(self.covered.any())


def view(index: int, pixels: Pixels, mask: Mask, margin_px: int = 0) -> FrameView:
    """A view of a frame and its mask `(H, W)` bool.

    Next to its hole, by `margin_px` or more, a frame is not trusted: an outline is seldom exact, and sampling reaches
    a pixel further.
    """
    hole = mask.astype(np.uint8)
    if not mask.any():
        return FrameView(index, pixels, hole)
    margin = dilated(hole, max(_LEAST_MARGIN_PX, margin_px)) * np.uint8(_MARGIN)
    return FrameView(index, pixels, cast(Flags, cv2.max(margin, hole * np.uint8(_HOLE))))


def sample(of: FrameView, coords: Coords) -> tuple[Pixels, Mask]:
    """The colours `(h, w, 3)` uint8 of `of` at `coords`, bilinear, and where they are real: shown, in the frame."""
    colours = cv2.remap(of.pixels, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return cast(Pixels, colours), covered_at(of.covered, coords) == 0


def covered_at(flags: Flags, coords: Coords) -> Flags:
    """`flags` at `coords`, 255 outside the frame; more than 0 wherever a pixel that bears on it is."""
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
    """One place, `(2,)`."""
    return np.array((x, y), np.float32)


def pixel_grid(width: int, height: int) -> Coords:
    """Each pixel's own place."""
    found = np.empty((height, width, 2), np.float32)
    found[..., 0], found[..., 1] = np.arange(width), np.arange(height)[:, None]
    return found
