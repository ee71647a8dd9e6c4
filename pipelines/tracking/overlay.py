"""A mask as people see it: laid over its frame, and a word where the object was lost."""

from typing import cast

import cv2
import numpy as np

from pipelines.masks.resize import small_frame, small_mask
from pipelines.vision.types import Mask, Pixels, Size

_TINT, _TINT_SHARE = (255, 0, 80), 0.45
_LINE = (255, 60, 200)
_LOST = (255, 190, 0)
_LINES_ACROSS, _BORDERS_ACROSS = 640, 90
"""How many lines, and how many borders, side by side are as wide as the picture."""
_LETTERS_ACROSS = 800
"""How wide the picture is where letters are 22 pixels high."""


def overlay_mask(frame: Pixels, mask: Mask, size: Size) -> Pixels:
    """A new picture `(h, w, 3)` of `size`: `frame`, tinted where `mask` `(H, W)` is True, with a line around it."""
    picture, cover = small_frame(frame, size), small_mask(mask, size)
    tint = np.full_like(picture, _TINT)
    tinted = cv2.addWeighted(picture, 1 - _TINT_SHARE, tint, _TINT_SHARE, 0)
    stencil = cover.view(np.uint8)
    mask_to_rgb = cv2.copyTo(tinted, stencil, picture.copy())
    outlines, _ = cv2.findContours(stencil, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return cast(
        Pixels, cv2.drawContours(mask_to_rgb, outlines, -1, _LINE, _least_one(size[0] / _LINES_ACROSS))
    )


def draw_lost_frame(picture: Pixels, frame: int) -> Pixels:
    """`picture` with a border, and the frame's number; drawn into it."""
    height, width = picture.shape[:2]
    border = _least_one(width / _BORDERS_ACROSS)
    # OpenCV draws half of a line on each side of where it lies.
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), _LOST, 2 * border - 1)
    scale, thick = width / _LETTERS_ACROSS, _least_one(width / _LINES_ACROSS)
    place = (3 * border, 3 * border + round(22 * scale))
    for colour, more in (((0, 0, 0), 2 * thick), (_LOST, 0)):
        cv2.putText(
            picture,
            f"lost: frame {frame}",
            place,
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            colour,
            thick + more,
            cv2.LINE_AA,
        )
    return picture


def _least_one(pixels: float) -> int:
    return max(1, round(pixels))
