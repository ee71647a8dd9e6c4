"""Open one picture file, whatever its name says: its kind, its size, and its colours in sRGB.

Pillow reads all kinds but HEIC (`pipelines.video.pictures.heic`).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipelines.errors import NotAVideo
from pipelines.video.files.demuxing import open_input
from pipelines.video.pictures.heic import is_heic, read_heic, size_of_heic
from pipelines.vision.types import WHITE, Colour, Size

SUFFIXES = frozenset(
    [
        *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff"),
        *(".webp", ".avif", ".heic", ".heif", ".hif"),
    ]
)
"""Names of picture files. They choose the files of a folder; what a single file is, its content says."""
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "PPM", "GIF")
"""Formats by Pillow's names (JPEG includes MPO). Others are not tried: some start programs (EPS),
some accept any text."""
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError),
    *(NotImplementedError, struct.error, zlib.error),
)
"""What Pillow raises for broken files; each format in its own way."""

_ANIMATED_BY_PILLOW = ("WEBP", "AVIF")
"""Animations that PyAV's FFmpeg cannot decode; it reads GIF and APNG."""
_ANIMATED = ("GIF", "PNG", *_ANIMATED_BY_PILLOW)
_MOTION_JPEG_SUFFIXES = (".mjpeg", ".mjpg")
_BAND_ROWS = 64
"""Rows that are laid over a background at once, so that a large picture needs no second copy in wider numbers."""
EXIF_ORIENTATION = 0x0112
TURNED_ORIENTATIONS = (5, 6, 7, 8)
_SAME_COLOUR = 2
"""Largest difference of 255 between a profile and sRGB that is rounding: such pictures keep their bytes."""


@dataclass(frozen=True)
class PictureFile:
    """What the content of a picture file says: its format by Pillow's names (or HEIC), and how many frames it has."""

    format: str
    frames: int = 1

    @property
    def still(self) -> bool:
        """Whether it is one picture. Further pages of TIFF and MPO are no frames."""
        return self.frames == 1 or self.format not in _ANIMATED

    @property
    def by_pillow(self) -> bool:
        """Whether it is an animation that Pillow reads and PyAV does not."""
        return not self.still and self.format in _ANIMATED_BY_PILLOW


def identify(path: Path) -> PictureFile | None:
    """Find out by its content what picture the file at `path` is; None for anything else, such as a video."""
    try:
        if is_heic(path):
            return PictureFile("HEIC")
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "JPEG" and _is_motion_jpeg(path):
                return None
            return PictureFile(image.format or "", getattr(image, "n_frames", 1))
    except Image.DecompressionBombError:
        return PictureFile("")
    except UNREADABLE:
        return None


@contextmanager
def open_picture(path: Path, at_least: Size | None = None) -> Iterator[Image.Image]:
    """Open the picture at `path`, without decoding it unless it is HEIC, which may be reduced to `at_least`.

    Raises what is in `UNREADABLE`, DecompressionBombError, and UnsupportedVideo for HEIC that ffmpeg cannot decode.
    """
    if is_heic(path):
        with read_heic(path, at_least) as image:
            yield image
    else:
        with Image.open(path, formats=FORMATS) as image:
            yield image


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of the picture at `path`, upright. Raises as `open_picture` does."""
    if is_heic(path):
        return size_of_heic(path)
    with open_picture(path) as image:
        # Pillow gives the size of a TIFF upright already.
        turned = image.format != "TIFF" and image.getexif().get(EXIF_ORIENTATION) in TURNED_ORIENTATIONS
        return (image.height, image.width) if turned else (image.width, image.height)


def to_rgb(image: Image.Image, background: Colour = WHITE) -> NDArray[np.uint8]:
    """Return `image` as (H, W, 3) uint8 in sRGB; an embedded ICC profile is applied.

    Transparent parts are laid over `background`, so that colours which the file keeps there are never seen.
    """
    opacity, rgb = opacity_of(image), _colours(image)
    if opacity is not None:
        lay_over(rgb, opacity, background)
    return rgb


def lay_over(rgb: NDArray[np.uint8], opacity: NDArray[np.uint8], background: Colour) -> None:
    """Lay a picture `(H, W, 3)` of this opacity `(H, W)` over a background, in place."""
    behind = np.array(background, np.uint32)
    for top in range(0, len(rgb), _BAND_ROWS):
        band = slice(top, top + _BAND_ROWS)
        share = opacity[band, :, None].astype(np.uint32)
        rgb[band] = (rgb[band] * share + behind * (255 - share) + 127) // 255


def may_be_transparent(image: Image.Image) -> bool:
    """Whether the header of `image` speaks of transparency."""
    return image.has_transparency_data or "transparency" in image.info


def opacity_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the opacity of `image`, (H, W) uint8: its alpha, its palette's, or one colour's; None if opaque."""
    if not may_be_transparent(image):
        return None
    if image.mode.startswith("I"):
        opacity = np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8)
    else:
        opacity = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if opacity.min() == 255 else opacity


def _colours(image: Image.Image) -> NDArray[np.uint8]:
    """Return the stored colours of `image` in sRGB, whatever its opacity."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip instead of scaling.
        gray = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        gray_or_cmyk = {"L": "L", "LA": "L", "CMYK": "CMYK"}
        stored = image.convert(gray_or_cmyk.get(image.mode, "RGB"))
        if transform := _to_srgb(profile, stored.mode):
            return np.array(ImageCms.applyTransform(stored, transform))
    return np.array(image.convert("RGB"))


@lru_cache(maxsize=4)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from `profile` to sRGB; None where it changes nothing or does not fit the mode."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, *UNREADABLE):
        return None  # Damaged, or of another colour space than the pixels: viewers ignore it as well.
    if mode == "CMYK":
        return transform
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    colours = Image.fromarray(lattice).convert(mode)
    change = np.asarray(ImageCms.applyTransform(colours, transform)).astype(int) - np.asarray(
        colours.convert("RGB")
    )
    return transform if abs(change).max() > _SAME_COLOUR else None


def _is_motion_jpeg(path: Path) -> bool:
    """Whether a file that starts as a JPEG is a stream of them, which is a video."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in _MOTION_JPEG_SUFFIXES:
        return suffix in _MOTION_JPEG_SUFFIXES
    try:
        with open_input(path) as container:
            return container.format.name == "mjpeg"
    except NotAVideo:
        return False
