"""Files in an object store by their contents: each under the hash of its bytes, in pieces, put once.

Pieces bound what is held in memory and what is sent again after an interruption, and are far below the 5 GiB that S3
takes at once.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from memory.units import MIB
from pipelines.storage.atomic import put_once
from pipelines.storage.kept_files import KeptFile
from pipelines.storage.object_store import ObjectStore, Patience

_PIECE_BYTES = 16 * MIB


class NotInStore(Exception):
    """A file is not in the store, or its bytes are not those that its hash says."""


def put_file(
    store: ObjectStore, prefix: str, path: Path, file: KeptFile, patience: Patience, tick: Callable[[], None]
) -> None:
    """Put the bytes of `path` below `prefix`, but those that are there. Holds a piece. Raises OSError for `path`.

    `tick` is called before each piece, and may raise.
    """
    place, count, digest = f"{prefix}/{file.sha256}", _pieces(file), hashlib.sha256()
    # To send a single piece for nothing is cheaper than a list.
    known = patience(lambda: store.list(place)) if count > 1 else {}
    with path.open("rb") as opened:
        for index in range(count):
            tick()
            data = opened.read(_PIECE_BYTES)
            digest.update(data)
            if _name(index) not in known:
                key = f"{place}/{_name(index)}"
                patience(lambda key=key, data=data: store.put_new(key, data))  # type: ignore[misc]
    if digest.hexdigest() != file.sha256:  # what others would read under this name for ever
        patience(lambda: store.remove_all(place))
        raise NotInStore(f"{file.name} was changed while it was sent")


def fetch_file(
    store: ObjectStore, prefix: str, file: KeptFile, path: Path, patience: Patience, tick: Callable[[], None]
) -> None:
    """Publish the bytes of `file` as `path`, unless it is there by then. Holds a piece.

    Raises NotInStore, and OSError where it cannot be written.
    """
    digest = hashlib.sha256()
    with put_once(path) as part:
        with part.open("wb") as opened:
            for index in range(_pieces(file)):
                tick()
                key = f"{prefix}/{file.sha256}/{_name(index)}"
                if (data := patience(lambda key=key: store.get(key))) is None:  # type: ignore[misc]
                    raise NotInStore(f"{file.name} is not in the store")
                digest.update(data)
                opened.write(data)
        if digest.hexdigest() != file.sha256:
            raise NotInStore(f"{file.name} is damaged in the store")


def _pieces(file: KeptFile) -> int:
    return max(1, -(-file.size_bytes // _PIECE_BYTES))


def _name(index: int) -> str:
    return f"{index:06d}"
