"""What is known of a finished file: size and hash, so that it is verified and not believed when it is used again."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from memory.units import MIB
from pipelines.errors import is_damage
from pipelines.storage.names import printable
from pipelines.storage.pulse import beat

_BLOCK_BYTES = MIB
"""What is hashed at a time."""


class KeptFile(BaseModel):
    """A finished file: its name relative to the job's folder, its size, and the SHA-256 of its bytes.

    Files outside (exported frames) are one entry for their folder: the sum of sizes, and the hash of all in order.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    size_bytes: int
    sha256: str


def describe(folder: Path, paths: Iterable[Path]) -> tuple[KeptFile, ...]:
    """Hash finished files, those outside `folder` together. Holds a block of one file. Raises OSError."""
    return tuple(_described(name, files) for name, files in _named(folder, paths))


def damaged(folder: Path, paths: Sequence[Path], known: Iterable[KeptFile]) -> str | None:
    """Return the name of the first of `paths` that is not as `known` says, or None. A file that is missing is not.

    Raises OSError where one may be read again later.
    """
    by_name = {each.name: each for each in known}
    for name, files in _named(folder, paths):
        if (kept := by_name.get(name)) is None:
            return name
        try:
            if (
                sum(path.stat().st_size for path in files) != kept.size_bytes
                or _described(name, files) != kept
            ):
                return name
        except OSError as error:
            if not is_damage(error):
                raise
            return name
    return None


def damaged_inside(folder: Path, known: Sequence[KeptFile]) -> str | None:
    """Return the name of the first file of `known` below `folder` that is not as it says, or None."""
    inside = [each for each in known if "/" in each.name]  # those outside have the name of their folder alone
    return damaged(folder, [folder / each.name for each in inside], inside)


def _named(folder: Path, paths: Iterable[Path]) -> Iterator[tuple[str, list[Path]]]:
    outside: dict[str, list[Path]] = {}
    for path in paths:
        if path.is_relative_to(folder):
            yield printable(path.relative_to(folder).as_posix()), [path]
        else:
            outside.setdefault(printable(path.parent.name), []).append(path)
    yield from outside.items()


def _described(name: str, files: Sequence[Path]) -> KeptFile:
    digest, size = hashlib.sha256(), 0
    for path in files:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
                beat()
    return KeptFile(name=name, size_bytes=size, sha256=digest.hexdigest())
