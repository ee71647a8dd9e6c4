"""Named mask images in a single file, a folder or a zip archive."""

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import IO, Protocol

from PIL import Image

from pipelines.errors import BadInput, LongtakeError, fault_of
from pipelines.masks.zip_archive import Archive
from pipelines.storage.special_files import reject_special
from pipelines.video.files.demuxing import open_input
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.images import list_images
from pipelines.video.pictures.picture import FORMATS, UNREADABLE, identify, size_of
from pipelines.vision.types import Size

ACCEPTED = "Give an image, a folder or a zip of images, a GIF or a mask video."
ANY_SIZE = 2**40
"""As `max_pixels`: images of any size, of which only headers are read."""
_HUGE = 2**20, 2**20
"""Size of an image that is too large for its header to be read: larger than any limit."""
_LEAST_MAX_PIXELS = 4096 * 4096
"""Masks up to this size are read beside any video: 16 MiB at one byte a pixel."""
_TIMES_THE_VIDEO = 4
"""Masks with up to so many times the pixels of the video are read: twice its width and height."""


class Bundle(Protocol):
    """Mask images in natural order of their file names."""

    @property
    def names(self) -> list[str]: ...  # noqa: D102

    @property
    def stamp(self) -> int:
        """A number that changes when a file is written again."""
        ...

    def files(self, members: Iterable[int]) -> Generator[tuple[str, Path | IO[bytes]]]:
        """Yield each of `members` with the name to use in error messages."""
        ...

    def heads(self) -> Generator[tuple[Path | IO[bytes], int]]:
        """Yield of each image what its header can be read from, and the bytes that are held while it is read."""
        ...


def open_bundle(path: Path, frames: int, max_pixels: int) -> Bundle | None:
    """Open the mask images at `path` for a video of `frames` frames; None if it is no still image (perhaps a video).

    Raises BadInput if it cannot be read, is no file or holds no images, and the errors of `Archive`.
    """
    reject_special(path)
    try:
        if path.is_dir():
            return _Files(path, list_images(path))
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise fault_of(error, BadInput)(
            f"The mask {path} cannot be read: {error.strerror}.", ACCEPTED
        ) from error
    if head == b"PK":
        return Archive(path, frames, max_pixels)
    picture = identify(path)
    return _Files(path, [path]) if picture and picture.still else None


def mask_size(path: Path, frames: int) -> Size | None:
    """Return the size of the largest mask image at `path`, or of the mask video; None where it cannot be read.

    Reads headers only, also of images in a zip. Reading the masks says what is wrong with those that cannot be read.
    """
    try:
        bundle = open_bundle(path, frames, ANY_SIZE)
        if bundle is None:
            with open_input(path) as container:
                video = container.streams.video[0]
                return (video.width, video.height) if video.width else None
        sizes = [size for file, _ in bundle.heads() if (size := _size_of(file))]
    except (LongtakeError, LookupError):
        return None
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _size_of(file: Path | IO[bytes]) -> Size | None:
    try:
        if isinstance(file, Path):
            return size_of(file)
        with Image.open(file, formats=FORMATS) as image:
            return image.size
    except Image.DecompressionBombError:
        return _HUGE
    except UNREADABLE:
        return None


def max_pixels(video: VideoInfo) -> int:
    """Return the largest number of pixels that a mask for `video` may have to be decoded."""
    return max(_LEAST_MAX_PIXELS, _TIMES_THE_VIDEO * video.width * video.height)


def stamp_of(*files: Path) -> int:
    """Return a number that changes when one of `files` is written again."""
    stats = (file.stat() for file in files)
    return hash(tuple((s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in stats))


class _Files:
    def __init__(self, path: Path, files: list[Path]) -> None:
        if not files:
            raise BadInput(f"The folder {path} holds no images.", ACCEPTED, "mask.no_images", name=path.name)
        self._files = files

    @property
    def names(self) -> list[str]:
        return [file.name for file in self._files]

    @property
    def stamp(self) -> int:
        return stamp_of(*self._files)

    def files(self, members: Iterable[int]) -> Generator[tuple[str, Path]]:
        for index in members:
            yield str(self._files[index]), self._files[index]

    def heads(self) -> Generator[tuple[Path, int]]:
        for file in self._files:
            yield file, 0
