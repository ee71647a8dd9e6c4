"""Decoding mask images, and reading them by the rules of `pipelines.masks.rules`."""

from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipelines.errors import BadInput, DamagedVideo, OverLimit
from pipelines.masks.rules import LOSSY_NOISE, Evidence, Rule, by_values, decide
from pipelines.video.pictures.picture import FORMATS, UNREADABLE
from pipelines.vision.types import Mask

_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")


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
            raise too_large(name, f"{image.width}x{image.height} pixels", max_pixels)
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1 and image.format != "MPO":  # Cameras add a preview to the picture.
            raise BadInput(
                f"The mask {name} holds {pictures} images in one file.",
                "Give a folder or a zip of images, a GIF or a video instead.",
            )
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except Image.DecompressionBombError as error:
        raise too_large(name, "far more pixels", max_pixels) from error
    except UNREADABLE as error:
        raise DamagedVideo(
            f"The mask {name} is damaged or not an image.", "Save it again, as PNG if possible."
        ) from error
    return image


def evidence(image: Image.Image) -> Evidence:
    """Return what `image` says about how its sequence is to be read."""
    alpha = _alpha(image)
    opacity = None if alpha is None else (float(alpha.min()), float(alpha.max()))
    if opacity and opacity[1] == 0:
        return Evidence(opacity, None)
    if image.mode == "P" and not _is_gray_scale(image):
        return Evidence(opacity, Rule("palette", 0) if image.getextrema() != (0, 0) else None)
    rule = by_values(_brightness(image), lossy=image.format in _LOSSY)
    return Evidence(opacity, rule, certain=rule is None or rule.threshold > 0)


def apply_rule(image: Image.Image, rule: Rule) -> Mask:
    """Return the mask `(H, W)` of `image` under `rule`; an image without that channel is interpreted on its own."""
    values = _values(image, rule)
    if values is None:
        rule = decide([evidence(image)])
        values = _values(image, rule)
    return np.asarray(values) > rule.threshold


def _values(image: Image.Image, rule: Rule) -> NDArray[Any] | None:
    if rule.kind == "transparency":
        return _alpha(image)
    if rule.kind == "palette":
        return np.asarray(image) if image.mode == "P" else None
    return _brightness(image)


def _alpha(image: Image.Image) -> NDArray[Any] | None:
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
    return len(grays) == len(used) > 0 and max(max(colour) for colour in grays) > LOSSY_NOISE


def too_large(name: str, size: str, max_pixels: int) -> OverLimit:
    """Return the error for a mask of more than `max_pixels`."""
    return OverLimit(
        f"The mask {name} has {size}; up to {max_pixels} are read for this video.",
        "Give masks of the size of the video.",
    )
