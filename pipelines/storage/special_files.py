"""Refuse what is no file before it is opened: reading a pipe may wait forever, and our own stdin carries commands."""

import stat
from pathlib import Path

from pipelines.errors import NotAVideo

_STREAMS = Path("/proc"), Path("/dev/fd")
"""Where open files of processes have names: what such a name means differs from one process to the next."""
_MOST_LINKS = 40
"""Linux follows as many symbolic links in a path."""
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def special_kind(path: Path) -> str | None:
    """Say what `path` is where it is neither a file nor a folder; None for those, and for what is missing."""
    try:
        if _names_a_stream(path):
            return "a stream of a process"
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:
        return None


def reject_special(path: Path) -> None:
    """Raise NotAVideo where `path` is a pipe, a socket, a device or a name of an open stream; never opens it."""
    if kind := special_kind(path):
        raise NotAVideo(
            f"{path} is {kind}, not a file.",
            "Save what it carries as a file, and give that.",
            "input.special",
            name=path.name,
        )


def _names_a_stream(path: Path) -> bool:
    """Whether `path`, or a link on the way to its file, is a name such as `/dev/stdin`. Raises OSError."""
    path = path.absolute()
    for _ in range(_MOST_LINKS):
        path = path.parent.resolve() / path.name
        if any(path.is_relative_to(folder) for folder in _STREAMS):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False
