"""Folders of videos, and the order in which people expect their files."""

import re
from pathlib import Path

from pipelines.errors import BadInput

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
        ".h264",
        ".hevc",
    ]
)


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key in which `frame2` comes before `frame10`; equal names but for case stay in one order."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in parts], name


def videos_in(folder: Path) -> list[Path]:
    """The video files directly in `folder`, in natural order; hidden files are left out."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    return sorted((p for p in files if p.is_file()), key=lambda p: natural_key(p.name))


def is_video_folder(folder: Path) -> bool:
    """Whether `folder` holds videos (each is a job) and not the pictures of one video.

    Raises BadInput where it cannot be read.
    """
    try:
        return bool(videos_in(folder))
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror}.", "Check its permissions.") from error
