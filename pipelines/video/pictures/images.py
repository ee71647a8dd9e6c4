"""Folders of images, single pictures, and animations that Pillow reads, as videos."""

from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from pipelines.errors import DamagedVideo, NotAVideo, UnsupportedVideo
from pipelines.storage.special_files import reject_special
from pipelines.storage.video_folders import natural_key
from pipelines.video.clock.timeline import constant, from_stamps
from pipelines.video.info import Damage, VideoInfo
from pipelines.video.pictures.picture import (
    FORMATS,
    SUFFIXES,
    UNREADABLE,
    PictureFile,
    identify,
    size_of,
    to_rgb,
)
from pipelines.video.pictures.picture_pixels import decoding_bytes, read_rgb
from pipelines.vision.types import Pixels, Size

FRAME_RATE = Fraction(25)
"""Frame rate of a folder of images."""

_INSPECTED = 8
"""Pictures of a folder, evenly spaced, that stand for all in an estimate of memory, beside one of each kind."""
_MILLISECOND = Fraction(1, 1000)
_UNSAID_DELAY_MS = 100
"""Delay of an animation's frame that states 0, as browsers show it."""


def list_images(folder: Path) -> list[Path]:
    """List the images of `folder` in natural order, without hidden files; those without a suffix by their content.

    Raises NotAVideo where one is a pipe or device.
    """
    found = [p for p in folder.iterdir() if not p.name.startswith(".") and _is_listed(p)]
    for path in found:
        reject_special(path)
    return sorted(found, key=lambda path: natural_key(path.name))


def _is_listed(path: Path) -> bool:
    if path.suffix:
        return path.suffix.lower() in SUFFIXES
    found = identify(path) if path.is_file() else None
    return found is not None and found.still


def probe_file(path: Path) -> VideoInfo | None:
    """Describe a still picture, or an animation that PyAV does not read; None for other files. Raises DamagedVideo.

    A GIF is left to PyAV, also with one frame: it states how long that is shown.
    """
    found = identify(path)
    if found is None or found.format == "GIF":
        return None
    if found.by_pillow:
        return _probe_animation(path, found)
    return probe_picture(path) if found.still else None


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
            found = size_of(path)
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
                "picture.sizes",
                name=path.name,
            )
        paths.append(path)
    if size is None:
        raise NotAVideo(
            f"{folder} contains no readable images.",
            "Give a video file or a folder of images.",
            "picture.none",
        )
    names = ", ".join(unreadable[:5])
    return VideoInfo(
        path=folder,
        container="images",
        codec=paths[0].suffix[1:].lower() or "picture",
        width=size[0],
        height=size[1],
        timeline=constant(len(paths), FRAME_RATE),
        rgb=True,
        damage=Damage(f"unreadable: {names}", "damage.pictures", names=names) if unreadable else None,
        salvaged=bool(unreadable),
        missing_frames=len(unreadable),
        images=tuple(paths),
    )


def largest_decoding_bytes(info: VideoInfo) -> int:
    """Estimate what decoding one picture of `info` holds at most, by the headers of a few of its pictures."""
    count, most = len(info.images), 0
    spread = (info.images[k * count // _INSPECTED] for k in range(_INSPECTED))
    of_each_kind = {path.suffix.lower(): path for path in info.images}.values()
    for path in {*spread, *of_each_kind}:
        try:
            most = max(most, decoding_bytes(path, (info.width, info.height)))
        except UNREADABLE:
            continue  # Reading it says what is wrong.
    return most


def probe_picture(path: Path) -> VideoInfo:
    """Describe a picture as a video of one frame; reads only its header. Raises NotAVideo, UnsupportedVideo."""
    reject_special(path)
    try:
        width, height = size_of(path)
    except Image.DecompressionBombError as error:
        raise _huge(path) from error
    except UNREADABLE as error:
        what = "cannot be read as a picture" if path.is_file() else "does not exist"
        raise NotAVideo(
            f"{path} {what}.",
            "Give a picture such as JPEG, PNG or WebP.",
            "picture.unreadable",
            name=path.name,
        ) from error
    return VideoInfo(
        path=path,
        container="images",
        codec=path.suffix[1:].lower() or "picture",
        width=width,
        height=height,
        timeline=constant(1, FRAME_RATE),
        rgb=True,
        images=(path,),
    )


def iter_images(info: VideoInfo, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """Yield images `[start, stop)` as (H, W, 3) uint8 RGB. Holds one. Raises DamagedVideo, UnsupportedVideo."""
    for path, rgb in _iter_rgb(info, start, stop):
        if rgb.shape != (info.height, info.width, 3):
            raise UnsupportedVideo(
                f"{path} changed its size during the job.",
                "Start the job again.",
                "input.changed",
                name=path.name,
            )
        yield rgb


def read_still(info: VideoInfo, at_least: Size | None = None) -> Pixels:
    """Read the one picture that `probe_picture` described, (H, W, 3) uint8 RGB, reduced but not below `at_least`.

    Raises DamagedVideo, UnsupportedVideo.
    """
    try:
        return read_rgb(info.images[0], at_least, info.background)
    except Image.DecompressionBombError as error:
        raise _huge(info.images[0]) from error
    except UNREADABLE as error:
        raise _unreadable(info.images[0]) from error


def iter_animation(info: VideoInfo, start: int, stop: int) -> Iterator[Image.Image]:
    """Yield frames `[start, stop)` of an animation that Pillow reads. Holds one. Raises DamagedVideo."""
    try:
        with Image.open(info.path, formats=FORMATS) as image:
            if isinstance(image, WebPImageFile):
                # The file's alpha bit is only a hint, which encoders leave out; pixels are decoded with alpha anyway.
                image._mode = image.rawmode = "RGBA"
            for index in range(start, stop):
                image.seek(index)
                image.load()
                yield image
    except UNREADABLE as error:
        raise _unreadable(info.path) from error


def is_animation(info: VideoInfo) -> bool:
    """Whether `info` describes an animation that Pillow reads."""
    return info.images == (info.path,) and info.frames > 1


def _iter_rgb(info: VideoInfo, start: int, stop: int) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    if is_animation(info):
        for image in iter_animation(info, start, stop):
            yield info.path, to_rgb(image, info.background)
        return
    for path in info.images[start:stop]:
        try:
            yield path, read_rgb(path, background=info.background)
        except Image.DecompressionBombError as error:
            raise _huge(path) from error
        except UNREADABLE as error:
            raise _unreadable(path) from error


def _probe_animation(path: Path, found: PictureFile) -> VideoInfo:
    """Describe an animated WebP or AVIF by decoding it. Holds 8 bytes per frame. Raises DamagedVideo."""
    stamps, clock, delay = array("q"), 0, 0
    try:
        with Image.open(path, formats=FORMATS) as image:
            size = image.size
            for index in range(found.frames):
                image.seek(index)
                image.load()
                stamps.append(clock)
                delay = round(image.info.get("duration") or 0) or _UNSAID_DELAY_MS
                clock += delay
    except UNREADABLE as error:
        raise DamagedVideo(
            f"{path} is damaged: frame {len(stamps)} cannot be decoded.",
            "Get another copy of the file.",
            "video.damaged",
            name=path.name,
        ) from error
    return VideoInfo(
        path=path,
        container=found.format.lower(),
        codec=found.format.lower(),
        width=size[0],
        height=size[1],
        timeline=from_stamps(stamps, _MILLISECOND, rates=(), last_stamps=delay),
        rgb=True,
        images=(path,),
    )


def _huge(path: Path) -> UnsupportedVideo:
    most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
    return UnsupportedVideo(
        f"{path} has more than {most:.0f} million pixels, the most that are read.",
        "Scale it down first.",
        "picture.large",
        name=path.name,
        most=round(most),
    )


def _unreadable(path: Path) -> DamagedVideo:
    return DamagedVideo(
        f"{path} is damaged or not an image.",
        "Remove it, or use --salvage to skip such images.",
        "picture.damaged",
        name=path.name,
    )
