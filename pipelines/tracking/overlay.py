"""Drawing masks over frames, and marking frames on which the object was lost."""

from typing import cast

import cv2
import numpy as np

from pipelines.masks.resize import small_frame, small_mask
from pipelines.vision.types import Mask, Pixels, Size

_TINT, _TINT_SHARE = (255, 0, 80), 0.45
_LINE = (255, 60, 200)
_LOST = (255, 190, 0)
_LINES_ACROSS, _BORDERS_ACROSS = 640, 90
"""Picture width in line widths and in border widths, so that both scale with the picture."""
_TEXT_WIDTH_PX, _TEXT_HEIGHT_PX = 800, 22
"""Picture width at which OpenCV's font has scale 1, and its letters this height."""


def overlay_mask(frame: Pixels, mask: Mask, size: Size) -> Pixels:
    """Return `frame` at `size` (width, height), tinted where `mask` `(H, W)` is True, with the mask's outline."""
    picture, cover = small_frame(frame, size), small_mask(mask, size)
    tint = np.full_like(picture, _TINT)
    tinted = cv2.addWeighted(picture, 1 - _TINT_SHARE, tint, _TINT_SHARE, 0)
    stencil = cover.view(np.uint8)
    mask_to_rgb = cv2.copyTo(tinted, stencil, picture.copy())
    outlines, _ = cv2.findContours(stencil, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return cast(
        Pixels, cv2.drawContours(mask_to_rgb, outlines, -1, _LINE, _at_least_one(size[0] / _LINES_ACROSS))
    )


def draw_lost_frame(picture: Pixels, frame: int) -> Pixels:
    """Draw a border and the frame number into `picture`, and return it."""
    height, width = picture.shape[:2]
    border = _at_least_one(width / _BORDERS_ACROSS)
    # OpenCV draws half of a line's width on each side of it.
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), _LOST, 2 * border - 1)
    scale, thick = width / _TEXT_WIDTH_PX, _at_least_one(width / _LINES_ACROSS)
    origin = (3 * border, 3 * border + round(_TEXT_HEIGHT_PX * scale))
    for colour, more in (((0, 0, 0), 2 * thick), (_LOST, 0)):
        cv2.putText(
            picture,
            f"lost: frame {frame}",
            origin,
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            colour,
            thick + more,
            cv2.LINE_AA,
        )
    return picture


def _at_least_one(pixels: float) -> int:
    return max(1, round(pixels))
