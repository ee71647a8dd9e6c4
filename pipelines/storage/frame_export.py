"""A folder that takes each frame of a result as a picture, counted from the result's first: `00000.png`."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import BadInput
from pipelines.spans import Span
from pipelines.storage.atomic import write_bytes

_OWNER = ".longtake"
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]
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


class FrameFolder:
    """The pictures of `frames` of the job `owner`. Pictures are complete or absent, and only the owner's count."""

    def __init__(self, folder: Path, owner: str, frames: Span) -> None:
        self._folder = folder
        self._owner = owner
        self._frames = frames
        self._digits = max(_LEAST_DIGITS, len(str(len(frames) - 1)))

    def claim(self) -> None:
        """Make the folder the owner's; pictures that another job wrote there go.

        Raises BadInput where it holds pictures of somebody else, or cannot be written to.
        """
        marker = self._folder / _OWNER
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._is_owned():
                return
            pictures = list(self._folder.glob("*.png"))
            if pictures and not marker.exists():
                raise BadInput(
                    f"{self._folder} holds {len(pictures)} pictures already.",
                    "Give --frames-out an empty folder, or the name of a new one.",
                )
            for picture in pictures:
                if picture.stem.isdecimal():
                    picture.unlink()
            write_bytes(marker, self._owner.encode())
        except OSError as error:
            raise BadInput(
                f"Pictures cannot be written into {self._folder}: {error.strerror}.",
                "Choose another --frames-out.",
            ) from error

    def write(self, index: int, frame: NDArray[np.uint8]) -> None:
        """Keep `frame` `(H, W, 3)` uint8 RGB as the picture of the video's frame `index`."""
        encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _FAST)[1]
        write_bytes(self._path(index), encoded.tobytes())

    def has(self, span: Span) -> bool:
        """Whether all pictures of `span` are there, and are the owner's."""
        return self._is_owned() and all(self._path(i).is_file() for i in range(span.start, span.stop))

    def _is_owned(self) -> bool:
        try:
            return (self._folder / _OWNER).read_text(encoding="utf-8") == self._owner
        except FileNotFoundError:
            return False

    def _path(self, index: int) -> Path:
        return self._folder / f"{index - self._frames.start:0{self._digits}d}.png"
