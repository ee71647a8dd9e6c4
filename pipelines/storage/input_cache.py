"""Inputs that were fetched from a store, kept on this machine by their contents for the next job that reads them.

One process fetches what several want. A job has a link of its own to each, so that what is dropped here while a job
reads it stays until that ends.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.storage.atomic import make_folder
from pipelines.storage.contents import read_contents, remember
from pipelines.storage.kept_files import KeptFile
from pipelines.storage.paths import cache_folder

_LOCK_SECONDS = 1.0
"""How long is waited at a time while another process fetches."""


def link(
    file: KeptFile,
    path: Path,
    fetch: Callable[[Path], None],
    *,
    most_bytes: int,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Make `path` the contents of `file`, which `fetch` publishes under the name it is given, if they are not here.

    At most `most_bytes` are kept, those of `file` in any case. `tick` is called while another process fetches, and may
    raise. Raises OSError, and what `fetch` raises.
    """
    folder = cache_folder() / "store-inputs"
    make_folder(folder)
    make_folder(path.parent)
    kept = folder / file.sha256
    with _locked(folder / f"{file.sha256}.lock", tick):
        if not kept.is_file() or read_contents(kept, lambda count: tick()).sha256 != file.sha256:
            kept.unlink(missing_ok=True)
            _make_room(folder, most_bytes - file.size_bytes)
            fetch(kept)
        os.utime(kept)
        contents = read_contents(kept, lambda count: tick())
        try:
            path.hardlink_to(kept)
        except OSError:  # a file system without hard links
            shutil.copyfile(kept, path)
        # The job compares its inputs, and the next one this: neither needs to hash what was only linked.
        for each in (kept, path):
            remember(each, contents)


@contextmanager
def _locked(path: Path, tick: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
            break
        except Timeout:
            tick()
    try:
        yield
    finally:
        lock.release()


def _make_room(folder: Path, most_bytes: int) -> None:
    """Drop what was used longest ago, so that at most `most_bytes` stay."""
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.suffix != ".lock":
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
    held_bytes = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if held_bytes <= most_bytes:
            return
        path.unlink(missing_ok=True)
        held_bytes -= size
