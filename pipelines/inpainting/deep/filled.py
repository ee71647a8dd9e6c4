"""Frames of a removal as samples, with the fill pasted into them."""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from pipelines.inpainting.deep.reading import read_planes
from pipelines.masks.reading import read_masks
from pipelines.masks.resize import large_mask
from pipelines.stages import RunContext
from pipelines.video.colour.coding import Coding
from pipelines.video.colour.eight_bits import eight_bits
from pipelines.video.colour.paste import paste_samples
from pipelines.video.colour.samples import rgb16
from pipelines.video.samples.layout import alpha_bits
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.types import Deep, Mask, Pixels


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
        """The samples after, opaque only where something was filled; grey, which has no alpha, gets neutral chroma."""
        planes = self.planes
        if planes.subsampling == "gray":
            bits = alpha_bits(planes.bits)
            luma = cast(Plane, planes.y << (bits - planes.bits))
            neutral = np.full_like(luma, 2 ** (bits - 1))
            planes = Planes((luma, neutral, neutral), bits, "444")
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
