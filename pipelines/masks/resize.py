"""Computing at a smaller size: choosing it, resizing frames and masks to it, and pasting the fill back."""

from typing import TypeVar, cast

import cv2
import numpy as np

from pipelines.settings import InpaintSettings
from pipelines.vision.types import Deep, Mask, Pixels, Size

PictureT = TypeVar("PictureT", Pixels, Deep)

_LEAST_SIDE_PX = 16
"""Frames are not reduced below this side: smaller ones are too small for optical flow (DIS)."""


def work_size(size: Size, settings: InpaintSettings, max_side_px: int) -> Size:
    """Choose the size at which a video of `size` is computed: as set, else up to `max_side_px`; never enlarged."""
    width, height = size
    if settings.resize_ratio is not None:
        across = down = settings.resize_ratio
    elif settings.width or settings.height:
        across = (settings.width or 0) / width or (settings.height or 0) / height
        down = (settings.height or 0) / height or across
    else:
        across = down = max_side_px / max(size)

    def side(pixels: int, ratio: float) -> int:
        return min(pixels, max(_LEAST_SIDE_PX, round(pixels * ratio)))

    return side(width, across), side(height, down)


def small_frame(frame: PictureT, size: Size) -> PictureT:
    """Reduce `frame` (H, W, 3), of 8 or 16 bits, to `size` by area averaging."""
    if frame.shape[1::-1] == size:
        return frame
    return cast(PictureT, cv2.resize(frame, size, interpolation=cv2.INTER_AREA))


def small_mask(mask: Mask, size: Size) -> Mask:
    """Reduce `mask` (H, W) to `size`; a pixel is masked if any pixel that it covers is.

    So no averaged pixel of a reduced frame outside the mask contains a masked one.
    """
    if mask.shape[::-1] == size:
        return mask
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(share) > 0


def large_mask(mask: Mask, size: Size) -> Mask:
    """Resize `mask` (H, W) to `size` by nearest neighbour, so that it stays a mask."""
    if mask.shape[::-1] == size:
        return mask
    scaled = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return cast(Mask, scaled.view(np.bool_))


def paste_back(frame: Pixels, filled: Pixels, mask: Mask) -> Pixels:
    """Return `frame` with `filled`, enlarged if needed, pasted in where `mask` is True.

    Elsewhere the result equals `frame` to the bit.
    """
    if not mask.any():
        return frame
    if filled.shape != frame.shape:
        size = (frame.shape[1], frame.shape[0])
        filled = cast(Pixels, cv2.resize(filled, size, interpolation=cv2.INTER_CUBIC))
    # Many times faster than `np.where`.
    return cast(Pixels, cv2.copyTo(np.ascontiguousarray(filled), mask.view(np.uint8), frame.copy()))
