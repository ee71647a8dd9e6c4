"""What a job reads, and how it is known again: by its contents, never by where it lies."""

import hashlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from memory.units import MIB
from pipelines.errors import NotAVideo

_PIECE_BYTES = 2**12


class InputFile(BaseModel):
    """A file or folder of images that a job reads, and what was in it.

    `fingerprint` hashes size, first and last MiB; of a folder the names, sizes, first and last 4 KiB of its files: a
    picture that is touched up may keep its length, but hardly the checksum that it ends with.
    """

    model_config = ConfigDict(
        frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )
    path: Path
    size_bytes: int
    fingerprint: str = Field(alias="content")
    """In `job.json` by its first name, `content`."""

    @classmethod
    def of(cls, path: Path) -> "InputFile":
        """Look at `path`. Raises NotAVideo where it cannot be read."""
        path = path.expanduser().absolute()
        try:
            files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
            digest = hashlib.sha256()
            if path.is_dir():
                digest.update("".join(f"{f.name}/{f.stat().st_size}/" for f in files).encode())
            for file in files:
                _hash_ends(file, digest, _PIECE_BYTES if path.is_dir() else MIB)
            return cls(
                path=path, size_bytes=sum(f.stat().st_size for f in files), fingerprint=digest.hexdigest()
            )
        except OSError as error:
            raise NotAVideo(
                f"{path} cannot be read: {error.strerror or error}.", "Check the path and its permissions."
            ) from error


def _hash_ends(path: Path, digest: "hashlib._Hash", end_bytes: int) -> None:
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        digest.update(file.read(end_bytes))
        if size > 2 * end_bytes:
            file.seek(-end_bytes, os.SEEK_END)
        digest.update(file.read(end_bytes))
