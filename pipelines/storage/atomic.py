"""Files that are complete or absent: written under another name, put safely on disk, then renamed."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A name beside `path`, with its suffix, to write to; it becomes `path` when the body ends well.

    Where the body raises, nothing is left. After a kill only the other name may be, after a power cut at most the
    file as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part-{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that is complete or absent."""
    with atomic_write(path) as part:
        part.write_bytes(data)
