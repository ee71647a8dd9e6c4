"""Decoding mask images, and reading them by the rules of `pipelines.masks.rules`.

An image is converted strip by strip, and only the pixels that the video needs are kept: beside the decoder's picture
there is never a second one of its size.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import BadInput, DamagedVideo, OverLimit
from pipelines.masks.rules import LOSSY_NOISE, Evidence, Rule, by_values, decide
from pipelines.masks.target_size import TargetSize
from pipelines.video.pictures.heic import is_heic
from pipelines.video.pictures.picture import (
    EXIF_ORIENTATION,
    FORMATS,
    TURNED_ORIENTATIONS,
    UNREADABLE,
    open_picture,
    size_of,
)
from pipelines.video.pictures.picture_pixels import iter_strips, upright
from pipelines.vision.types import Mask, Size

_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")
_MIRRORED_ROWS, _MIRRORED_COLUMNS = (3, 4, 7, 8), (2, 3, 6, 7)
"""EXIF orientations whose upright picture has its rows, or its columns, in the opposite order."""


@contextmanager
def open_image(file: Path | IO[bytes], name: str, max_pixels: int) -> Generator[Image.Image]:
    """Open and decode the image in `file`, as it is stored; `name` is used in error messages.

    Raises:
        DamagedVideo: the image cannot be read.
        OverLimit: it has more than `max_pixels`; they are not decoded then.
        BadInput: the file holds several images.
        UnsupportedVideo: a HEIC picture that ffmpeg cannot decode.
    """
    with ExitStack() as stack:
        try:
            image = _open(file, stack, partial(_check_size, name=name, max_pixels=max_pixels))
            pictures = getattr(image, "n_frames", 1)
            if pictures > 1 and image.format != "MPO":  # Cameras add a preview to the picture.
                raise BadInput(
                    f"The mask {name} holds {pictures} images in one file.",
                    "Give a folder or a zip of images, a GIF or a video instead.",
                    "mask.several_images",
                    name=name,
                    count=pictures,
                )
            image.load()
        except Image.DecompressionBombError as error:
            raise too_large(name, "far more pixels", max_pixels) from error
        except UNREADABLE as error:
            raise DamagedVideo(
                f"The mask {name} is damaged or not an image.",
                "Save it again, as PNG if possible.",
                "mask.damaged",
                name=name,
            ) from error
        yield image


def _open(file: Path | IO[bytes], stack: ExitStack, check: "partial[None]") -> Image.Image:
    image: Image.Image
    if not isinstance(file, Path):
        image = stack.enter_context(Image.open(file, formats=FORMATS))
    else:
        if is_heic(file):
            check(size_of(file))  # It is decoded when it is opened.
        image = stack.enter_context(open_picture(file))
    check(image.size)
    return image


def _check_size(size: Size, name: str, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise too_large(name, f"{size[0]}x{size[1]} pixels", max_pixels)


def evidence(image: Image.Image) -> Evidence:
    """Return what `image` says about how its sequence is to be read."""
    opacity = _opacity_range(image)
    if opacity and opacity[1] == 0:
        return Evidence(opacity, None)
    if image.mode == "P" and not _is_gray_scale(image):
        return Evidence(opacity, Rule("palette", 0) if image.getextrema() != (0, 0) else None)
    rule = by_values(partial(_brightness_of_strips, image), lossy=image.format in _LOSSY)
    return Evidence(opacity, rule, certain=rule is None or rule.threshold > 0)


def read_mask(image: Image.Image, rule: Rule, target: TargetSize) -> Mask:
    """Return the mask of `image` under `rule`, upright and at the size of the video.

    An image without the rule's channel is interpreted on its own. Raises BadInput for another aspect ratio.
    """
    if not _has_channel(image, rule):
        rule = decide([evidence(image)])
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    turned = orientation in TURNED_ORIENTATIONS
    width, height = image.size[::-1] if turned else image.size
    target.check(width, height)
    rows, columns = target.nearest(width, height)
    # The same pixels as they are stored: `upright` turns and mirrors them afterwards.
    if orientation in _MIRRORED_ROWS:
        rows = (height - 1 - rows)[::-1]
    if orientation in _MIRRORED_COLUMNS:
        columns = (width - 1 - columns)[::-1]
    if turned:
        rows, columns = columns, rows
    mask = np.empty((len(rows), len(columns)), np.bool_)
    for top, strip in iter_strips(image):
        first, last = np.searchsorted(rows, (top, top + strip.height))
        if first < last:
            values = _values(strip, rule)[rows[first:last] - top][:, columns]
            mask[first:last] = values > rule.threshold
    return upright(mask, orientation)


def _has_channel(image: Image.Image, rule: Rule) -> bool:
    if rule.kind == "transparency":
        return image.has_transparency_data
    return rule.kind != "palette" or image.mode == "P"


def _values(image: Image.Image, rule: Rule) -> NDArray[Any]:
    if rule.kind == "transparency":
        return _alpha(image)
    return np.asarray(image) if rule.kind == "palette" else _brightness(image)


def _opacity_range(image: Image.Image) -> tuple[float, float] | None:
    """Return the least and the greatest alpha; None without an alpha channel."""
    if not image.has_transparency_data:
        return None
    found = [(float(alpha.min()), float(alpha.max())) for alpha in map(_alpha, _strips(image))]
    return min(low for low, _ in found), max(high for _, high in found)


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    return (strip for _, strip in iter_strips(image))


def _alpha(image: Image.Image) -> NDArray[Any]:
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _brightness_of_strips(image: Image.Image) -> Iterator[NDArray[Any]]:
    return map(_brightness, _strips(image))


def _brightness(image: Image.Image) -> NDArray[Any]:
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        # As stored: `convert("L")` would clip 16-bit values.
        return np.asarray(image)
    return cast(NDArray[Any], np.asarray(image.convert("RGB")).max(axis=2))


def _is_gray_scale(image: Image.Image) -> bool:
    """Whether the colours in use are greys that reach white: then they are shades, not object labels."""
    palette = image.getpalette("RGB") or []
    numbers = [cast(int, number) for _, number in image.getcolors(256) or ()]
    used = [palette[3 * number : 3 * number + 3] for number in numbers]
    grays = [colour for colour in used if len(set(colour)) == 1]
    return len(grays) == len(used) > 0 and max(max(colour) for colour in grays) > LOSSY_NOISE


def too_large(name: str, size: str, max_pixels: int) -> OverLimit:
    """Return the error for a mask of more than `max_pixels`."""
    return OverLimit(
        f"The mask {name} has {size}; up to {max_pixels} are read for this video.",
        "Give masks of the size of the video.",
        "mask.huge",
        name=name,
    )
