"""Decoding mask images: deciding which pixel values mean "masked", once per sequence.

Masks come as black and white, as 0 and 1, as palette indices or as painted transparency, in 1, 8 or 16 bits. A single
image is interpreted by its own values, a sequence by its first image that marks anything.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipelines.errors import BadInput, DamagedVideo, OverLimit
from pipelines.video.images import UNREADABLE
from pipelines.vision.types import Mask

Channel = Literal["index", "alpha", "brightness"]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")

_WHITES = (1, 255, 65535)
"""What white may be: in 0 and 1, in 8 bits, in 16 bits."""
_LOSSY = ("JPEG", "WEBP")
_LOSSY_NOISE = 127
"""In lossy formats, black may be as bright as this around edges: below one half of white nothing is marked."""


@dataclass(frozen=True)
class Rule:
    """A rule that marks pixels whose `channel` exceeds half of `white`."""

    channel: Channel
    white: float


def open_image(file: Path | IO[bytes], name: str, max_pixels: int) -> Image.Image:
    """Decode the image in `file`, rotated as its EXIF data says; `name` is used in error messages.

    Raises:
        DamagedVideo: the image cannot be read.
        OverLimit: it has more than `max_pixels`; they are not decoded then.
        BadInput: the file holds several images.
    """
    try:
        image = Image.open(file, formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise _too_large(name, f"{image.width}x{image.height} pixels", max_pixels)
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1:
            raise BadInput(
                f"The mask {name} holds {pictures} images in one file.",
                "Give a folder or a zip of images, a GIF or a video instead.",
            )
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except Image.DecompressionBombError as error:
        raise _too_large(name, "far more pixels", max_pixels) from error
    except UNREADABLE as error:
        raise DamagedVideo(
            f"The mask {name} is damaged or not an image.", "Save it again, as PNG if possible."
        ) from error
    return image


def find_rule(image: Image.Image) -> Rule | None:
    """Decide what marks pixels in `image`; None if nothing is marked.

    Transparency if it varies; else the palette index, unless the palette is a plain grey scale; else the brightest of
    red, green and blue: above one half of white, or above 0 where nothing exceeds 1.
    """
    alpha = _channel(image, "alpha")
    if alpha is not None:
        low, high = float(alpha.min()), float(alpha.max())
        if low < high:
            return Rule("alpha", high)
        if high == 0:
            return None
    if image.mode == "P" and not _is_gray_scale(image):
        return Rule("index", 1) if image.getextrema() != (0, 0) else None
    top = float(_brightness(image).max())
    if top <= (_LOSSY_NOISE if image.format in _LOSSY else 0):
        return None
    return Rule("brightness", next((white for white in _WHITES if top <= white), top))


def apply_rule(image: Image.Image, rule: Rule) -> Mask:
    """Return the mask `(H, W)` of `image` under `rule`; an image without that channel is interpreted on its own."""
    values = _channel(image, rule.channel)
    if values is None:
        rule = find_rule(image) or Rule("brightness", 255)
        values = _channel(image, rule.channel)
    return np.asarray(values) > rule.white / 2


def _channel(image: Image.Image, channel: Channel) -> NDArray[Any] | None:
    if channel == "brightness":
        return _brightness(image)
    if channel == "index":
        return np.asarray(image) if image.mode == "P" else None
    if not image.has_transparency_data:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _brightness(image: Image.Image) -> NDArray[Any]:
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        # As stored: `convert("L")` would clip 16-bit values.
        return np.asarray(image)
    return cast(NDArray[Any], np.asarray(image.convert("RGB")).max(axis=2))


def _is_gray_scale(image: Image.Image) -> bool:
    """Whether the colours in use are greys that reach white: then they are shades, not object labels."""
    used = [colour for _, colour in image.convert("RGB").getcolors(256) or ()]
    grays = [colour for colour in used if isinstance(colour, tuple) and len(set(colour)) == 1]
    return len(grays) == len(used) > 0 and max(max(colour) for colour in grays) > _LOSSY_NOISE


def _too_large(name: str, size: str, max_pixels: int) -> OverLimit:
    return OverLimit(
        f"The mask {name} has {size}; up to {max_pixels} are read for this video.",
        "Give masks of the size of the video.",
    )
