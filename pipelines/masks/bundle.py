"""Where mask pictures lie: in one file, in a folder or in a zip; each with its name."""

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import IO, Protocol

from PIL import Image

from pipelines.errors import BadInput
from pipelines.masks.decode import FORMATS
from pipelines.masks.zip_archive import Archive
from pipelines.video.images import list_images
from pipelines.video.info import VideoInfo

ACCEPTED = "Give a picture, a folder or a zip of pictures, a GIF or a mask video."
_LEAST_MAX_PIXELS = 4096 * 4096
_TIMES_THE_VIDEO = 4


class Bundle(Protocol):
    """Pictures in natural order, by their file names."""

    @property
    def names(self) -> list[str]: ...  # noqa: D102

    def files(self, members: Iterable[int]) -> Generator[tuple[str, Path | IO[bytes]]]:
        """Each of `members`, with the name that errors call it by."""
        ...


def open_bundle(path: Path, frames: int, max_pixels: int) -> Bundle | None:
    """The pictures at `path` for a video of `frames` frames; None where it is no picture, but perhaps a film.

    Raises BadInput where it cannot be read or holds no pictures, and as `Archive` does.
    """
    try:
        if path.is_dir():
            return _Files(path, list_images(path))
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise BadInput(f"The mask {path} cannot be read: {error.strerror}.", ACCEPTED) from error
    if head == b"PK":
        return Archive(path, frames, max_pixels)
    return _Files(path, [path]) if _is_picture(path) else None


def max_pixels(video: VideoInfo) -> int:
    """Up to how many pixels a mask of `video` is decoded: some times its own, which leaves room for larger ones."""
    return max(_LEAST_MAX_PIXELS, _TIMES_THE_VIDEO * video.width * video.height)


def _is_picture(path: Path) -> bool:
    """Whether `path` is one picture, as opposed to a film, which an animated GIF is too."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.format != "GIF" or getattr(image, "n_frames", 1) == 1
    except Image.DecompressionBombError:
        return True
    except (OSError, SyntaxError, ValueError, EOFError):
        return False


class _Files:
    def __init__(self, path: Path, files: list[Path]) -> None:
        if not files:
            raise BadInput(f"The folder {path} holds no pictures.", ACCEPTED)
        self._files = files

    @property
    def names(self) -> list[str]:
        return [file.name for file in self._files]

    def files(self, members: Iterable[int]) -> Generator[tuple[str, Path]]:
        for index in members:
            yield str(self._files[index]), self._files[index]
