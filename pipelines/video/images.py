"""Folders of images and single pictures as videos: natural order, 25 frames per second."""

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipelines.errors import DamagedVideo, NotAVideo, UnsupportedVideo
from pipelines.storage.special_files import reject_special
from pipelines.storage.video_folders import natural_key
from pipelines.video.info import VideoInfo
from pipelines.video.timeline import constant

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
FRAME_RATE = Fraction(25)

UNREADABLE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError),
    *(NotImplementedError, struct.error, zlib.error),
)
"""What Pillow raises for broken files; each format in its own way."""

_EXIF_ORIENTATION = 0x0112
_TURNED_ORIENTATIONS = (5, 6, 7, 8)


def list_images(folder: Path) -> list[Path]:
    """List the images of `folder` in natural order, without hidden files. Raises NotAVideo where one is no file."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    for path in found:
        reject_special(path)
    return sorted(found, key=lambda path: natural_key(path.name))


def probe_images(folder: Path, *, salvage: bool) -> VideoInfo:
    """Describe the images of `folder` as a video; reads only their headers.

    Raises:
        NotAVideo: there is no image in the folder.
        UnsupportedVideo: the images differ in size, or one is huge.
        DamagedVideo: an image cannot be read; with `salvage` it is skipped.
    """
    paths, unreadable = [], []
    size: tuple[int, int] | None = None
    for path in list_images(folder):
        try:
            found = _size(path)
        except Image.DecompressionBombError as error:
            raise _huge(path) from error
        except UNREADABLE as error:
            if not salvage:
                raise _unreadable(path) from error
            unreadable.append(path.name)
            continue
        size = size or found
        if found != size:
            raise UnsupportedVideo(
                f"{path} has {found[0]}x{found[1]} pixels, the images before it {size[0]}x{size[1]}.",
                "All frames must have the same size: resize the images, or put them into separate folders.",
            )
        paths.append(path)
    if size is None:
        raise NotAVideo(f"{folder} contains no readable images.", "Give a video file or a folder of images.")
    return VideoInfo(
        path=folder,
        container="images",
        codec=paths[0].suffix[1:].lower(),
        width=size[0],
        height=size[1],
        timeline=constant(len(paths), FRAME_RATE),
        rgb=True,
        damage=f"unreadable: {', '.join(unreadable[:5])}" if unreadable else None,
        salvaged=bool(unreadable),
        missing_frames=len(unreadable),
        images=tuple(paths),
    )


def probe_picture(path: Path) -> VideoInfo:
    """Describe a picture as a video of one frame; reads only its header. Raises NotAVideo, UnsupportedVideo."""
    reject_special(path)
    try:
        width, height = _size(path)
    except Image.DecompressionBombError as error:
        raise _huge(path) from error
    except UNREADABLE as error:
        what = "cannot be read as a picture" if path.is_file() else "does not exist"
        raise NotAVideo(f"{path} {what}.", "Give a picture such as JPEG, PNG or WebP.") from error
    return VideoInfo(
        path=path,
        container="images",
        codec=path.suffix[1:].lower(),
        width=width,
        height=height,
        timeline=constant(1, FRAME_RATE),
        rgb=True,
        images=(path,),
    )


def iter_images(info: VideoInfo, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """Yield images `[start, stop)` as (H, W, 3) uint8 RGB. Holds one. Raises DamagedVideo, UnsupportedVideo."""
    for path in info.images[start:stop]:
        try:
            with Image.open(path) as image:
                rgb = _rgb(ImageOps.exif_transpose(image))
        except Image.DecompressionBombError as error:
            raise _huge(path) from error
        except UNREADABLE as error:
            raise _unreadable(path) from error
        if rgb.shape != (info.height, info.width, 3):
            raise UnsupportedVideo(f"{path} changed its size during the job.", "Start the job again.")
        yield rgb


def is_animated(path: Path) -> bool:
    """Whether the file at `path` is a picture of several frames; False where it cannot be read as a picture."""
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except (*UNREADABLE, Image.DecompressionBombError):
        return False


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        turned = image.getexif().get(_EXIF_ORIENTATION) in _TURNED_ORIENTATIONS
        return (image.height, image.width) if turned else (image.width, image.height)


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit grey, which `convert` would clip instead of scaling.
        gray = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _huge(path: Path) -> UnsupportedVideo:
    most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
    return UnsupportedVideo(
        f"{path} has more than {most:.0f} million pixels, the most that are read.", "Scale it down first."
    )


def _unreadable(path: Path) -> DamagedVideo:
    return DamagedVideo(
        f"{path} is damaged or not an image.", "Remove it, or use --salvage to skip such images."
    )
