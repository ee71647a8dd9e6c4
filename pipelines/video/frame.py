"""A frame: its index, its time, and pixels that are converted only on request."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame

from pipelines.video.colour import tags
from pipelines.video.colour.samples import sdr_luma, sdr_rgb
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.picture import lay_over
from pipelines.video.samples.planes import Plane, Planes, planes_in, planes_of
from pipelines.vision.types import Pixels

_JPEG_RANGE = 2
_TOP_ALIGNED = ("p0", "p2", "p4")
"""Pixel formats with 10 bits in the upper part of 16, such as `p010le`."""


class Picture(Protocol):
    """A decoded picture, convertible to RGB or to luma."""

    def rgb(self) -> Pixels: ...  # noqa: D102
    def luma(self, width: int | None) -> Pixels: ...  # noqa: D102
    def alpha(self) -> Pixels | None: ...  # noqa: D102
    def planes(self) -> Planes: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Frame:
    """Frame `index` of a video, shown at `time` seconds."""

    index: int
    time: Fraction
    picture: Picture

    def rgb(self) -> Pixels:
        """The frame (H, W, 3) uint8 RGB; converted again by each call."""
        return self.picture.rgb()

    def luma(self, width: int | None = None) -> Pixels:
        """Luma (H, W) uint8, 0 black to 255 white, by the weights of the video's colour matrix.

        Downscaled to `width` where that is smaller than the frame; the height follows.
        """
        return self.picture.luma(width)

    def alpha(self) -> Pixels | None:
        """Opacity (H, W) uint8, 255 opaque; None where the decoder gives none."""
        return self.picture.alpha()

    def planes(self) -> Planes:
        """The samples as decoded, at the depth and chroma of the file, upright and otherwise untouched.

        Read with `planes=True`: otherwise a decoder that gives only RGB may have been chosen.
        """
        return self.picture.planes()


class RgbPicture:
    """A picture that the decoder gives as upright RGB; `read` returns its pixels."""

    def __init__(self, read: Callable[[], Pixels], weights: tuple[float, float, float]) -> None:
        self._read = read
        self._weights = weights

    def rgb(self) -> Pixels:
        """(H, W, 3) uint8."""
        return self._read()

    def luma(self, width: int | None) -> Pixels:
        """(H, W) uint8 from RGB."""
        small = _shrink(self._read(), width)
        return cast(Pixels, cv2.transform(small, np.array([self._weights], np.float32)))

    def alpha(self) -> Pixels | None:
        """None."""
        return None

    def planes(self) -> Planes:
        """Red, green and blue, 8 bits."""
        pixels = self._read()
        return Planes(tuple(np.ascontiguousarray(pixels[:, :, number]) for number in range(3)), 8, "rgb")


class YuvPicture:
    """A picture as decoded by PyAV; its luma plane is used directly, without a conversion to RGB."""

    def __init__(self, frame: VideoFrame, info: VideoInfo) -> None:
        self._frame = frame
        self._turns = info.rotation // 90
        self._background = info.background
        self._hdr = info.hdr is not None
        self._deep = info.deep
        self._tags = info.colour if self._hdr else info.output_colour

    def rgb(self) -> Pixels:
        """(H, W, 3) uint8; transparent parts show the background. HDR is tone-mapped to SDR."""
        if self._hdr or self._deep:
            # Not by libswscale, which makes 253 of deep white and repeats columns of chroma. SDR keeps its primaries.
            tags = self._tags if self._hdr else replace(self._tags, primaries=None)
            pixels = sdr_rgb(planes_in(self._frame), tags)
        else:
            # One thread: several would be started again for each frame, which costs more than they gain.
            pixels = cast(Pixels, self._frame.to_ndarray(format="rgb24", threads=1))
        pixels = self._upright(pixels)
        opacity = self.alpha()
        if opacity is not None and opacity.min() < 255:
            lay_over(pixels, opacity, self._background)
        return pixels

    def luma(self, width: int | None) -> Pixels:
        """(H, W) uint8, full range; of HDR, that of an SDR picture of the same scene."""
        if self._hdr:
            # Averaged as codes of 8 bits, as SDR is.
            return _full_range(_shrink(sdr_luma(self.planes(), self._tags), width))
        opacity = self.alpha()
        if not has_luma_plane(self._frame) or (opacity is not None and opacity.min() < 255):
            return RgbPicture(self.rgb, tags.luma_weights(self._tags)).luma(width)
        across = self._turns % 2 == 1
        plane = _shrink(_luma_plane(self._frame), width, across=across)
        bits = self._frame.format.components[0].bits
        if _has_full_range(self._frame):
            return self._upright(cast(Pixels, cv2.convertScaleAbs(plane, alpha=255 / (2**bits - 1))))
        if bits > 8:
            # Rounded as an encoder of 8 bits would, so that deep and other video of a scene measure alike.
            plane = cast(Pixels, cv2.convertScaleAbs(plane, alpha=2.0 ** (8 - bits)))
        return self._upright(_full_range(plane))

    def alpha(self) -> Pixels | None:
        """(H, W) uint8; of a palette, the opacity of its colours."""
        kind = self._frame.format
        if not (kind.has_palette or any(component.is_alpha for component in kind.components)):
            return None
        rgba = self._frame.to_ndarray(format="rgba", threads=1)
        return self._upright(np.ascontiguousarray(rgba[:, :, 3]))

    def planes(self) -> Planes:
        """The stored samples."""
        return planes_of(self._frame, self._turns)

    def _upright(self, pixels: Pixels) -> Pixels:
        return np.ascontiguousarray(np.rot90(pixels, self._turns)) if self._turns else pixels


def luma_weights(info: VideoInfo) -> tuple[float, float, float]:
    """Weights of red, green and blue in luma; BT.601 where the stream does not say, as decoders assume."""
    return tags.luma_weights(info.output_colour)


def has_luma_plane(frame: VideoFrame) -> bool:
    """Whether the first plane is luma alone, in 8 bits or in the lower bits of 16."""
    pixels = frame.format
    planar = pixels.is_planar or pixels.name.startswith("gray")
    return (
        planar
        and not pixels.is_rgb
        and not pixels.is_big_endian
        and not pixels.name.startswith(_TOP_ALIGNED)
        and 8 <= pixels.components[0].bits <= 16
    )


def _luma_plane(frame: VideoFrame) -> Plane:
    """A view of the first plane (H, W), as stored."""
    plane = frame.planes[0]
    wide = frame.format.components[0].bits > 8
    rows = np.frombuffer(memoryview(plane), np.uint16 if wide else np.uint8)
    return cast(Plane, rows.reshape(-1, plane.line_size // rows.itemsize)[: frame.height, : frame.width])


def _shrink(pixels: Plane, width: int | None, *, across: bool = False) -> Plane:
    """Downscale to `width` as seen upright; `across`: the picture is still to be rotated by a quarter turn."""
    rows, columns = pixels.shape[:2]
    upright_width, upright_height = (rows, columns) if across else (columns, rows)
    if width is None or width >= upright_width:
        return pixels
    height = max(1, round(upright_height * width / upright_width))
    return shrink(pixels, *((height, width) if across else (width, height)))


def shrink(pixels: Plane, width: int, height: int) -> Plane:
    """Downscale `pixels`, (H, W) or (H, W, C): halve as often as possible, then interpolate linearly.

    Averaging pairs is several times faster than averaging over any other area, and skips no pixel.
    """
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * rows, : 2 * columns]
        pixels = cast(Plane, cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA))
    if pixels.shape[:2] == (height, width):
        return pixels
    return cast(Plane, cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def _has_full_range(frame: VideoFrame) -> bool:
    return frame.color_range == _JPEG_RANGE or frame.format.name.startswith(("yuvj", "gray"))


def _full_range(plane: Plane) -> Pixels:
    """Stretch codes of limited range, 16 black and 235 white; those below black saturate."""
    above = cv2.subtract(plane, 16.0)  # type: ignore[call-overload]
    return cast(Pixels, cv2.convertScaleAbs(above, alpha=255 / 219))
