"""One runner at a time: the lock on a job's folder. The kernel lets go of it when its holder ends, however it ends."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_PAUSES_SECONDS = (0.0, 0.002, 0.02)


def lock(folder: Path) -> BinaryIO | None:
    """The lock on `folder`, which is made where it is missing; held until it is closed. None where another has it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            file = (folder / "lock").open("ab")
            if not _hold(file):
                file.close()
                return None
            if _is_at(file, folder / "lock"):
                return file
            # That of a folder which was deleted meanwhile; it would keep nobody out of the new one.
            file.close()


def is_locked(folder: Path) -> bool:
    """Whether somebody holds the lock on `folder` now. Makes nothing."""
    with suppress(FileNotFoundError), (folder / "lock").open("rb") as file:
        try:
            # Shared: two who look do not take each other for a holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _hold(file: BinaryIO) -> bool:
    # Whoever only looks is there for a moment, so one refusal does not say that there is a holder.
    for pause in _PAUSES_SECONDS:
        time.sleep(pause)
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
