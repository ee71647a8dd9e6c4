"""The parts of a frame's mask, each with the crop in which it is filled: cost follows the hole, not the frame."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Flags = NDArray[np.uint8]

RIM_PX = 12
"""What is known around a hole and compared: wide enough to tell a texture, near enough to bear on the hole."""
SEAM_PX = 3


@dataclass(frozen=True)
class Box:
    """Pixels `[top, bottom) x [left, right)`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def padded(self, pad: int, shape: tuple[int, ...]) -> "Box":
        """`pad` pixels larger on each side, as far as a picture of `shape` goes."""
        return Box(
            max(0, self.top - pad),
            max(0, self.left - pad),
            min(shape[0], self.bottom + pad),
            min(shape[1], self.right + pad),
        )

    def meets(self, other: "Box") -> bool:
        """Whether they share a pixel."""
        return (
            self.top < other.bottom
            and other.top < self.bottom
            and self.left < other.right
            and other.left < self.right
        )

    def joined(self, other: "Box") -> "Box":
        """The smallest that holds both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True, eq=False)
class Hole:
    """One part of a mask: filled in `tight`, registered in `wide`; both are boxes of the frame.

    `mask` `(H, W)` uint8 {0, 1} covers `wide`. Holds a few bytes for each pixel of `wide`.
    """

    tight: Box
    wide: Box
    mask: Flags

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of `tight` within `wide`."""
        top, left = self.tight.top - self.wide.top, self.tight.left - self.wide.left
        width, height = self.tight.size
        return slice(top, top + height), slice(left, left + width)

    @cached_property
    def inside(self) -> Mask:
        """The hole in `tight`."""
        return self.mask[self.inner] > 0

    @cached_property
    def rim(self) -> Mask:
        """What is known near the hole, in `wide`."""
        return cast(Mask, (dilated(self.mask, RIM_PX) > 0) & (self.mask == 0))

    @cached_property
    def seam(self) -> Mask:
        """What is known right beside the hole, in `tight`."""
        return (dilated(self.mask[self.inner], SEAM_PX) > 0) & ~self.inside


def holes(mask: Flags, pad: int) -> list[Hole]:
    """The parts of `mask` `(H, W)` uint8 {0, 1}; parts whose crops, `pad` pixels wider, meet are one."""
    found = cv2.boundingRect(mask)
    if not found[2]:
        return []
    # A coarse picture of the padded parts already joins most of those that meet: a noisy mask has thousands.
    left, top, width, height = found
    near = cv2.dilate(mask[top : top + height, left : left + width], np.ones((2 * pad + 1,) * 2, np.uint8))
    count, labels = cv2.connectedComponents(near)
    boxes: list[Box] = []
    for label in range(1, count):
        part = mask[top : top + height, left : left + width] & (labels == label)
        x, y, w, h = cv2.boundingRect(part)
        boxes.append(Box(top + y, left + x, top + y + h, left + x + w))
    return [_hole(mask, box, pad) for box in _merged(boxes, pad, mask.shape)]


def dilated(mask: Flags, radius_px: int) -> Flags:
    """`mask` grown by a disc."""
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cast(Flags, cv2.dilate(mask, disc))


def _merged(boxes: list[Box], pad: int, shape: tuple[int, ...]) -> list[Box]:
    """`boxes`, joined until no two meet when padded; in reading order."""
    done: list[Box] = []
    for box in boxes:
        apart = box
        while near := [b for b in done if b.padded(pad, shape).meets(apart.padded(pad, shape))]:
            for other in near:
                done.remove(other)
                apart = apart.joined(other)
        done.append(apart)
    return sorted(done, key=lambda box: (box.top, box.left))


def _hole(mask: Flags, box: Box, pad: int) -> Hole:
    wide = box.padded(pad, mask.shape)
    return Hole(box.padded(RIM_PX, mask.shape), wide, np.ascontiguousarray(mask[wide.slices]))
