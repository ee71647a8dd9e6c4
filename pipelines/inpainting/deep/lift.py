"""Bringing a fill of 8 bits, made from SDR proxies, to the depth, gamut and transfer of the source."""

from typing import cast

import cv2
import numpy as np

from pipelines.video.colour.proxy import undo_proxy
from pipelines.video.info import ColourTags
from pipelines.vision.membrane import membrane
from pipelines.vision.types import Floats, Mask

_HALF = np.float32(0.5)
_SIDES_PX = (65, 33, 17, 9)
"""Sides of the boxes that smooth the steps of 8 bits, the widest first: a step of a soft gradient is tens of pixels
wide."""
_RING_PX = 8
"""Width of the surroundings that guide a fill."""


def debanded(levels: Floats) -> Floats:
    """Return the smoothest levels (h, w, 3) that round to the given ones of 8 bits, float32: without their bands."""
    fine, low, high = levels, levels - _HALF, levels + _HALF
    for side in _SIDES_PX:
        blurred = cv2.blur(fine, (side, side), borderType=cv2.BORDER_REFLECT_101)
        fine = np.clip(cast(Floats, blurred), low, high)
    return fine


def lifted(levels: Floats, around: Floats, mask: Mask, tags: ColourTags) -> Floats:
    """Return the signal (h, w, 3) of a fill, of which the proxy has `levels`, guided by the signal `around` the mask.

    What the proxy does not show, such as light above its white and colours outside its gamut, is measured beside the
    hole, where both are known, and extended into it as a membrane.
    """
    signal = undo_proxy(levels, tags)
    ring = cv2.dilate(mask.view(np.uint8), np.ones((2 * _RING_PX + 1,) * 2, np.uint8)).view(np.bool_) & ~mask
    if not ring.any():
        return signal
    weight = ring.astype(np.float32)
    side = (_RING_PX + 1, _RING_PX + 1)
    # A mean over the ring, since single pixels hold noise and what a smaller work size does not show.
    off = (
        cv2.blur((around - signal) * weight[..., None], side)
        / np.maximum(cv2.blur(weight, side), 1e-6)[..., None]
    )
    return signal + membrane(cast(Floats, off), weight)
