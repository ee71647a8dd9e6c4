"""Files that are complete or absent: written under another name, flushed to disk, then renamed."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PART = re.compile(r"part-(\d+)-\d+-.+")
_MOST_NAME_BYTES = 255
"""The longest name of a file that Linux, macOS and Windows have in common."""
_CLOCK_SECONDS = 2.0
"""Start times of processes count from the boot in ticks of 10 ms, and the boot time itself is rounded to a second."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a part file's name beside `path`, with its suffix, to write to; rename it to `path` after the body.

    Where the body raises, the part file is removed. A kill may leave it behind; a power cut leaves at most the file
    as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(prefixed(f"part-{os.getpid()}-{threading.get_ident()}-", path.name))
    try:
        yield part
        # Windows flushes only what is open for writing; elsewhere the part may be a link to a read-only file.
        with part.open("r+b" if os.name == "nt" else "rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def prefixed(prefix: str, name: str) -> str:
    """Return `prefix` and `name` as one legal file name; a long name loses its beginning, and keeps its suffix."""
    while len(os.fsencode(prefix + name)) > _MOST_NAME_BYTES:
        name = name[1:]
    return prefix + name


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is complete or absent."""
    with atomic_write(path) as part:
        part.write_bytes(data)


def is_being_written(path: Path) -> bool:
    """Whether `path` is the part file of a living process, this one included."""
    if not (found := _PART.fullmatch(path.name)):
        return False
    try:
        return is_alive(int(found[1]), since=path.stat().st_mtime)
    except FileNotFoundError:
        return False


def is_alive(pid: int, *, since: float) -> bool:
    """Whether the process that had this id at `since` (seconds since the epoch) still runs.

    One that started later merely got the same id, as is common where a container starts again.
    """
    try:
        return psutil.Process(pid).create_time() <= since + _CLOCK_SECONDS
    except psutil.Error:
        return False
