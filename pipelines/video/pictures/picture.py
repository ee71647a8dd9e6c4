"""Open one picture file, whatever its name says: its kind, its size, and its colours in sRGB.

Pillow reads all kinds but HEIC, which the bundled ffmpeg decodes: it assembles the tiles of a phone's picture.
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

from pipelines.errors import NotAVideo, UnsupportedVideo
from pipelines.video.files import ffmpeg
from pipelines.video.files.demuxing import open_input
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
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis")
_HEIF_BRANDS = (*_HEIC_BRANDS, b"mif1")
_HEIC_SECONDS = 60.0
"""Time limit for one HEIC picture; 48 megapixels take a few seconds."""
_BAND_ROWS = 64
"""Rows that are laid over a background at once, so that a large picture needs no second copy in wider numbers."""
_PNG_OUTPUT = ("-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-compression_level", "1", "-")
_PNG_HEAD_BYTES = 24
"""Signature and the start of the header, up to width and height."""
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


def is_heic(path: Path) -> bool:
    """Whether the file at `path` is a HEIC picture (HEVC in HEIF). Raises OSError."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    return not brands.isdisjoint(_HEIC_BRANDS)


@contextmanager
def open_picture(path: Path, at_least: Size | None = None) -> Iterator[Image.Image]:
    """Open the picture at `path`, without decoding it unless it is HEIC, which may be reduced to `at_least`.

    Raises what is in `UNREADABLE`, DecompressionBombError, and UnsupportedVideo for HEIC that ffmpeg cannot decode.
    """
    if is_heic(path):
        with Image.open(io.BytesIO(_heic_as_png(path, at_least)), formats=("PNG",)) as image:
            if profile := _heic_profile(path):
                image.info["icc_profile"] = profile
            yield image
    else:
        with Image.open(path, formats=FORMATS) as image:
            yield image


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of the picture at `path`, upright. Raises as `open_picture` does."""
    if is_heic(path):
        width, height = struct.unpack(">II", _heic_as_png(path, most_bytes=_PNG_HEAD_BYTES)[16:24])
        return width, height
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


def _heic_as_png(path: Path, at_least: Size | None = None, most_bytes: int = -1) -> bytes:
    """Decode the HEIC picture at `path` to a PNG, upright; `most_bytes` of it. Raises UnsupportedVideo.

    It is reduced to no less than `at_least`.
    """
    scale = "scale='min(iw,{})':'min(ih,{})':force_original_aspect_ratio=increase:flags=area"
    png = [*(("-vf", scale.format(*at_least)) if at_least else ()), *_PNG_OUTPUT]
    child = ffmpeg.Child([*ffmpeg.source(path), *png], feeds=False)
    try:
        picture = child.pipe.read(most_bytes)
        if len(picture) == most_bytes:
            return picture
        status, errors = child.finish(_HEIC_SECONDS)
    finally:
        child.kill()
    if status or not picture:
        why = errors[0] if errors else f"ffmpeg ended with {status}"
        raise UnsupportedVideo(
            f"{path} is a HEIC picture that cannot be decoded ({why}).", "Convert it to JPEG or PNG first."
        )
    return picture


def _heic_profile(path: Path) -> bytes | None:
    """Return the first ICC profile of a HEIC file: ffmpeg drops it when it assembles tiles."""
    with path.open("rb") as file:
        data = file.read(
            2**20
        )  # The boxes that describe the picture come first; phones write a few kilobytes.
    start, end = 0, len(data)
    # `meta` has a version and flags before its boxes.
    for kind, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        inside = next((span for name, *span in _boxes(data, start, end) if name == kind), None)
        if inside is None:
            return None
        start, end = inside[0] + skipped, inside[1]
    colours = (data[first:last] for name, first, last in _boxes(data, start, end) if name == b"colr")
    return next((colour[4:] for colour in colours if colour[:4] in (b"prof", b"rICC")), None)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the content of each ISO box between `at` and `end`."""
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > end:
            return
        yield data[at + 4 : at + 8], at + 8, at + size
        at += size


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
