"""Stored samples and the R'G'B' signal that they stand for, of any depth, range, matrix and subsampling.

Signals are float32, 0 black and 1 nominal white, and are not clipped: limited range has room below and above. The
matrix coefficients are those of ITU-R BT.601, BT.709, BT.2020 and SMPTE 240M. Chroma that has half of the columns is
taken to lie on the even ones, chroma that has half of the rows between two of them: the default of MPEG-2, H.264 and
HEVC. Codes of 4:4:4 and RGB come back to less than half a code.
"""

from collections.abc import Generator
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.video.colour.proxy import is_plain, luma_of_codes, proxy_luma, proxy_rgb
from pipelines.video.colour.tags import luma_weights
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.types import Deep, Floats, Pixels, Size

_TOP = 65535
_STRIP_ROWS = 48
"""Rows converted at a time, so that what lies between the steps stays in the processor's cache: twice as fast as whole
frames of 1080 rows."""


def to_signal(planes: Planes, tags: ColourTags) -> Floats:
    """Return the R'G'B' signal (H, W, 3) float32 of `planes`."""
    codes = cv2.merge([plane.astype(np.float32) for plane in full_size(planes)])
    return cast(Floats, cv2.transform(codes, raised_to_rgb(planes.layout, tags).astype(np.float32)))


def rgb16(planes: Planes, tags: ColourTags) -> Deep:
    """Return R'G'B' (H, W, 3) uint16, full range, clipped: what `proxy_rgb` takes."""
    return np.concatenate([strip for _, strip in rgb16_strips(planes, tags)])


def rgb16_strips(planes: Planes, tags: ColourTags) -> Generator[tuple[int, Deep]]:
    """Yield the same in strips (h, W, 3), each with its first row."""
    matrix = (raised_to_rgb(planes.layout, tags) * _TOP).astype(np.float32)
    for row, strip in _strips(planes):
        yield row, cast(Deep, cv2.transform(strip, matrix))


def sdr_rgb(planes: Planes, tags: ColourTags) -> Pixels:
    """Return the proxy (H, W, 3) uint8 of `planes`; see `proxy_rgb`."""
    if is_plain(tags):
        return _plain_rgb(planes, tags)
    return np.concatenate([proxy_rgb(strip, tags) for _, strip in rgb16_strips(planes, tags)])


def _plain_rgb(planes: Planes, tags: ColourTags) -> Pixels:
    """Return what `proxy_rgb` gives of signals that are shown as they are, in less time."""
    matrix = (raised_to_rgb(planes.layout, tags) * _TOP).astype(np.float32)
    out = np.empty((planes.height, planes.width, 3), np.uint8)
    codes = np.empty((_STRIP_ROWS, planes.width, 3), np.uint16)
    for row, strip in _strips(planes):
        cv2.transform(strip, matrix, dst=codes[: len(strip)])
        cv2.convertScaleAbs(codes[: len(strip)], dst=out[row : row + _STRIP_ROWS], alpha=255 / _TOP)
    return out


def _strips(planes: Planes) -> Generator[tuple[int, Deep]]:
    """Yield samples of the picture's size in strips (h, W, 3), in the high bits of 16, each with its first row.

    A strip is valid until the next one is asked for: to get new memory for each takes as long as all the rest.
    """
    sources = [_Enlarged(plane, planes, _STRIP_ROWS) for plane in planes.colours]
    whole = np.empty((_STRIP_ROWS, planes.width, 3), np.uint16)
    for row in range(0, planes.height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, planes.height - row)
        parts = [source.rows(row, rows) for source in sources]
        yield row, cast(Deep, cv2.merge(parts if len(parts) == 3 else parts * 3, dst=whole[:rows]))


def sdr_luma(planes: Planes, tags: ColourTags) -> Pixels:
    """Return luma (H, W) uint8 for measurements, in codes of limited range; see `proxy_luma`."""
    if planes.subsampling == "rgb":
        weights = np.array([luma_weights(tags)], np.float32)
        return proxy_luma(cast(Deep, cv2.transform(rgb16(planes, tags), weights)), tags)
    return luma_of_codes(planes.y, planes.bits, tags, full_range=full_range(planes.layout, tags))


def from_signal(signal: Floats, layout: SampleLayout, tags: ColourTags) -> tuple[Floats, ...]:
    """Return the planes of `layout`, in codes that are not rounded, for an R'G'B' signal (H, W, 3).

    Chroma is averaged where it is subsampled: one, two, one across, centred on its column, and two rows. `dither` or
    `np.rint` makes samples of them.
    """
    if layout.subsampling == "gray":
        luma = cv2.transform(signal, np.array([luma_weights(tags)], np.float32))
        signal = cast(Floats, cv2.merge([luma] * 3))
    matrix = _to_rgb(layout, tags)
    inverse = np.linalg.inv(matrix[:, :3])
    whole = np.hstack([inverse, -inverse @ matrix[:, 3:]]).astype(np.float32)
    first, *others = (np.asarray(plane, np.float32) for plane in cv2.split(cv2.transform(signal, whole)))
    down, across = chroma_steps(layout)
    if layout.subsampling == "gray":
        return (first,)
    return (first, *(reduced_chroma(plane, down, across) for plane in others))


def chroma_steps(layout: SampleLayout) -> tuple[int, int]:
    """Return the rows and columns of the picture per sample of chroma."""
    return (2 if layout.subsampling == "420" else 1), (2 if layout.subsampling in ("420", "422") else 1)


def reduced_chroma(plane: Floats, down: int, across: int) -> Floats:
    """Average a plane to every second column, centred on it, and between two rows."""
    if across == 2:
        wide = cv2.copyMakeBorder(plane, 0, 0, 1, 1, cv2.BORDER_REPLICATE)
        columns = plane.shape[1]
        left, middle, right = (wide[:, start : start + columns : 2] for start in range(3))
        plane = cast(Floats, ((left + 2 * middle + right) / 4).astype(np.float32))
    if down == 2:
        upper = plane[::2]
        lower = plane[1::2] if len(plane) % 2 == 0 else np.vstack([plane[1::2], plane[-1:]])
        plane = cast(Floats, ((upper + lower) / 2).astype(np.float32))
    return np.ascontiguousarray(plane)


def of_size(planes: Planes, size: Size) -> list[Deep]:
    """Return three planes as `full_size` does, reduced to `size` by averaging; all of them, if it is the picture's."""
    if size == (planes.width, planes.height):
        return full_size(planes)
    across, down = planes.width / size[0], planes.height / size[1]
    if planes.subsampling != "420" or max(across, down) > 2:
        return [_reduced(plane, size) for plane in full_size(planes)]
    # Chroma is not reduced but enlarged, to where it lies: in even columns, between rows.
    place = np.array([[across / 2, 0, (across - 1) / 4], [0, down / 2, (down - 2) / 4]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    luma, *chroma = (_raised(plane, planes.bits) for plane in planes.colours)
    moved = (
        cv2.warpAffine(plane, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for plane in chroma
    )
    return [_reduced(luma, size), *(cast(Deep, plane) for plane in moved)]


def _reduced(plane: Deep, size: Size) -> Deep:
    return cast(Deep, cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _raised(plane: Plane, bits: int) -> Deep:
    """Return samples in the high bits of 16."""
    return plane.astype(np.uint16) << np.uint16(16 - bits)


def full_size(planes: Planes) -> list[Deep]:
    """Return three planes of the picture's size, in the high bits of 16; grey three times.

    Chroma is enlarged there, where rounding is not seen.
    """
    height = planes.height
    whole = [_Enlarged(plane, planes, height).rows(0, height) for plane in planes.colours]
    return whole if len(whole) == 3 else whole * 3


class _Enlarged:
    """A plane in the picture's size, some rows at a time, in the high bits of 16. Holds at most `most` of them."""

    def __init__(self, plane: Plane, planes: Planes, most: int) -> None:
        whole = plane.shape == planes.y.shape
        self._down, self._across = (1, 1) if whole else chroma_steps(planes.layout)
        self._plane, self._width = plane, planes.width
        self._shift = np.uint16(16 - planes.bits)
        columns = plane.shape[1]
        # One row of chroma above and below them, at most.
        self._raised = np.empty((most // self._down + 3, columns), np.uint16)
        self._tall = np.empty((self._down * len(self._raised), columns), np.uint16)
        self._between = np.empty((most, columns), np.uint16)
        self._wide = np.empty((most, columns, 2), np.uint16)

    def rows(self, first: int, count: int) -> Deep:
        """Return rows `first` to `first + count`, valid until others are asked for."""
        down, margin = self._down, self._down - 1
        start, stop = max(0, first // down - margin), -(-(first + count) // down) + margin
        source = self._plane[start:stop]
        found = cast(Deep, np.left_shift(source, self._shift, out=self._raised[: len(source)]))
        if down == 2:
            size, into = (found.shape[1], 2 * len(found)), self._tall[: 2 * len(found)]
            found = cast(Deep, cv2.resize(found, size, dst=into, interpolation=cv2.INTER_LINEAR))
        found = found[first - start * down :][:count]
        return self._widened(found)[:, : self._width] if self._across == 2 else found

    def _widened(self, plane: Deep) -> Deep:
        """Put the mean of its neighbours between two columns."""
        between, wide = self._between[: len(plane)], self._wide[: len(plane)]
        if plane.shape[1] > 1:
            cv2.addWeighted(plane[:, :-1], 0.5, plane[:, 1:], 0.5, 0, dst=between[:, :-1])
        between[:, -1] = plane[:, -1]
        return cast(Deep, cv2.merge([plane, between], dst=wide)).reshape(len(plane), -1)


def raised_to_rgb(layout: SampleLayout, tags: ColourTags) -> NDArray[np.float64]:
    """Return the matrix (3, 4) from samples in the high bits of 16 to the signal."""
    matrix = _to_rgb(layout, tags)
    return np.hstack([matrix[:, :3] / (1 << (16 - layout.bits)), matrix[:, 3:]])


def full_range(layout: SampleLayout, tags: ColourTags) -> bool:
    """Tell whether black and white are the lowest and highest code, as they always are in RGB and grey."""
    return tags.range == "pc" or layout.subsampling in ("rgb", "gray")


def _to_rgb(layout: SampleLayout, tags: ColourTags) -> NDArray[np.float64]:
    """Return the matrix (3, 4) from codes to the signal."""
    step, top = 2.0 ** (layout.bits - 8), 2.0**layout.bits - 1
    yuv = layout.subsampling not in ("rgb", "gray")
    full = full_range(layout, tags)
    black, span, chroma_span = (0.0, top, top) if full else (16 * step, 219 * step, 224 * step)
    if not yuv:
        return np.hstack([np.eye(3) / span, np.full((3, 1), -black / span)])
    red, green, blue = luma_weights(tags)
    colour = np.array(
        [
            [1, 0, 2 - 2 * red],
            [1, -(2 - 2 * blue) * blue / green, -(2 - 2 * red) * red / green],
            [1, 2 - 2 * blue, 0],
        ]
    )
    matrix = colour / [span, chroma_span, chroma_span]
    offset = -matrix @ [black, 128 * step, 128 * step]
    return np.hstack([matrix, offset[:, None]])
