"""How what is kept below the jobs' folder goes: whole and at once into a bin, out of sight, and then erased.

A kill in between leaves a bin that is not empty, and nothing that looks like a job. Symbolic links are never
followed, neither to measure nor to erase.
"""

import logging
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.jobs.job import Job

log = logging.getLogger(__name__)

_BIN, _UPLOADS, _CACHE = ".trash", "uploads", "cache"
_BLOCK_BYTES = 512


def disk_bytes(paths: Iterable[Path], *, freed: bool = False) -> int:
    """What is at and below `paths` takes on disk, in bytes; a file with several names counts once.

    `freed`: only what goes when all of them go, so nothing that has another name elsewhere. Holds a number for each
    file with several names.
    """
    used = 0
    seen: dict[tuple[int, int], int] = {}
    for found in _walk(paths):
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            inode = _inode(found)
            seen[inode] = seen.get(inode, 0) + 1
            if seen[inode] != (found.st_nlink if freed else 1):
                continue
        used += _used_bytes(found)
    return used


def bin_job(job: Job) -> Path:
    """Take the job's folder out of sight; returns where it is now. Raises BadInput where somebody runs it."""
    with job.runner() as free:
        if not free:
            raise BadInput(f"The job {job.id} is running.", "Cancel it first.")
        return _bin(job.folder, job.folder.parent)


def bin_unread(jobs_dir: Path, uploads: Iterable[Path]) -> dict[Path, Path]:
    """Take those of `uploads` that no job reads out of sight; returns where each is now. Reads every record."""
    if not (unread := {_key(upload): upload for upload in uploads}):
        return {}
    for record in jobs_dir.glob("*/job.json"):
        for key in _input_keys(Job(record.parent)):
            unread.pop(key, None)
    return {upload: _bin(upload, jobs_dir) for upload, _ in _stats(unread.values())}


def bin_copies(jobs_dir: Path, folder: Path) -> list[Path]:
    """Take the names by which the page served files of `folder` out of sight; returns where they are now."""
    inodes = {_inode(found) for found in _walk([folder]) if found.st_nlink > 1}
    if not inodes:
        return []
    return [_bin(path, jobs_dir) for path, found in _stats(served(jobs_dir)) if _inode(found) in inodes]


def erase(paths: Iterable[Path]) -> int:
    """Erase what was taken out of sight; returns how many bytes of disk that freed."""
    paths = list(paths)
    freed = disk_bytes(paths, freed=True)
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
        if os.path.lexists(path):
            log.warning("%s cannot be erased: check the permissions below it", path)
    return freed


def leftovers(jobs_dir: Path) -> list[Path]:
    """What was taken out of sight and not erased, because its process was killed."""
    return _children(jobs_dir / _BIN)


def uploads_of(job: Job) -> set[Path]:
    """The uploads that `job` reads; none of its inputs that lie elsewhere."""
    top = job.folder.parent / _UPLOADS
    named = [top.joinpath(*key) for key in _input_keys(job)]
    # Only what is listed there: a name of a record may be `..`.
    return {path for path in named if path.parent in _children(top) and path in _children(path.parent)}


def uploads(jobs_dir: Path) -> list[Path]:
    """The uploads that are kept, read by a job or not."""
    return [path for folder in _children(jobs_dir / _UPLOADS) for path in _children(folder)]


def served(jobs_dir: Path) -> list[Path]:
    """The files that the page serves: uploads as they came, and other names of results."""
    return [path for folder in _children(jobs_dir / _CACHE) for path in _children(folder)]


def unchanged_since(paths: Iterable[Path], seconds: float) -> list[Path]:
    """Those of `paths` that got neither new contents nor another name since then (seconds since the epoch)."""
    return [path for path, found in _stats(paths) if found.st_ctime < seconds]


def remove_empty_folders(jobs_dir: Path, seconds: float) -> None:
    """Remove folders of uploads and of served files that are empty, and have been since then."""
    for path in (*_children(jobs_dir / _UPLOADS), *_children(jobs_dir / _CACHE)):
        # One that is not empty refuses.
        with suppress(OSError):
            if path.lstat().st_mtime < seconds:
                path.rmdir()


def _bin(path: Path, jobs_dir: Path) -> Path:
    binned = jobs_dir / _BIN / f"{path.name}-{time.time_ns()}"
    try:
        binned.parent.mkdir(exist_ok=True)
        return path.rename(binned)
    except OSError as error:
        raise BadInput(
            f"{path.name} cannot be deleted: {error.strerror or error}.",
            "Check the permissions of --jobs-dir.",
        ) from error


def _key(path: Path) -> tuple[str, ...]:
    """What an upload is known by, contents and name: the jobs' folder may have been moved since a job was asked."""
    return path.parts[-2:]


def _input_keys(job: Job) -> set[tuple[str, ...]]:
    # A record that cannot be read names nothing.
    with suppress(BadInput):
        return {_key(known.path) for known in job.record().inputs}
    return set()


def _walk(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Everything at and below `paths`, folders too; what vanishes meanwhile is left out."""
    for path, found in _stats(paths):
        yield found
        if stat.S_ISDIR(found.st_mode):
            yield from _below(str(path))


def _below(folder: str) -> Iterator[os.stat_result]:
    # Without `Path`, which takes most of the time where there are many files.
    found: list[os.DirEntry[str]] = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        found.extend(entries)
    for entry in found:
        try:
            entry_stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield entry_stat
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)


def _stats(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        yield path, found


def _children(folder: Path) -> list[Path]:
    if folder.is_symlink():
        return []
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _used_bytes(found: os.stat_result) -> int:
    # Windows does not say how many blocks a file takes.
    blocks: int | None = getattr(found, "st_blocks", None)
    return found.st_size if blocks is None else blocks * _BLOCK_BYTES


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
