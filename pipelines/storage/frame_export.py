"""Export the frames of a result as PNG files, numbered from its first frame: `00000.png`."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import BadInput, kind_of
from pipelines.spans import Span
from pipelines.storage.atomic import make_folder, sweep, write_bytes

_OWNER = ".longtake"
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]
"""Lowest zlib level: frames are exported during the run, so speed matters more than size."""
_LEAST_DIGITS = 5


class _Run(Protocol):
    @property
    def folder(self) -> Path: ...
    @property
    def frames(self) -> Span: ...
    @property
    def settings(self) -> object: ...


def frame_folder(run: _Run) -> "FrameFolder | None":
    """Where the frames of a job are wanted as pictures (`--frames-out`); None where they are not."""
    folder: Path | None = getattr(run.settings, "frames_out", None)
    return FrameFolder(folder, run.folder.name, run.frames) if folder else None


def exported_frames(run: _Run, span: Span) -> tuple[Path, ...]:
    """Return the pictures of a span's frames; none where they are not wanted."""
    folder = frame_folder(run)
    return folder.paths(span) if folder else ()


class FrameFolder:
    """The folder with the exported `frames` of the job `owner`; files are complete or absent."""

    def __init__(self, folder: Path, owner: str, frames: Span) -> None:
        self._folder = folder
        self._owner = owner
        self._frames = frames
        self._digits = max(_LEAST_DIGITS, len(str(len(frames) - 1)))

    def claim(self) -> None:
        """Take the folder for this job, removing frames that another job exported there.

        Raises BadInput where it contains other pictures, and what `kind_of` calls a folder that takes none.
        """
        marker = self._folder / _OWNER
        try:
            make_folder(self._folder)
            sweep(self._folder)
            if self._is_owned():
                return
            pictures = list(self._folder.glob("*.png"))
            if pictures and not marker.exists():
                raise BadInput(
                    f"{self._folder} already contains {len(pictures)} pictures.",
                    "Give --frames-out an empty or a new folder.",
                )
            for picture in pictures:
                if picture.stem.isdecimal():
                    picture.unlink()
            write_bytes(marker, self._owner.encode())
        except OSError as error:
            raise kind_of(error)(
                f"Pictures cannot be written into {self._folder}: {error.strerror}.",
                "Choose another --frames-out.",
            ) from error

    def write(self, index: int, frame: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Write `frame` (H, W, 3) RGB, uint8 or uint16, which is frame `index` of the video."""
        encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _FAST)[1]
        write_bytes(self._path(index), encoded.tobytes())

    def paths(self, span: Span) -> tuple[Path, ...]:
        """Return where the frames of `span` are, or will be."""
        return tuple(self._path(index) for index in range(span.start, span.stop))

    def _is_owned(self) -> bool:
        try:
            return (self._folder / _OWNER).read_text(encoding="utf-8") == self._owner
        except FileNotFoundError:
            return False

    def _path(self, index: int) -> Path:
        return self._folder / f"{index - self._frames.start:0{self._digits}d}.png"
