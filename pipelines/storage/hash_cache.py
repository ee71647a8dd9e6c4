"""Kept answers to the question what the SHA-256 of a file or folder is, each valid for one state of it on disk.

An answer lies in memory and, for other processes and later ones, as a small file in `fingerprints` in the cache
folder of the user: hashes are asked for whatever the jobs folder is, and weights belong to none. Only the user can
write there; an answer that somebody else wrote is not believed. An answer that is lost, damaged or cannot be kept
costs the time to hash again and nothing else.
"""

import hashlib
import json
import os
import re
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from pipelines.storage.atomic import write_bytes
from pipelines.storage.paths import cache_folder

_MOST_FILES = 4096
"""The most answers on disk: of 200 bytes each, they take a block of 4 KiB each, 16 MiB in all."""
_DROPPED = 1024
"""How many of the oldest go at once when there are too many, so that the folder is not sorted at every answer."""
_MOST_IN_MEMORY = 256
"""The most answers that a process holds: enough for the inputs and weights of all jobs that wait in a queue."""
_SHA256 = re.compile("[0-9a-f]{64}")

_memory: OrderedDict[tuple[str, str], str] = OrderedDict()
_lock = threading.Lock()


def find(path: Path, state: str) -> str | None:
    """Return the kept SHA-256 of `path` in this `state`; None where there is none to rely on."""
    name = _name(path)
    with _lock:
        if known := _memory.get((name, state)):
            _memory.move_to_end((name, state))
            return known
    if known := _read(_folder() / name, state):
        _remember(name, state, known)
    return known


def keep(path: Path, state: str, sha256: str) -> None:
    """Keep `sha256` as the answer for `path` in this `state`, in place of an older one."""
    name, folder = _name(path), _folder()
    _remember(name, state, sha256)
    answer = {"state": state, "sha256": sha256, "check": _check(state, sha256)}
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(folder / name, json.dumps(answer).encode())
        _drop_oldest(folder)


def _remember(name: str, state: str, sha256: str) -> None:
    with _lock:
        _memory[name, state] = sha256
        while len(_memory) > _MOST_IN_MEMORY:
            _memory.popitem(last=False)


def _read(file: Path, state: str) -> str | None:
    try:
        with file.open("rb") as opened:
            if hasattr(os, "geteuid") and os.fstat(opened.fileno()).st_uid != os.geteuid():
                return None
            answer = json.loads(opened.read(1024))
        found = answer["sha256"]
        fits = answer["state"] == state and answer["check"] == _check(state, found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if fits and _SHA256.fullmatch(found) else None


def _drop_oldest(folder: Path) -> None:
    """Remove the oldest answers where there are too many; others may be doing the same."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    if len(names) <= _MOST_FILES:
        return
    aged: list[tuple[float, str]] = []
    for name in names:
        with suppress(FileNotFoundError):
            aged.append(((folder / name).stat().st_mtime, name))
    for _, name in sorted(aged)[: len(names) - _MOST_FILES + _DROPPED]:
        (folder / name).unlink(missing_ok=True)


def _folder() -> Path:
    return cache_folder() / "fingerprints"


def _name(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32] + ".json"


def _check(state: str, sha256: str) -> str:
    """A sum over an answer: a damaged one is noticed, and not taken for another hash."""
    return hashlib.sha256(f"{state} {sha256}".encode()).hexdigest()[:16]
