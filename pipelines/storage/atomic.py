"""Files that are complete or absent: written under another name, flushed to disk, then renamed or linked."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_PART = re.compile(r"part-(\d+)-[0-9a-f]+-(.+)", re.DOTALL)
_PROBE = "probe"
_MOST_NAME_BYTES = 255
"""The longest name of a file that Linux, macOS and Windows have in common."""
_CLOCK_SECONDS = 2.0
"""Start times of processes count from the boot in ticks of 10 ms, and the boot time itself is rounded to a second."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a part file's name beside `path`, with its suffix, to write to; rename it to `path` after the body.

    Where the body raises, the part file is removed. A kill may leave it behind (`sweep` removes it); a power cut
    leaves the file as it was before, or whole.
    """
    with _part_of(path) as part:
        yield part
        flush(part)
        part.replace(path)
        flush(path.parent)


@contextmanager
def put_once(path: Path) -> Iterator[Path]:
    """Yield a part file's name as `atomic_write` does; publish it as `path` unless another is published there by then.

    Several processes may compute the same file, which has the same bytes: the first one stands.
    """
    with _part_of(path) as part:
        yield part
        flush(part)
        try:
            path.hardlink_to(part)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            part.replace(path)
        part.unlink(missing_ok=True)
        flush(path.parent)


def claim(path: Path, content: bytes) -> bool:
    """Publish a file with `content` and return True; False where it is there: exactly one of several claims it.

    They may be on several machines. The folder is never made: raises FileNotFoundError where it is gone.
    """
    part = path.with_name(f"part-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        part.write_bytes(content)
        try:
            path.hardlink_to(part)
        except FileExistsError:
            # The answer to a link that was made may get lost on a network: then the name is ours all the same.
            return part.stat().st_nlink > 1
        except OSError:  # a file system without hard links
            return _create(path, content)
        return True
    finally:
        part.unlink(missing_ok=True)


def _create(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk. Windows does that for folders by itself."""
    if os.name == "nt":
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing; their names are on the disk when this returns."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush(folder.parent)


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    make_folder(path.parent)
    part = path.with_name(prefixed(f"part-{os.getpid()}-{secrets.token_hex(4)}-", path.name))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise OSError where no file can be made in `folder`; leaves nothing there."""
    sweep(folder, _PROBE)
    with _part_of(folder / _PROBE) as part:
        part.touch()


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove the part files that dead processes left in `folder`: all, or those of the file `name` alone.

    Those of living processes stay.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            found = _PART.fullmatch(path.name)
            if found and name in (None, found[2]) and not is_being_written(path):
                path.unlink(missing_ok=True)


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
