"""Folders of videos, and the natural order of their files."""

import re
from pathlib import Path

from pipelines.errors import kind_of
from pipelines.storage.special_files import special_kind

VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".flv",
        ".wmv",
        ".3gp",
        ".ogv",
        ".gif",
        ".apng",
        ".h264",
        ".hevc",
    ]
)


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key that puts `frame2` before `frame10`; names that differ only in case have a fixed order."""
    return [_part_key(part) for part in re.split("([0-9]+)", name)], name


def _part_key(part: str) -> tuple[int, str]:
    # Not int(part): that refuses the thousands of digits which a name in an archive may have.
    digits = part.lstrip("0")
    return (len(digits), digits) if part.isascii() and part.isdecimal() else (-1, part.casefold())


def videos_in(folder: Path) -> list[Path]:
    """List the video files directly in `folder` in natural order, without hidden files.

    A pipe or device that is named like a video is listed, too: it is refused by name, not left out silently.
    """
    files = (p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    return sorted((p for p in files if p.is_file() or special_kind(p)), key=lambda p: natural_key(p.name))


def is_video_folder(folder: Path) -> bool:
    """Whether `folder` contains videos, each for a job, and not the images of one video. Raises BadInput."""
    try:
        return bool(videos_in(folder))
    except OSError as error:
        raise kind_of(error)(
            f"{folder} cannot be read: {error.strerror}.", "Check its permissions."
        ) from error
