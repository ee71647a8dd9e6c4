"""Pasting a fill into stored samples: those outside the hole stay, whatever their depth and subsampling."""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeVar, cast

import cv2
import numpy as np

from pipelines.inpainting.deep.lift import debanded, lifted
from pipelines.inpainting.deep.reading import read_planes
from pipelines.masks.reading import read_masks
from pipelines.masks.resize import large_mask
from pipelines.stages import RunContext
from pipelines.video.colour.coding import Coding
from pipelines.video.colour.dither import dither
from pipelines.video.colour.eight_bits import eight_bits
from pipelines.video.colour.samples import chroma_steps, from_signal, rgb16, to_signal
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.crop import Crop
from pipelines.vision.types import Deep, Floats, Mask, Pixels, Size

PictureT = TypeVar("PictureT", Deep, Floats)

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

    @property
    def pixels(self) -> Pixels:
        """The frame after for a result of 8 bits, `(H, W, 3)` uint8: tone-mapped and dithered."""
        return eight_bits(self.planes, self.coding.tags, self.index)

    @property
    def deep_pixels(self) -> Deep:
        """The frame after as R'G'B', `(H, W, 3)` uint16, full range, in the transfer of the source."""
        return rgb16(self.planes, self.coding.tags)

    @property
    def cut_out(self) -> Planes:
        """The samples after, opaque only where something was filled; grey has no alpha."""
        planes = self.planes
        if planes.subsampling == "gray":
            return planes
        alpha = self.mask * np.uint16(2**planes.bits - 1)
        return replace(planes, alpha=alpha.astype(np.uint8) if planes.bits == 8 else alpha)

    @cached_property
    def before(self) -> Pixels:
        """The frame before in SDR, `(H, W, 3)` uint8."""
        return self.coding.proxy(self.coding.codes(self.source))

    @cached_property
    def after(self) -> Pixels:
        """The frame after in SDR, `(H, W, 3)` uint8."""
        return self.coding.proxy(self.coding.codes(self.planes))


class Painting(Protocol):
    """A fill: a picture of any size, and which of its pixels `(h, w)` no frame shows."""

    @property
    def pixels(self) -> Deep | Pixels: ...  # noqa: D102
    @property
    def invented(self) -> Mask: ...  # noqa: D102


def pasted_samples(
    run: RunContext, coding: Coding, fills: Iterable[Painting], start: int, stop: int
) -> Generator[DeepFilled]:
    """Yield frames `[start, stop)` with `fills` pasted into their samples, which are read here, as the masks are."""
    size = run.video.width, run.video.height
    with closing(read_planes(run, start, stop)) as frames, closing(read_masks(run, start, stop)) as masks:
        for index, (fill, planes, mask) in enumerate(zip(fills, frames, masks, strict=True), start):
            after, chroma = paste_samples(planes, fill.pixels, mask, coding, index)
            invented = large_mask(fill.invented, size) & mask
            yield DeepFilled(index, planes, after, mask, invented, chroma, coding)


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
    blocks = np.pad(mask, ((0, rows), (0, columns)), mode="edge")
    blocks = blocks.reshape(blocks.shape[0] // down, down, blocks.shape[1] // across, across)
    return np.asarray(blocks.any(axis=(1, 3))), np.asarray(blocks.all(axis=(1, 3)))
