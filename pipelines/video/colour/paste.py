"""Pasting a fill into stored samples: those outside the hole stay, whatever their depth and subsampling."""

from typing import TypeVar, cast

import cv2
import numpy as np

from pipelines.video.colour.coding import Coding
from pipelines.video.colour.dither import dither
from pipelines.video.colour.lift import debanded, lifted
from pipelines.video.colour.samples import chroma_steps, from_signal, to_signal
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.crop import Crop
from pipelines.vision.types import Deep, Floats, Mask, Pixels, Size

PictureT = TypeVar("PictureT", Deep, Floats)

_MARGIN_PX = 16
"""Surroundings of the hole that are converted with it: chroma is interpolated from its neighbours, and 8 bits are
guided by what lies beside the hole. Even, so that crops begin on a sample of chroma."""


def paste_samples(
    planes: Planes, fill: Deep | Pixels, mask: Mask, coding: Coding, index: int
) -> tuple[Planes, int]:
    """Paste `fill` into frame `index` where `mask` is True; also count the chroma samples across the edge of the mask.

    `fill` is a picture of any size: R'G'B' codes, uint16, or SDR levels of the proxy, uint8. Samples of luma outside
    the mask, and of chroma that stand for no pixel of it, are those of `planes`.
    """
    if not mask.any():
        return planes, 0
    box = _crop(mask)
    inside, part, size = mask[box.slices], _part(planes, box), mask.shape[::-1]
    known = to_signal(part, coding.tags)
    if fill.dtype == np.uint8:
        drawn = lifted(debanded(_enlarged(fill.astype(np.float32), size, box)), known, inside, coding.tags)
    else:
        drawn = coding.signal(_enlarged(cast(Deep, fill), size, box))
    made = from_signal(np.where(inside[..., None], drawn, known), part.layout, coding.tags)
    steps, edge = chroma_steps(planes.layout), 0
    marked = [(inside, inside), _touched(inside, *steps)]
    after = []
    for number, (plane, codes) in enumerate(zip(planes.colours, made, strict=True)):
        down, across = steps if number else (1, 1)
        touched, covered = marked[min(number, 1)]
        whole = plane.copy()
        rows, columns = slice(box.top // down, None), slice(box.left // across, None)
        target = whole[rows, columns][: codes.shape[0], : codes.shape[1]]
        new = dither(codes, planes.bits, index, top=box.top // down, left=box.left // across)
        np.copyto(target, new, where=touched)
        edge = int(np.count_nonzero(touched & ~covered))
        after.append(whole)
    return Planes(tuple(after), planes.bits, planes.subsampling), edge


def _crop(mask: Mask) -> Crop:
    """Return the hole's surroundings; edges within the frame are even, so that no sample of chroma is cut."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows, columns = mask.shape
    right, bottom = (left + width + _MARGIN_PX + 1) & ~1, (top + height + _MARGIN_PX + 1) & ~1
    left, top = max(0, left - _MARGIN_PX) & ~1, max(0, top - _MARGIN_PX) & ~1
    return Crop(left, top, min(columns, right), min(rows, bottom))


def _part(planes: Planes, box: Crop) -> Planes:
    """Return the samples of a crop."""
    down, across = chroma_steps(planes.layout)
    chroma = (
        slice(box.top // down, -(-box.bottom // down)),
        slice(box.left // across, -(-box.right // across)),
    )
    first, *others = planes.colours
    parts: tuple[Plane, ...] = (first[box.slices], *(plane[chroma] for plane in others))
    return Planes(parts, planes.bits, planes.subsampling)


def _enlarged(fill: PictureT, size: Size, box: Crop) -> PictureT:
    """Return the crop of `fill`, enlarged to `size` if it is smaller."""
    if fill.shape[1::-1] != size:
        fill = cast(PictureT, cv2.resize(fill, size, interpolation=cv2.INTER_CUBIC))
    return fill[box.slices]


def _touched(mask: Mask, down: int, across: int) -> tuple[Mask, Mask]:
    """Return which samples stand for a pixel of the mask, and which for no other, where one stands for several."""
    if (down, across) == (1, 1):
        return mask, mask
    rows, columns = -mask.shape[0] % down, -mask.shape[1] % across
    blocks = np.pad(mask, ((0, rows), (0, columns)), mode="edge") if rows or columns else mask
    parts = [blocks[row::down, column::across] for row in range(down) for column in range(across)]
    return np.logical_or.reduce(parts), np.logical_and.reduce(parts)
