"""The inputs of a job, identified by their contents and never by their paths."""

import hashlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from memory.units import KIB, MIB
from pipelines.errors import NotAVideo
from pipelines.storage.names import StoredPath
from pipelines.storage.special_files import reject_special

_IMAGE_END_BYTES = 4 * KIB
"""What is hashed at each end of an image in a folder, which may contain thousands of them."""


class InputFile(BaseModel):
    """A file or folder of images that a job reads, with a fingerprint of its contents.

    `fingerprint` hashes the size and the first and last MiB of a file, or the names, sizes and first and last 4 KiB of
    the files in a folder: a retouched picture may keep its size, but hardly its last bytes, which hold a checksum.
    """

    model_config = ConfigDict(
        frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )
    path: StoredPath
    size_bytes: int
    fingerprint: str = Field(alias="content")
    """Stored in `job.json` under its original name, `content`."""

    @classmethod
    def of(cls, path: Path) -> "InputFile":
        """Fingerprint `path`. Raises NotAVideo where it cannot be read, or is no file."""
        path = path.expanduser().absolute()
        reject_special(path)
        try:
            files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
            digest = hashlib.sha256()
            if path.is_dir():
                digest.update(
                    "".join(f"{f.name}/{f.stat().st_size}/" for f in files).encode("utf-8", "surrogateescape")
                )
            for file in files:
                _hash_ends(file, digest, _IMAGE_END_BYTES if path.is_dir() else MIB)
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
