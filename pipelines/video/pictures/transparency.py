"""What is said of a video or of pictures with transparent parts: nothing hidden under them is ever read."""

from pathlib import Path

from pipelines.errors import Sentence
from pipelines.video.info import VideoInfo
from pipelines.video.pictures.picture import UNREADABLE, identify
from pipelines.video.pictures.picture_pixels import is_transparent
from pipelines.vision.types import WHITE

_INSPECTED = 8
"""Pictures of a folder, evenly spaced, that are looked through for transparency: decoding all takes too long."""


def transparency_notes(info: VideoInfo) -> tuple[str, ...]:
    """Return a sentence about how transparent parts are read; nothing where there are none. Decodes a few pictures."""
    if not (info.transparent or any(_is_transparent(path) for path in _inspected(info))):
        return ()
    shown = "white" if info.background == WHITE else f"#{bytes(info.background).hex()}"
    name = info.path.name
    return (
        Sentence(
            f"{name} has transparent parts. They are read as {shown}; colours hidden there are not used.",
            "transparent",
            name=name,
            colour=shown,
        ),
    )


def _inspected(info: VideoInfo) -> list[Path]:
    if info.images:
        count = len(info.images)
        return [
            info.images[number] for number in sorted({k * count // _INSPECTED for k in range(_INSPECTED)})
        ]
    found = identify(info.path) if info.path.is_file() else None
    return [info.path] if found is not None and (found.by_pillow or found.still) else []


def _is_transparent(path: Path) -> bool:
    try:
        return is_transparent(path)
    except UNREADABLE:
        return False  # Reading it says what is wrong.
