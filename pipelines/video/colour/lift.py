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
_UNLIKE_LEVELS = np.float32(32)
"""Difference of grey levels from which a colour is not that of the surroundings."""
_ROUNDING = np.float32(2 / 255)
"""Signal by which a proxy may be off that clips nothing: two levels, of rounding and of conversion in 8 bits."""


def debanded(levels: Floats) -> Floats:
    """Return the smoothest levels (h, w, 3) that round to the given ones of 8 bits, float32: without their bands."""
    fine, low, high = levels, levels - _HALF, levels + _HALF
    for side in _SIDES_PX:
        blurred = cv2.blur(fine, (side, side), borderType=cv2.BORDER_REFLECT_101)
        fine = np.clip(cast(Floats, blurred), low, high)
    return fine


def lifted(levels: Floats, around: Floats, mask: Mask, tags: ColourTags) -> Floats:
    """Return the signal (h, w, 3) of a fill, of which the proxy has `levels`, guided by the signal `around` the mask.

    `levels` are those of the proxy outside the mask, too. What the proxy does not show, such as light above its white
    and colours outside its gamut, is measured beside the hole, where both are known. It is extended into the hole as a
    membrane, and counts where the fill looks like what lies beside it; a smaller part, the rounding, counts everywhere.
    """
    signal = undo_proxy(levels, tags)
    ring = cv2.dilate(mask.view(np.uint8), np.ones((2 * _RING_PX + 1,) * 2, np.uint8)).view(np.bool_) & ~mask
    if not ring.any():
        return signal
    weight = ring.astype(np.float32)
    # Means over the ring, since single pixels hold noise and what a smaller work size does not show.
    off = membrane(_mean(around - signal, weight), weight)
    beside = membrane(_mean(levels, weight), weight)
    alike = np.clip(1 - np.abs(levels - beside).max(axis=2, keepdims=True) / _UNLIKE_LEVELS, 0, 1)
    rounding = np.clip(off, -_ROUNDING, _ROUNDING)
    return np.asarray(signal + rounding + (off - rounding) * alike, np.float32)


def _mean(values: Floats, weight: Floats) -> Floats:
    """Return means (h, w, 3) of the `values` that have a weight, in boxes of the width of the ring."""
    side = (_RING_PX + 1, _RING_PX + 1)
    return cast(
        Floats,
        cv2.blur(values * weight[..., None], side) / np.maximum(cv2.blur(weight, side), 1e-6)[..., None],
    )
