"""The parts of a frame's mask, each with the crop in which it is filled: cost follows the hole, not the frame.

Crops are in pixels of the frame's look, whose pixels are squares of `reduction` pixels of the frame; so what surrounds
a hole is as wide, against the frame, at any resolution.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask

Flags = NDArray[np.uint8]
Floats = NDArray[np.float32]

RIM_PX = 6
"""What is known around a hole and compared: wide enough to tell a texture, near enough to bear on the hole."""
_SEAM = 1.5
"""Width of what lies right beside a hole, pixels of the look."""


@dataclass(frozen=True, eq=False)
class Hole:
    """One part of a mask: filled in `tight`, registered in `wide`, both crops of the look.

    `empty` (h, w) {0, 1} is the look's mask in `wide`; `inside` `(H, W)` is the frame's in `full`, which is what
    `tight` covers of the frame.
    """

    tight: Crop
    wide: Crop
    empty: Flags
    inside: Mask
    full: Crop
    reduction: int

    @cached_property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of `tight` within `wide`."""
        top, left = self.tight.top - self.wide.top, self.tight.left - self.wide.left
        width, height = self.tight.size
        return slice(top, top + height), slice(left, left + width)

    @cached_property
    def rim(self) -> Mask:
        """What is known near the hole, in `tight`."""
        empty = self.empty[self.inner]
        return cast(Mask, (dilated(empty, RIM_PX) > 0) & (empty == 0))

    @cached_property
    def seam(self) -> Mask:
        """What is known right beside the hole, in `full`."""
        return self.beside(self.inside)

    def beside(self, part: Mask) -> Mask:
        """What lies right beside a part of `full`."""
        return (dilated(part.view(np.uint8), round(_SEAM * self.reduction)) > 0) & ~part

    def repeated(self, mask: Mask) -> Mask:
        """A mask of `tight` at the frame's size."""
        height, width = self.inside.shape
        return mask.repeat(self.reduction, axis=0).repeat(self.reduction, axis=1)[:height, :width]

    def enlarged(self, field: Floats, times: int = 1) -> Floats:
        """What varies slowly over `tight`, at the frame's size; a pixel of it is `times` of the look's."""
        step, (width, height) = self.reduction * times, self.full.size
        larger = cv2.resize(
            field, (field.shape[1] * step, field.shape[0] * step), interpolation=cv2.INTER_LINEAR
        )
        return cast(Floats, larger[:height, :width])


def holes(mask: Mask, small: Flags, reduction: int, pad: int) -> list[Hole]:
    """The parts of a frame's `mask`, `small` {0, 1} in its look; those whose crops, `pad` wider, meet are one."""
    left, top, width, height = cv2.boundingRect(small)
    if not width:
        return []
    # A coarse picture of the padded parts already joins most of those that meet: a noisy mask has thousands.
    near = cv2.dilate(small[top : top + height, left : left + width], np.ones((2 * pad + 1,) * 2, np.uint8))
    count, labels = cv2.connectedComponents(near)
    boxes: list[Crop] = []
    for label in range(1, count):
        part = small[top : top + height, left : left + width] & (labels == label)
        x, y, w, h = cv2.boundingRect(part)
        boxes.append(Crop(left + x, top + y, left + x + w, top + y + h))
    return [_hole(mask, small, reduction, box, pad) for box in _merged(boxes, pad, small.shape)]


def dilated(mask: Flags, radius_px: int) -> Flags:
    """`mask` grown by a disc."""
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cast(Flags, cv2.dilate(mask, disc))


def _merged(boxes: list[Crop], pad: int, shape: tuple[int, ...]) -> list[Crop]:
    """`boxes`, joined until no two meet when padded; in reading order."""
    done: list[Crop] = []
    for box in boxes:
        apart = box
        while near := [b for b in done if b.padded(pad, shape).overlaps(apart.padded(pad, shape))]:
            for other in near:
                done.remove(other)
                apart = apart.union(other)
        done.append(apart)
    return sorted(done, key=lambda box: (box.top, box.left))


def _hole(mask: Mask, small: Flags, reduction: int, box: Crop, pad: int) -> Hole:
    wide, tight = box.padded(pad, small.shape), box.padded(RIM_PX, small.shape)
    # A look's last row and column may reach beyond the frame.
    full = tight.enlarged(reduction)
    full = Crop(full.left, full.top, min(mask.shape[1], full.right), min(mask.shape[0], full.bottom))
    return Hole(
        tight, wide, np.ascontiguousarray(small[wide.slices]), mask[full.slices].copy(), full, reduction
    )
