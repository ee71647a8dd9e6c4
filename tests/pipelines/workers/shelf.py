"""A plug-in: an object store in a folder, whose conditional puts are hard links, for processes that share it.

`shelf:///folder` keeps the first of two writers; `loose:///folder` does not. What a file in the folder of the store is
called decides how it behaves: `.away`, `.refused`.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import fsspec


class Shelf(fsspec.AbstractFileSystem):
    protocol = "shelf"
    cachable = False

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.partition("://")[2].strip("/") if "://" in path else path

    def _reach(self, path: str) -> Path:
        place = Path(path)
        bucket = next((p for p in (place, *place.parents) if (p / ".bucket").exists()), None)
        if bucket is None:
            raise FileNotFoundError("the bucket")
        if (bucket / ".away").exists():
            raise ConnectionError("no route, secret key hunter2")
        if (bucket / ".refused").exists():
            raise PermissionError("key hunter2 is wrong")
        return place

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        place = self._reach(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.parent / f".part-{os.getpid()}-{secrets.token_hex(4)}"
        part.write_bytes(value)
        try:
            if mode == "create":
                place.hardlink_to(part)
            else:
                part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **more: Any) -> bytes:
        return self._reach(path).read_bytes()

    def find(
        self, path: str, maxdepth: Any = None, withdirs: bool = False, detail: bool = False, **more: Any
    ) -> Any:
        found = {}
        for folder, _, names in os.walk(self._reach(path)):
            for name in names:
                if not name.startswith("."):
                    place = Path(folder) / name
                    try:
                        found[str(place)] = {"mtime": place.stat().st_mtime}
                    except FileNotFoundError:
                        continue
        return found

    def rm_file(self, path: str) -> None:
        self._reach(path).unlink()

    def rm(self, path: Any, recursive: bool = False, maxdepth: Any = None) -> None:
        for each in [path] if isinstance(path, str) else path:
            self._reach(each).unlink(missing_ok=True)


class Loose(Shelf):
    protocol = "loose"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        super().pipe_file(path, value)


def make_bucket(folder: Path) -> str:
    """Make an empty store in `folder` and return its address."""
    folder.mkdir(parents=True)
    (folder / ".bucket").touch()
    return f"shelf://{folder}/prefix"


for kind in (Shelf, Loose):
    fsspec.register_implementation(kind.protocol, kind, clobber=True)
