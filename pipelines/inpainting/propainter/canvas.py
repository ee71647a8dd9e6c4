"""Placing frames on the canvas that is computed, and in the result.

The computed canvas is a frame at a size of multiples of 8, with room around it for outpainting. The result has the
size of the source, so that unfilled pixels stay unchanged; or, for the published output, all of it is resized to
the requested size.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.inpainting.propainter.streaming import Painted
from pipelines.masks.resize import large_mask, small_mask, work_size
from pipelines.settings import InpaintSettings
from pipelines.vision.types import Mask, Pixels, Size

PictureT = TypeVar("PictureT", bound=NDArray[Any])

_GRID_PX = 8
"""The networks need sizes that are multiples of this."""
LEAST_SIDE_PX = 128
"""Smallest side for RAFT: below, its coarsest correlation level would have a single row or column."""
_RIM_PX, _LEAST_ROOM_PX = 4, 10
"""Width of the rim whose flows count as unknown, where more than so many pixels are added beside it; as published."""


@dataclass(frozen=True)
class CanvasPlacement:
    """The position of a picture of size `picture` in a canvas of size `whole`: its upper left corner."""

    picture: Size
    whole: Size
    left: int = 0
    top: int = 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The picture's rows and columns on the canvas."""
        return self.shrunk(0, 0)

    def shrunk(self, rows: int, columns: int) -> tuple[slice, slice]:
        """The picture's rows and columns, shortened at each end."""
        (width, height), top, left = self.picture, self.top, self.left
        return slice(top + rows, top + height - rows), slice(left + columns, left + width - columns)

    def put(self, picture: PictureT, black: int = 0) -> PictureT:
        """Place `picture` `(h, w, 3)` on a canvas of the code `black`."""
        if self.picture == self.whole:
            return picture
        whole = np.full((self.whole[1], self.whole[0], 3), black, picture.dtype)
        whole[self.slices] = picture
        return cast(PictureT, whole)

    def hole(self, mask: Mask | None) -> Mask:
        """Return what is to be filled, `(H, W)` bool: all around the picture, and `mask` `(h, w)` in it."""
        whole = np.ones((self.whole[1], self.whole[0]), np.bool_)
        whole[self.slices] = False if mask is None else mask
        return whole

    def scaled(self, picture: Size) -> "CanvasPlacement":
        """Scale the placement to a picture of another size."""
        across, down = picture[0] / self.picture[0], picture[1] / self.picture[1]
        whole = (round(self.whole[0] * across), round(self.whole[1] * down))
        return CanvasPlacement(picture, whole, round(self.left * across), round(self.top * down))

    def aligned(self, rows: int, columns: int) -> "CanvasPlacement":
        """Move the picture up and to the left onto multiples of so many rows and columns."""
        return replace(self, left=self.left // columns * columns, top=self.top // rows * rows)


@dataclass(frozen=True)
class Canvas:
    """Where frames are placed: `work` on the computed canvas, `result` at the source's size, `output` the final size.

    If `published`, everything that was computed is resized to `output` bilinearly, instead of pasting the fill into the
    source.
    """

    work: CanvasPlacement
    result: CanvasPlacement
    output: Size
    published: bool

    @classmethod
    def of(
        cls, source: Size, settings: InpaintSettings, size: Size, steps: tuple[int, int] = (1, 1)
    ) -> "Canvas":
        """Make the canvas for frames of `source` size that are computed at `size`, rounded down to the grid.

        In the result their corner lies on multiples of `steps`, rows and columns.
        """
        picture = (_rounded(size[0]), _rounded(size[1]))
        whole = picture
        if settings.outpaints:
            whole = (
                _rounded(int(settings.scale_w * picture[0])),
                _rounded(int(settings.scale_h * picture[1])),
            )
        work = CanvasPlacement(picture, whole, (whole[0] - picture[0]) // 2, (whole[1] - picture[1]) // 2)
        result = work.scaled(source).aligned(*steps)
        return cls(
            work, result, size if settings.reference_output else result.whole, settings.reference_output
        )

    @property
    def computed(self) -> Size:
        """Width and height of the networks' input: the work canvas, padded if it is too small for them."""
        width, height = self.work.whole
        return max(width, LEAST_SIDE_PX), max(height, LEAST_SIDE_PX)

    def small_frame(self, frame: Pixels) -> Pixels:
        """Place a source frame on the networks' input `(H, W, 3)`."""
        if frame.shape[1::-1] != self.work.picture:
            frame = np.array(Image.fromarray(frame).resize(self.work.picture))
        return _padded(self.work.put(frame), self.computed, "edge")

    def small_hole(self, mask: Mask | None) -> Mask:
        """Place a mask of the source's or work size on the networks' input `(H, W)`; None marks nothing."""
        fitted = None if mask is None else small_mask(mask, self.work.picture)
        return _padded(self.work.hole(fitted), self.computed, "constant")

    @cached_property
    def flow_mask(self) -> Mask | None:
        """Unknown flows `(H, W)`, the same in all frames, if they are more than the hole; else None."""
        if self.work.picture == self.work.whole:
            return None
        rows, columns = (_RIM_PX if room > _LEAST_ROOM_PX else 0 for room in (self.work.top, self.work.left))
        unknown = np.ones((self.work.whole[1], self.work.whole[0]), np.bool_)
        unknown[self.work.shrunk(rows, columns)] = False
        return _padded(unknown, self.computed, "constant")

    def cropped(self, painted: Painted) -> Painted:
        """Remove the padding of the networks' input from `painted`."""
        width, height = self.work.whole
        inside = slice(height), slice(width)
        return Painted(
            painted.before[inside], painted.after[inside], painted.mask[inside], painted.invented[inside]
        )

    def before(self, frame: Pixels) -> Pixels:
        """Place a source frame in the output."""
        if not self.published:
            return self.result.put(frame)
        width, height = self.work.whole
        return self.resized(self.small_frame(frame)[:height, :width])

    def resized(self, picture: PictureT) -> PictureT:
        """Resize what was computed `(h, w, 3)` to the published output."""
        if picture.shape[1::-1] == self.output:
            return picture
        return cast(PictureT, cv2.resize(picture, self.output, interpolation=cv2.INTER_LINEAR))

    def large(self, mask: Mask) -> Mask:
        """Resize a computed mask `(h, w)` to the output, by nearest neighbour."""
        return large_mask(mask, self.output)


def asked_size(source: Size, settings: InpaintSettings, max_side_px: int, most_pixels: int) -> Size:
    """Choose width and height to compute at: as set, else up to these limits; never larger than the source.

    The published output is computed at the source's size unless another is set, whatever the limits.
    """
    if settings.reference_output:
        return _published_size(source, settings)
    width, height = work_size(source, settings, max_side_px)
    if settings.width or settings.height or settings.resize_ratio or width * height <= most_pixels:
        return width, height
    ratio = (most_pixels / (width * height)) ** 0.5
    return int(width * ratio), int(height * ratio)


def _published_size(source: Size, settings: InpaintSettings) -> Size:
    width, height = settings.width, settings.height
    if width or height:
        across, down = (width or 0) / source[0], (height or 0) / source[1]
        size = width or round(source[0] * down), height or round(source[1] * across)
    else:
        size = source
    ratio = settings.resize_ratio or 1.0
    return (int(size[0] * ratio), int(size[1] * ratio)) if ratio != 1 else size


def _rounded(pixels: int) -> int:
    return max(_GRID_PX, pixels // _GRID_PX * _GRID_PX)


def _padded(picture: PictureT, size: Size, mode: Literal["edge", "constant"]) -> PictureT:
    """Pad `picture` `(h, w)` or `(h, w, 3)` below and on the right."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    room = [(0, size[1] - height), (0, size[0] - width), (0, 0)]
    return cast(PictureT, np.pad(picture, room[: picture.ndim], mode=mode))
