"""Stored samples and the R'G'B' signal that they stand for, of any depth, range, matrix and subsampling.

Signals are float32, 0 black and 1 nominal white, and are not clipped: limited range has room below and above. The
matrix coefficients are those of ITU-R BT.601, BT.709, BT.2020 and SMPTE 240M. Chroma that has half of the columns is
taken to lie on the even ones, chroma that has half of the rows between two of them: the default of MPEG-2, H.264 and
HEVC. 4:4:4 and RGB come back exactly, and so do the samples of subsampled chroma that `from_signal` is not asked for.
"""

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.video.colour.proxy import Deep
from pipelines.video.colour.tags import Tags, hdr_kind
from pipelines.vision.types import Floats

Plane = NDArray[np.uint8] | NDArray[np.uint16]

_RED_BLUE_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "bt2020nc": (0.2627, 0.0593),
    "bt2020c": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}
"""Weights of red and blue in luma, by ffmpeg's names. Constant luminance is treated as the usual BT.2020."""
_BT601 = (0.299, 0.114)
"""Those of any other matrix, and of streams without a tag, as decoders assume."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Decoded planes of one picture, in the low `bits` of uint8 or uint16: Y' Cb Cr, or R' G' B' if `rgb`, or Y' alone.

    The size of the chroma planes tells how they are subsampled, rounded up at odd sizes.
    """

    channels: tuple[Plane, ...]
    bits: int
    rgb: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.channels[0].shape
        return rows, columns

    @property
    def chroma_steps(self) -> tuple[int, int]:
        """Rows and columns of the picture per sample of chroma."""
        rows, columns = self.size
        down, across = self.channels[-1].shape
        return (2 if down < rows else 1), (2 if across < columns else 1)


def weights(tags: Tags) -> tuple[float, float, float]:
    """Return the weights of red, green and blue in luma; HDR without a matrix has that of BT.2020."""
    default = _RED_BLUE_WEIGHTS["bt2020nc"] if hdr_kind(tags) and tags.matrix is None else _BT601
    red, blue = _RED_BLUE_WEIGHTS.get(tags.matrix or "", default)
    return red, 1 - red - blue, blue


def to_signal(samples: Samples, tags: Tags) -> Floats:
    """Return the R'G'B' signal (H, W, 3) float32 of `samples`."""
    planes = cv2.merge([plane.astype(np.float32) for plane in _full_size(samples)])
    return cast(Floats, cv2.transform(planes, _raised_to_rgb(samples, tags).astype(np.float32)))


def rgb16(samples: Samples, tags: Tags) -> Deep:
    """Return R'G'B' (H, W, 3) uint16, full range, clipped: what `proxy_rgb` takes."""
    matrix = _raised_to_rgb(samples, tags) * 65535
    return cast(Deep, cv2.transform(cv2.merge(_full_size(samples)), matrix.astype(np.float32)))


def from_signal(signal: Floats, like: Samples, tags: Tags) -> tuple[Floats, ...]:
    """Return the channels of `like`, in codes that are not rounded, for an R'G'B' signal (H, W, 3).

    Chroma is averaged where it is subsampled: one, two, one across, centred on its column, and two rows. `dither` or
    `np.rint` makes samples of them.
    """
    matrix = _to_rgb(like, tags)
    inverse = np.linalg.inv(matrix[:, :3])
    whole = np.hstack([inverse, -inverse @ matrix[:, 3:]])
    channels = [
        np.asarray(plane, np.float32) for plane in cv2.split(cv2.transform(signal, whole.astype(np.float32)))
    ]
    if len(like.channels) == 1:
        return (channels[0],)
    down, across = (1, 1) if like.rgb else like.chroma_steps
    return (channels[0], *(reduced_chroma(plane, down, across) for plane in channels[1:]))


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


def _full_size(samples: Samples) -> list[Deep]:
    """Return three planes of the picture's size, in the high bits of 16; grey three times.

    Chroma is enlarged there, where rounding is not seen.
    """
    shift = np.uint16(16 - samples.bits)
    first, *others = (plane.astype(np.uint16) << shift for plane in samples.channels)
    if not others:
        return [first] * 3
    if samples.rgb or samples.chroma_steps == (1, 1):
        return [first, *others]
    return [first, *(_enlarged(plane, samples) for plane in others)]


def _enlarged(plane: Deep, samples: Samples) -> Deep:
    rows, columns = samples.size
    down, across = samples.chroma_steps
    if down == 2:
        size = plane.shape[1], 2 * len(plane)
        plane = cast(Deep, cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))[:rows]
    if across == 2:
        wide = np.empty((len(plane), 2 * plane.shape[1]), plane.dtype)
        wide[:, ::2] = plane
        wide[:, 1:-1:2] = cv2.addWeighted(plane[:, :-1], 0.5, plane[:, 1:], 0.5, 0)
        wide[:, -1] = plane[:, -1]
        plane = wide[:, :columns]
    return plane


def _raised_to_rgb(samples: Samples, tags: Tags) -> NDArray[np.float64]:
    """Return the matrix (3, 4) from codes in the high bits of 16 to the signal."""
    matrix = _to_rgb(samples, tags)
    return np.hstack([matrix[:, :3] / (1 << (16 - samples.bits)), matrix[:, 3:]])


def _to_rgb(samples: Samples, tags: Tags) -> NDArray[np.float64]:
    """Return the matrix (3, 4) from codes to the signal."""
    bits, top = samples.bits, float(2**samples.bits - 1)
    grey = len(samples.channels) == 1
    full = tags.range == "pc" or (tags.range is None and samples.rgb) or grey
    step = 2.0 ** (bits - 8)
    black, span, chroma_span = (0.0, top, top) if full else (16 * step, 219 * step, 224 * step)
    if samples.rgb or grey:
        return np.hstack([np.eye(3) / span, np.full((3, 1), -black / span)])
    red, green, blue = weights(tags)
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
