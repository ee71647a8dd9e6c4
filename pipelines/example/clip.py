"""Example clip as a file: drawn on demand, frame by frame, and complete or absent."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.errors import BadInput, EncoderDied, kind_of
from pipelines.example import camera
from pipelines.example.faults import FAULTS, FRAME_RATE, FRAMES, HEIGHT, WIDTH, Fault
from pipelines.example.sound import write_sound
from pipelines.storage.atomic import atomic_write
from pipelines.video.files import ffmpeg
from pipelines.video.info import ColourTags
from pipelines.video.writer import VideoWriter

SUFFIX = ".mp4"

_MARK = "longtake example clip"
"""Comment in the file by which an example is recognised."""
_VERSION = "1"
"""Raised when the clip changes: an older one is then drawn again."""
_HEAD_BYTES = 2**16
"""Bytes in which the comment is searched; `+faststart` puts it at the head of the file."""
_COLOUR = ColourTags(matrix="bt709", range="tv", primaries="bt709", transfer="bt709")
_CRF, _PRESET = 23, "veryfast"
"""Quality and preset of the encoder."""
_JOIN_SECONDS = 60.0
"""Time limit for adding the sound."""


class Example(BaseModel):
    """Example clip at `path` and its faults; `drawn` tells whether it was drawn now."""

    model_config = ConfigDict(frozen=True)
    type: Literal["example"] = "example"
    path: Path
    drawn: bool
    frames: int = FRAMES
    frame_rate: str = str(FRAME_RATE)
    faults: tuple[Fault, ...] = FAULTS


def write_example(path: Path) -> Example:
    """Draw the clip to `path`, an MP4 that plays while it loads; an existing example is left as it is.

    Two calls at once draw twice, and each puts a complete file there. Holds what `camera.frames` holds, besides the
    encoder's process.

    Raises:
        BadInput: the name does not end in `.mp4`, another file has it, or nothing can be written there.
        NotEnoughDisk, EncoderDied: writing failed.
    """
    if path.suffix.lower() != SUFFIX:
        raise BadInput(
            f"{path.name} is not a name for the example.", f"It is an MP4: use a name that ends in {SUFFIX}."
        )
    try:
        drawn = not (path.exists() and _is_current(path))
        if drawn:
            with atomic_write(path) as part:
                part.touch()  # Fail before the work where the folder cannot be written.
                _write(part)
    except OSError as error:
        reason = error.strerror or "a file cannot be put there"
        raise kind_of(error)(
            f"{path} cannot be written ({reason}).", "Choose another path with -o."
        ) from error
    return Example(path=path.absolute(), drawn=drawn)


def _is_current(path: Path) -> bool:
    """Tell whether the file at `path` is this version's clip. Raises BadInput where it is not an example."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if _MARK.encode() not in head:
        raise BadInput(f"{path} exists and is not the example.", "Choose another path with -o.")
    return _comment().encode() in head


def _comment() -> str:
    return f"{_MARK} {_VERSION}."


def _write(path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="longtake-") as folder:
        silent, sound = Path(folder) / "silent.mp4", Path(folder) / "sound.wav"
        write_sound(sound)
        pictures = VideoWriter(silent, WIDTH, HEIGHT, FRAME_RATE, colour=_COLOUR, crf=_CRF, preset=_PRESET)
        with pictures, closing(camera.frames()) as frames:
            for frame in frames:
                pictures.write(frame)
        add_sound(silent, sound, path, _comment())


def add_sound(silent: Path, sound: Path, path: Path, comment: str) -> None:
    """Write the video `silent` with the sound `sound` as an MP4 to `path`.

    Raises EncoderDied, or by its name what the system refused.
    """
    done = ffmpeg.run(
        [
            *(*ffmpeg.source(silent), *ffmpeg.source(sound)),
            *("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-b:a", "64k"),
            *("-metadata", f"comment={comment}", "-movflags", "+faststart"),
            *("-f", "mp4", "-y", ffmpeg.address(path)),
        ],
        timeout_seconds=_JOIN_SECONDS,
    )
    if done.returncode:
        ffmpeg.check_written(done, path)
        said = " | ".join(done.stderr.split("\n")[:3]) or f"ffmpeg ended with {done.returncode}"
        raise EncoderDied(f"The example could not be joined with its sound: {said}.", "Try again.")
