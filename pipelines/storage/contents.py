"""The whole contents of a file or a folder of pictures as one SHA-256, streamed in bounded memory.

Hashing what is large is done once: the answer is kept for as long as path, size, times, inode and device stay as they
are. SHA-256 since it is what weights are published with, `sha256sum` prints the same, and today's CPUs have
instructions for it.
"""

import hashlib
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memory.units import MIB
from pipelines.errors import InputChanged
from pipelines.storage import hash_cache

Tick = Callable[[int], None]
"""Called while contents are read, with the number of bytes since the last call; may raise to stop."""

_CHUNK_BYTES = MIB
_WORTH_KEEPING_BYTES = 8 * MIB
"""Smaller contents are read again each time, which takes about 5 ms, as long as looking an answer up and keeping it."""
_CLOCK_TICK_SECONDS = 0.02
"""Two changes of a file within one tick of the kernel's clock, at most 10 ms, get the same time; doubled."""
_WHOLE_SECONDS = 2.0
"""The same for file systems that keep whole seconds, of which FAT keeps every other one."""


@dataclass(frozen=True)
class Contents:
    """Size and SHA-256 of whole contents. `written` is the state on disk that they were read in, without ctime."""

    size_bytes: int
    sha256: str
    written: str


@dataclass(frozen=True)
class _State:
    """What the file system says about a file, or about all files of a folder.

    `known` hashes everything, `written` all but ctime, which changes with every new link too.
    """

    files: tuple[Path, ...]
    is_folder: bool
    size_bytes: int
    known: str
    written: str
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> "_State":
        """Look at `path`. Raises OSError."""
        is_folder = path.is_dir()
        files = tuple(sorted(p for p in path.iterdir() if p.is_file())) if is_folder else (path,)
        known, written, size_bytes, changed_ns = hashlib.sha256(), hashlib.sha256(), 0, 0
        for file in files:
            found = file.stat()
            size_bytes += found.st_size
            changed_ns = max(changed_ns, found.st_mtime_ns, found.st_ctime_ns)
            name = os.fsencode(file.name) if is_folder else b""
            stated = f"{found.st_size} {found.st_mtime_ns} {found.st_ino} {found.st_dev}"
            written.update(name + b"\0" + stated.encode() + b"\n")
            known.update(name + b"\0" + f"{stated} {found.st_ctime_ns}\n".encode())
        return cls(files, is_folder, size_bytes, known.hexdigest(), written.hexdigest(), changed_ns)

    def has_settled(self, now_ns: int) -> bool:
        """Whether any change from now on would show in the times."""
        return now_ns - self.changed_ns > self._tick_seconds * 1e9

    def wait_to_settle(self) -> None:
        """Wait until `has_settled`, where that takes milliseconds only."""
        if self._tick_seconds == _CLOCK_TICK_SECONDS and not self.has_settled(time.time_ns()):
            time.sleep(2 * _CLOCK_TICK_SECONDS)

    @property
    def _tick_seconds(self) -> float:
        return _CLOCK_TICK_SECONDS if self.changed_ns % 1_000_000_000 else _WHOLE_SECONDS


def read_contents(path: Path, tick: Tick = lambda count: None) -> Contents:
    """Hash all bytes of the file at `path`, or names, sizes and all bytes of the files in the folder there.

    Holds one chunk, and for a folder its list of files. Raises OSError, and InputChanged where it changes meanwhile.
    """
    before, started_ns = _State.of(path), time.time_ns()
    is_kept = before.size_bytes >= _WORTH_KEEPING_BYTES
    if is_kept and (known := hash_cache.find(path, before.known)):
        return Contents(before.size_bytes, known, before.written)
    if is_kept and not before.has_settled(started_ns):
        before.wait_to_settle()
        before, started_ns = _State.of(path), time.time_ns()
    sha256 = _hash(before, tick)
    after = _State.of(path)
    if sha256 is None or after.written != before.written:
        raise InputChanged(
            f"{path.name} is being changed.",
            "Wait until it is complete, then start again.",
            "input.being_changed",
            name=path.name,
        )
    if is_kept and after.known == before.known and before.has_settled(started_ns):
        hash_cache.keep(path, before.known, sha256)
    return Contents(before.size_bytes, sha256, before.written)


def written_state(path: Path) -> str:
    """Return what changes whenever something is written at `path`; empty where it is gone."""
    try:
        return _State.of(path).written
    except OSError:
        return ""


def remember(path: Path, contents: Contents) -> None:
    """Keep `contents` as those of `path` where nothing was written since: a new link changes the state of a file."""
    if contents.size_bytes < _WORTH_KEEPING_BYTES:
        return
    now = _State.of(path)
    if now.written == contents.written:
        hash_cache.keep(path, now.known, contents.sha256)


def _hash(state: _State, tick: Tick) -> str | None:
    """The SHA-256 of the files of `state`; None where one has not the size that it had."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(_CHUNK_BYTES))
    for file in state.files:
        with file.open("rb", buffering=0) as opened:
            left = os.fstat(opened.fileno()).st_size
            if state.is_folder:
                digest.update(os.fsencode(file.name) + b"\0" + struct.pack(">Q", left))
            # One byte more than there should be: a file that grows as fast as it is read is no endless one.
            while count := opened.readinto(chunk[: min(left + 1, _CHUNK_BYTES)]):
                left -= count
                if left < 0:
                    return None
                digest.update(chunk[:count])
                tick(count)
            if left:
                return None
    return digest.hexdigest()
