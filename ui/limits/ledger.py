"""Which visitor put which file into the page's cache, and when it was used last."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from pipelines.storage.atomic import write_bytes

log = logging.getLogger(__name__)

_FRESH_SECONDS = 60.0
"""A use is written down again after this: turning the pages of a pad uses one upload many times a minute."""
_STALE_LINES = 1000
"""So many lines more than there are entries, and the file is written anew."""


class Ledger:
    """The files of each visitor below `folder`, with the time of the last use (seconds since the epoch).

    Thread-safe. Kept in `path` as lines of JSON, appended as they come, so that it survives a restart. Whoever adds
    sees to it that a visitor's files are few; holds one entry per visitor and file.
    """

    def __init__(self, path: Path, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._files: dict[str, dict[str, float]] = {}
        self._lines = 0
        self._load()

    def add(self, visitor: str, files: Iterable[Path]) -> None:
        """Record that `visitor` has just put `files` there; those elsewhere are none of ours."""
        with self._lock:
            self._write([(visitor, name, self._clock()) for file in files if (name := self._name(file))])

    def use(self, files: Iterable[Path]) -> None:
        """Record that `files` are used now, for whoever put them there."""
        with self._lock:
            now, names = self._clock(), {self._name(file) for file in files}
            self._write(
                [
                    (visitor, name, now)
                    for visitor, held in self._files.items()
                    for name in names & held.keys()
                    if now - held[name] > _FRESH_SECONDS
                ]
            )

    def forget(self, visitor: str, file: Path) -> bool:
        """Take `file` from `visitor`; returns whether nobody else put the same there."""
        with self._lock:
            name = self._name(file)
            self._write([(visitor, name, None)])
            return not any(name in held for held in self._files.values())

    def files(self, visitor: str) -> dict[Path, float]:
        """The files of `visitor` with their last uses, oldest use first; files that are gone are dropped from it."""
        with self._lock:
            held = self._files.get(visitor, {})
            self._write([(visitor, name, None) for name in held if not (self._folder / name).exists()])
            held = self._files.get(visitor, {})
            return {self._folder / name: held[name] for name in sorted(held, key=lambda each: held[each])}

    def visitors(self) -> list[str]:
        """Those who have files."""
        with self._lock:
            return list(self._files)

    def _name(self, file: Path) -> str:
        """The path below the folder, which may have been moved between two starts; empty elsewhere."""
        return file.relative_to(self._folder).as_posix() if file.is_relative_to(self._folder) else ""

    def _write(self, changes: list[tuple[str, str, float | None]]) -> None:
        if not changes:
            return
        for change in changes:
            self._apply(*change)
        self._lines += len(changes)
        try:
            if self._lines > _STALE_LINES + sum(map(len, self._files.values())):
                self._rewrite()
            else:
                with self._path.open("ab") as file:
                    file.write(_encoded(changes))
        except OSError as error:
            # It is still known until the server stops.
            log.warning("%s could not be written: %s", self._path.name, error)

    def _apply(self, visitor: str, name: str, used: float | None) -> None:
        held = self._files.setdefault(visitor, {})
        if used is None:
            held.pop(name, None)
        else:
            held[name] = used
        if not held:
            del self._files[visitor]

    def _rewrite(self) -> None:
        entries = [
            (visitor, name, used) for visitor, held in self._files.items() for name, used in held.items()
        ]
        write_bytes(self._path, _encoded(entries))
        self._lines = len(entries)

    def _load(self) -> None:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            # A line may be cut off where the server was killed.
            with suppress(ValueError, TypeError):
                visitor, name, used = json.loads(line)
                if ".." not in Path(name).parts:
                    self._apply(str(visitor), name, None if used is None else float(used))
        self._lines = len(lines)
        for visitor in self.visitors():
            self.files(visitor)


def _encoded(changes: Iterable[tuple[str, str, float | None]]) -> bytes:
    return b"".join(json.dumps(change).encode() + b"\n" for change in changes)
