"""Pasting a fill into stored samples: those outside the hole stay, whatever their depth and subsampling."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap
from typing import cast

import cv2
import numpy as np

from pipelines.inpainting.deep.lift import debanded, lifted
from pipelines.video.colour.coding import Coding
from pipelines.video.colour.dither import dither
from pipelines.video.colour.proxy import Deep
from pipelines.video.colour.samples import chroma_steps, from_signal, to_signal
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.crop import Crop
from pipelines.vision.types import Mask, Pixels, Size

_MARGIN_PX = 16
"""Surroundings of the hole that are converted with it: chroma is interpolated from its neighbours, and 8 bits are
guided by what lies beside the hole. Even, so that crops begin on a sample of chroma."""


@dataclass(frozen=True, eq=False)
class DeepFilled:
    """One frame before and after, as samples. `mask` `(H, W)` marks the filled pixels, `invented` those never shown.

    `chroma` counts the chroma samples, of one plane, that stand for a filled pixel and an unfilled one.
    """

    index: int
    source: Planes
    planes: Planes
    mask: Mask
    invented: Mask
    chroma: int
    coding: Coding

    @cached_property
    def before(self) -> Pixels:
        """The frame before in SDR, `(H, W, 3)` uint8."""
        return self.coding.proxy(self.coding.codes(self.source))

    @cached_property
    def after(self) -> Pixels:
        """The frame after in SDR, `(H, W, 3)` uint8."""
        return self.coding.proxy(self.coding.codes(self.planes))


def paste_samples(
    planes: Planes, fill: Deep | Pixels, mask: Mask, coding: Coding, index: int
) -> tuple[Planes, int]:
    """Paste `fill` into frame `index` where `mask` is True; also count the chroma samples across the edge of the mask.

    `fill` is a picture of any size: R'G'B' codes, uint16, or SDR levels of the proxy, uint8. Samples of luma outside the
    mask, and of chroma that stand for no pixel of it, are those of `planes`.
    """
    if not mask.any():
        return planes, 0
    box = _crop(mask)
    inside, part = mask[box.slices], _part(planes, box)
    known = to_signal(part, coding.tags)
    if fill.dtype == np.uint8:
        drawn = lifted(_enlarged_levels(fill, mask, box), known, inside, coding.tags)
    else:
        drawn = coding.signal(_enlarged(cast(Deep, fill), mask.shape[::-1], box))
    made = from_signal(np.where(inside[..., None], drawn, known), part.layout, coding.tags)
    steps, edge = chroma_steps(planes.layout), 0
    after = []
    for number, (plane, codes) in enumerate(zip(planes.colours, made, strict=True)):
        down, across = steps if number else (1, 1)
        whole = plane.copy()
        rows, columns = slice(box.top // down, None), slice(box.left // across, None)
        target = whole[rows, columns][: codes.shape[0], : codes.shape[1]]
        touched, covered = _touched(inside, down, across)
        new = dither(codes, planes.bits, index, top=box.top // down, left=box.left // across)
        target[touched] = new[touched]
        edge = int(np.count_nonzero(touched & ~covered))
        after.append(cast(Plane, whole))
    return Planes(tuple(after), planes.bits, planes.subsampling), edge


def _crop(mask: Mask) -> Crop:
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows, columns = mask.shape
    top, left = max(0, top - _MARGIN_PX) & ~1, max(0, left - _MARGIN_PX) & ~1
    return Crop(
        left, top, min(columns, left + width + 2 * _MARGIN_PX + 2), min(rows, top + height + 2 * _MARGIN_PX + 2)
    )


def _part(planes: Planes, box: Crop) -> Planes:
    """Return the samples of a crop, a view; its upper left corner has even coordinates."""
    down, across = chroma_steps(planes.layout)
    chroma = slice(box.top // down, -(-box.bottom // down)), slice(box.left // across, -(-box.right // across))
    first, *others = planes.colours
    return Planes(
        (first[box.slices], *(plane[chroma] for plane in others)), planes.bits, planes.subsampling
    )
