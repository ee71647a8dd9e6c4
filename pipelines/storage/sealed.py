"""Files that carry their own hash, so that a damaged one is not taken for what was written."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipelines.storage.atomic import write_bytes
from pipelines.storage.kept_files import KeptFile, damaged, describe

_SEAL = "seal"


class Damaged(ValueError):
    """The file is no JSON object, or has another content than was written."""


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, complete or absent, with the SHA-256 of its canonical form as a field."""
    sealed = {**content, _SEAL: _hash(content)}
    write_bytes(path, json.dumps(sealed, ensure_ascii=False, indent=1).encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote. A file of an earlier version, which has no hash, is taken as it is.

    Raises Damaged, and OSError where it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise Damaged(str(error)) from error
    if not isinstance(content, dict):
        raise Damaged("not a JSON object")
    seal = content.pop(_SEAL, None)
    if seal is not None and seal != _hash(content):
        raise Damaged("its hash is another one")
    return content


def seal(path: Path) -> None:
    """Write the hash of a finished file beside it. Raises OSError."""
    write_sealed(_beside(path), describe(path.parent, [path])[0].model_dump())


def is_as_sealed(path: Path) -> bool:
    """Whether a file is there, and is what it was when its hash was written beside it. Reads it."""
    try:
        return damaged(path.parent, [path], [KeptFile.model_validate(read_sealed(_beside(path)))]) is None
    except (OSError, ValueError):
        return False


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
