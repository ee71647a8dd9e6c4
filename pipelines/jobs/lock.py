"""The lock on a job's folder: one runner at a time. The kernel releases it when its holder ends, however it ends.

The runner keeps the file `lock` locked. Only exclusive locks are portable, and whoever inspects one has to take it
for a moment; so both do that behind a second file, the gate, and never meet: an inspection cannot refuse a runner,
nor be taken for one by another inspection.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor, unlock_descriptor

from pipelines.storage.atomic import make_folder

GATE = "lock-gate"
_GATE_POLL_SECONDS = 0.001
"""The gate is held for some microseconds at a time."""


def lock(folder: Path) -> BinaryIO | None:
    """Lock `folder`, which is created where it is missing, until the file is closed; None where another holds it."""
    path = folder / "lock"
    while True:
        make_folder(folder)
        with suppress(FileNotFoundError):
            # The lock before the gate, here and below: two who open the same lock then pass the same gate.
            file = path.open("ab")
            try:
                with (folder / GATE).open("ab") as gate, _passing(gate):
                    locked = lock_descriptor(file.fileno(), blocking=False)
            except BaseException:
                file.close()
                raise
            if not _is_at(file, path):
                # The lock of a folder that was deleted meanwhile keeps nobody out of the new one.
                file.close()
            elif locked:
                return file
            else:
                file.close()
                return None


def is_locked(folder: Path) -> bool:
    """Whether some process holds the lock on `folder` now. Creates nothing."""
    with (
        suppress(FileNotFoundError),  # where there is no gate, nobody has locked this folder
        (folder / "lock").open("rb") as file,
        (folder / GATE).open("rb") as gate,
        _passing(gate),
    ):
        if not lock_descriptor(file.fileno(), blocking=False):
            return True
        unlock_descriptor(file.fileno())
    return False


@contextmanager
def _passing(gate: BinaryIO) -> Iterator[None]:
    lock_descriptor(gate.fileno(), poll_interval=_GATE_POLL_SECONDS)
    try:
        yield
    finally:
        unlock_descriptor(gate.fileno())


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
