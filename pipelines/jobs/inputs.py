"""The inputs of a job, identified by their contents and never by their paths."""

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from memory.units import KIB, MIB
from pipelines.errors import NotAVideo, fault_of
from pipelines.storage.contents import Tick, read_contents
from pipelines.storage.names import StoredPath
from pipelines.storage.special_files import reject_special

FingerprintKind = Literal["ends-v1", "sha256"]
"""What a fingerprint is a hash of: the size and both ends, as in jobs of earlier versions, or all bytes."""

_FILE_END_BYTES = MIB
"""What `ends-v1` hashes at each end of a file."""
_IMAGE_END_BYTES = 4 * KIB
"""What `ends-v1` hashes at each end of a file in a folder."""


class InputFile(BaseModel):
    """A file or folder of images that a job reads, with a fingerprint of its contents.

    `fingerprint` is the SHA-256 of all bytes of a file, as `sha256sum` prints it, or of the names, sizes and all bytes
    of the files in a folder. Jobs of earlier versions have the kind `ends-v1`, by which a change in the middle is not
    seen.
    """

    model_config = ConfigDict(
        frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )
    path: StoredPath
    size_bytes: int
    fingerprint: str = Field(alias="content")
    """Stored in `job.json` under its original name, `content`."""
    fingerprint_kind: FingerprintKind = "ends-v1"
    """Records of earlier versions do not state it."""

    @classmethod
    def of(cls, path: Path, kind: FingerprintKind = "sha256", tick: Tick = lambda count: None) -> "InputFile":
        """Fingerprint `path`, calling `tick` while it is read.

        Raises NotAVideo where it cannot be read, or is no file; InputChanged where it changes meanwhile.
        """
        path = path.expanduser().absolute()
        reject_special(path)
        try:
            if kind == "ends-v1":
                size_bytes, fingerprint = _hash_ends(path)
            else:
                contents = read_contents(path, tick)
                size_bytes, fingerprint = contents.size_bytes, contents.sha256
        except OSError as error:
            raise fault_of(error, NotAVideo)(
                f"{path} cannot be read: {error.strerror or error}.", "Check the path and its permissions."
            ) from error
        return cls(path=path, size_bytes=size_bytes, fingerprint=fingerprint, fingerprint_kind=kind)

    def is_same(self, path: Path, tick: Tick = lambda count: None) -> bool:
        """Whether `path` has these contents now, as far as this kind of fingerprint shows. Raises as `of`."""
        return InputFile.of(path, self.fingerprint_kind, tick).fingerprint == self.fingerprint


def _hash_ends(path: Path) -> tuple[int, str]:
    """Size and `ends-v1` of `path`: of the size and the ends of a file, or of names, sizes and ends in a folder."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    digest, size_bytes = hashlib.sha256(), 0
    end_bytes = _IMAGE_END_BYTES if path.is_dir() else _FILE_END_BYTES
    if path.is_dir():
        names = "".join(f"{f.name}/{f.stat().st_size}/" for f in files)
        digest.update(names.encode("utf-8", "surrogateescape"))
    for file in files:
        size = file.stat().st_size
        size_bytes += size
        digest.update(size.to_bytes(8, "big"))
        with file.open("rb") as opened:
            digest.update(opened.read(end_bytes))
            if size > 2 * end_bytes:
                opened.seek(-end_bytes, os.SEEK_END)
            digest.update(opened.read(end_bytes))
    return size_bytes, digest.hexdigest()
