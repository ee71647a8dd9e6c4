"""Read the pixels of one picture, upright, in sRGB and no larger than they are needed, and say what that holds.

A JPEG is decoded at a half, a quarter or an eighth of its size. Other pictures have to be decoded whole; they are
converted and reduced strip by strip, so that beside the decoder's picture there is never a second one of its size.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memory.units import MIB
from pipelines.video.pictures.heic import has_alpha, is_heic
from pipelines.video.pictures.picture import (
    EXIF_ORIENTATION,
    TURNED_ORIENTATIONS,
    may_be_transparent,
    opacity_of,
    open_picture,
    to_rgb,
)
from pipelines.vision.types import WHITE, Colour, Pixels, Size

ScalarT = TypeVar("ScalarT", bound=np.generic)
_Convert = Callable[[Image.Image], Pixels]

STRIP_BYTES = 16 * MIB
"""What a strip holds while it is converted: 16 bytes per pixel, measured at 10 to 15."""
_STRIP_PIXELS = 2**20
"""Pixels that are converted at once."""
_JPEG = ("JPEG", "MPO")
_CORE_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes that Pillow holds per pixel, by mode; 4 in all others, also RGB."""
_MORE_PIXEL_BYTES = {"WEBP": 12, "AVIF": 7, "TIFF": 2, "GIF": 1}
"""Bytes per pixel that decoders hold beside Pillow's picture: libwebp two canvases and a copy, libavif planes and a
copy, libtiff its strips."""
_HEIC_PIXEL_BYTES = 14
"""Bytes per pixel of the ffmpeg that decodes HEIC: tiles, the assembled picture, and its conversion."""
_HEIC_DECODED_BYTES, _HEIC_ALPHA_BYTES = 7, 6
"""Bytes per pixel of the decoded picture and its PNG, and of its opacity and the picture with both; before reducing,
a picture may be twice as wide and high as what is needed."""


def read_rgb(path: Path, at_least: Size | None = None, background: Colour = WHITE) -> Pixels:
    """Return the picture at `path` as (H, W, 3) uint8, upright and in sRGB. Holds `decoding_bytes`.

    Transparent parts show `background`. It is reduced by a whole number, but not below `at_least` (width, height).
    Raises as `open_picture` does.
    """
    pixels, orientation = _decoded(path, at_least, partial(to_rgb, background=background))
    return upright(pixels, orientation)


def read_opacity(path: Path, at_least: Size | None = None) -> Pixels | None:
    """Return the opacity of the picture at `path` as (H, W) uint8, upright, and reduced as by `read_rgb`.

    None where it is opaque throughout. Raises as `open_picture` does.
    """
    with open_picture(path) as image:
        if not may_be_transparent(image):
            return None
    pixels, orientation = _decoded(path, at_least, _opacity)
    return None if pixels.min() == 255 else upright(pixels, orientation)


def is_transparent(path: Path) -> bool:
    """Whether any pixel of the picture at `path` is transparent. Holds the decoder's picture and one strip.

    Raises as `open_picture` does.
    """
    with open_picture(path) as image:
        return may_be_transparent(image) and any(
            opacity_of(strip) is not None for _, strip in iter_strips(image)
        )


def _opacity(image: Image.Image) -> Pixels:
    opacity = opacity_of(image)
    return np.full(image.size[::-1], 255, np.uint8) if opacity is None else opacity


def _decoded(path: Path, at_least: Size | None, convert: _Convert) -> tuple[Pixels, int]:
    """Decode, reduce and convert; returns the EXIF orientation too. Pillow's picture ends with this function."""
    with open_picture(path, at_least) as image:
        stored = _as_stored(image, at_least)
        if stored and image.format in _JPEG:
            image.draft(image.mode, stored)
        image.load()
        # A TIFF is upright once it is loaded.
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
        return _in_strips(image, _factor(image.size, stored), convert), orientation


def decoding_bytes(path: Path, size: Size, at_least: Size | None = None) -> int:
    """Estimate what `read_rgb` holds at its peak, in all processes; reads only the header.

    `size` is the picture's, upright. Raises what is in `UNREADABLE`.
    """
    whole = size[0] * size[1]
    if is_heic(path):
        read = whole // _factor(size, at_least) ** 2
        decoded_bytes = _HEIC_DECODED_BYTES + (_HEIC_ALPHA_BYTES if has_alpha(path) else 0)
        return _HEIC_PIXEL_BYTES * whole + 4 * decoded_bytes * read + STRIP_BYTES
    with open_picture(path) as image:
        stored = _as_stored(image, at_least)
        turned = image.getexif().get(EXIF_ORIENTATION, 1) != 1
        decoder = decoder_bytes(image)
        if stored and image.format in _JPEG:
            image.draft(image.mode, stored)
        core = core_bytes(image)
        result = 3 * image.width * image.height // _factor(image.size, stored) ** 2
    return max(core + decoder, core + result + STRIP_BYTES, (2 if turned else 1) * result)


def core_bytes(image: Image.Image) -> int:
    """Return what Pillow holds of `image` when it is decoded; a TIFF is turned upright by a copy."""
    copies = 2 if image.format == "TIFF" and image.getexif().get(EXIF_ORIENTATION, 1) != 1 else 1
    return copies * _CORE_PIXEL_BYTES.get(image.mode, 4) * image.width * image.height


def decoder_bytes(image: Image.Image) -> int:
    """Estimate what the decoder of `image`, which is not yet decoded, holds beside Pillow's picture."""
    if image.format in _JPEG:
        return _coefficient_bytes(image)
    if image.info.get("compression") == "raw":
        return 0
    return _MORE_PIXEL_BYTES.get(image.format or "", 0) * image.width * image.height


def _as_stored(image: Image.Image, at_least: Size | None) -> Size | None:
    """Return `at_least` as width and height of the picture as it is stored."""
    if at_least is None:
        return None
    turned = image.format != "TIFF" and image.getexif().get(EXIF_ORIENTATION) in TURNED_ORIENTATIONS
    return (at_least[1], at_least[0]) if turned else at_least


def _factor(size: Size, at_least: Size | None) -> int:
    """Return the largest whole number by which `size` can be divided without falling below `at_least`."""
    if at_least is None:
        return 1
    return max(1, min(size[0] // max(1, at_least[0]), size[1] // max(1, at_least[1])))


def _in_strips(image: Image.Image, factor: int, convert: _Convert) -> Pixels:
    """Convert `image` and average squares of `factor` pixels, some rows at a time."""
    width, height = image.size
    channels = convert(image.crop((0, 0, 1, 1))).shape[2:]
    pixels = np.empty((-(-height // factor), -(-width // factor), *channels), np.uint8)
    for top, part in iter_strips(image, factor):
        strip = convert(part)
        if factor > 1:
            strip = np.asarray(Image.fromarray(strip).reduce(factor))
        pixels[top // factor : top // factor + strip.shape[0]] = strip
    return pixels


def iter_strips(image: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield the strips of `image` from the top, each with the number of its first row.

    Their heights are multiples of `factor`, but for the last. What is converted of one holds up to `STRIP_BYTES`.
    """
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def upright(pixels: NDArray[ScalarT], orientation: int) -> NDArray[ScalarT]:
    """Turn and mirror `pixels` as an EXIF orientation says."""
    if orientation in TURNED_ORIENTATIONS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _coefficient_bytes(image: Image.Image) -> int:
    """Return what a progressive JPEG keeps of all scans: two bytes per coefficient."""
    layers = getattr(image, "layer", ())
    if not (image.info.get("progressive") or image.info.get("progression")) or not layers:
        return 0
    across, down = (max(layer[axis] for layer in layers) for axis in (1, 2))
    share = sum(layer[1] * layer[2] for layer in layers) / (across * down)
    return int(2 * share * image.width * image.height)
