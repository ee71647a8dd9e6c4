"""Splitting a mask into holes, each with the crop in which it is filled: cost follows the hole, not the frame.

Crops are in pixels of the thumbnail, each of which covers `reduction` x `reduction` pixels of the frame; so the
surroundings of a hole have the same extent, relative to the frame, at any resolution.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np

from pipelines.vision.crop import Crop
from pipelines.vision.types import Flags, Floats, Mask

RIM_PX = 6
"""Width of the rim around a hole that is compared, in thumbnail pixels: wide enough for texture, and near the hole."""
_SEAM_PX = 1.5
"""Width of the seam, the pixels right beside a hole, in thumbnail pixels."""


@dataclass(frozen=True, eq=False)
class Hole:
    """One connected part of a mask: filled in `tight` and registered in `wide`, both crops of the thumbnail.

    `empty` (h, w) {0, 1} is the thumbnail's mask in `wide`; `inside` `(H, W)` bool is the frame's mask in `full`, the
    crop of the frame that `tight` covers.
    """

    tight: Crop
    wide: Crop
    empty: Flags
    inside: Mask
    full: Crop
    reduction: int

    @cached_property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of `tight` in `wide`."""
        top, left = self.tight.top - self.wide.top, self.tight.left - self.wide.left
        width, height = self.tight.size
        return slice(top, top + height), slice(left, left + width)

    @cached_property
    def rim(self) -> Mask:
        """Known pixels around the hole, in `tight`."""
        empty = self.empty[self.inner]
        return cast(Mask, (dilated(empty, RIM_PX) > 0) & (empty == 0))

    @cached_property
    def seam(self) -> Mask:
        """Known pixels right beside the hole, in `full`."""
        return self.beside(self.inside)

    def beside(self, part: Mask) -> Mask:
        """Return the pixels right beside `part`, a mask of `full`."""
        return (dilated(part.view(np.uint8), round(_SEAM_PX * self.reduction)) > 0) & ~part

    def repeated(self, mask: Mask) -> Mask:
        """Enlarge a mask of `tight` to `full`."""
        height, width = self.inside.shape
        return mask.repeat(self.reduction, axis=0).repeat(self.reduction, axis=1)[:height, :width]

    def enlarged(self, field: Floats, times: int = 1) -> Floats:
        """Interpolate a field over `tight` to `full`; each of its pixels covers `times` pixels of the thumbnail."""
        step, (width, height) = self.reduction * times, self.full.size
        larger = cv2.resize(
            field, (field.shape[1] * step, field.shape[0] * step), interpolation=cv2.INTER_LINEAR
        )
        return cast(Floats, larger[:height, :width])


def holes(mask: Mask, small: Flags, reduction: int, pad: int) -> list[Hole]:
    """Split a frame's `mask`, `small` {0, 1} in its thumbnail, into holes; those whose padded crops overlap are one."""
    left, top, width, height = cv2.boundingRect(small)
    if not width:
        return []
    # Dilation already joins most of the parts that overlap: a noisy mask has thousands.
    near = cv2.dilate(small[top : top + height, left : left + width], np.ones((2 * pad + 1,) * 2, np.uint8))
    count, labels = cv2.connectedComponents(near)
    boxes: list[Crop] = []
    for label in range(1, count):
        part = small[top : top + height, left : left + width] & (labels == label)
        x, y, w, h = cv2.boundingRect(part)
        boxes.append(Crop(left + x, top + y, left + x + w, top + y + h))
    return [_hole(mask, small, reduction, box, pad) for box in _merged(boxes, pad, small.shape)]


def dilated(mask: Flags, radius_px: int) -> Flags:
    """Dilate `mask` by a disc."""
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cast(Flags, cv2.dilate(mask, disc))


def _merged(boxes: list[Crop], pad: int, shape: tuple[int, ...]) -> list[Crop]:
    """Join boxes until no two overlap when padded; in reading order."""
    done: list[Crop] = []
    for box in boxes:
        joined = box
        while near := [b for b in done if b.padded(pad, shape).overlaps(joined.padded(pad, shape))]:
            for other in near:
                done.remove(other)
                joined = joined.union(other)
        done.append(joined)
    return sorted(done, key=lambda box: (box.top, box.left))


def _hole(mask: Mask, small: Flags, reduction: int, box: Crop, pad: int) -> Hole:
    wide, tight = box.padded(pad, small.shape), box.padded(RIM_PX, small.shape)
    # The thumbnail's last row and column may reach beyond the frame.
    full = tight.enlarged(reduction)
    full = Crop(full.left, full.top, min(mask.shape[1], full.right), min(mask.shape[0], full.bottom))
    return Hole(
        tight, wide, np.ascontiguousarray(small[wide.slices]), mask[full.slices].copy(), full, reduction
    )
