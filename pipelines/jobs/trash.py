"""Deletion below the jobs folder in two steps: rename into `.trash`, which is atomic, then erase.

A kill in between leaves something in the trash and nothing that looks like a job. Symbolic links are never followed,
neither for measuring nor for erasing.
"""

import logging
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pipelines.errors import BadInput, kind_of
from pipelines.jobs.job import Job
from pipelines.storage.atomic import prefixed

log = logging.getLogger(__name__)

_TRASH, _UPLOADS, _CACHE = ".trash", "uploads", "cache"
_LOOKS = ("stills", "faces", "poses")
"""Folders of the cache with what the page has drawn of uploads, in folders named by the hashes of those."""
_BLOCK_BYTES = 512
"""The unit of `st_blocks`, whatever the file system's own block size (POSIX)."""


def disk_bytes(paths: Iterable[Path], *, freed: bool = False) -> int:
    """Disk usage at and below `paths` in bytes; a file with several hard links counts once.

    `freed`: count only what deleting all of `paths` would free, so no file that has another link elsewhere. Holds one
    number for each file with several links.
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


def move_job(job: Job) -> Path:
    """Move the job's folder to the trash; return its new path. Raises BadInput where a process is running it."""
    with job.runner() as free:
        if not free:
            raise BadInput(f"The job {job.id} is running.", "Cancel it first.", "job.busy")
        return _move(job.folder, job.folder.parent)


def move_unread(jobs_dir: Path, uploads: Iterable[Path]) -> dict[Path, Path]:
    """Move those of `uploads` that no job reads to the trash; return their new paths. Reads every job's record."""
    return {upload: _move(upload, jobs_dir) for upload, _ in _stats(unread(jobs_dir, uploads))}


def unread(jobs_dir: Path, uploads: Iterable[Path]) -> list[Path]:
    """Those of `uploads` that no job reads. Reads every job's record."""
    if not (left := {_key(upload): upload for upload in uploads}):
        return []
    for record in jobs_dir.glob("*/job.json"):
        for key in _input_keys(Job(record.parent)):
            left.pop(key, None)
    return list(left.values())


def move_copies(jobs_dir: Path, folder: Path) -> list[Path]:
    """Move the hard links by which the page serves files of `folder` to the trash; return their new paths."""
    inodes = {_inode(found) for found in _walk([folder]) if found.st_nlink > 1}
    if not inodes:
        return []
    return [_move(path, jobs_dir) for path, found in _stats(served(jobs_dir)) if _inode(found) in inodes]


def looks(jobs_dir: Path) -> list[Path]:
    """What the page has drawn of uploads, in a folder for each upload or pair of uploads."""
    return [path for kind in _LOOKS for path in _children(jobs_dir / _CACHE / kind)]


def move_looks(jobs_dir: Path, uploads: Iterable[Path]) -> list[Path]:
    """Move what the page has drawn of `uploads`, which go, to the trash; return the new paths."""
    gone = {upload.parent.name for upload in uploads}
    drawn = [path for path in looks(jobs_dir) if not gone.isdisjoint(path.name.split("-"))]
    return [_move(path, jobs_dir) for path, _ in _stats(drawn)]


def move_remains(jobs_dir: Path, folder: Path, uploads: Iterable[Path]) -> list[Path]:
    """Move what goes with a job, whose folder is in the trash at `folder` now, there as well; return the new paths.

    It is the copies that the page serves, those of its `uploads` that no other job reads, and what was drawn of those.
    """
    copies, alone = move_copies(jobs_dir, folder), move_unread(jobs_dir, uploads)
    return [*copies, *alone.values(), *move_looks(jobs_dir, alone)]


def erase(paths: Iterable[Path]) -> int:
    """Erase what is in the trash at `paths`; return the bytes of disk that this freed."""
    paths = list(paths)
    freed = disk_bytes(paths, freed=True)
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
        if os.path.lexists(path):
            log.warning("%s cannot be erased: check its permissions", path)
    return freed


def leftovers(jobs_dir: Path) -> list[Path]:
    """What is still in the trash because the process that put it there was killed."""
    return _children(jobs_dir / _TRASH)


def uploads_of(job: Job) -> set[Path]:
    """The uploads among the inputs of `job`."""
    top = job.folder.parent / _UPLOADS
    named = [top.joinpath(*key) for key in _input_keys(job)]
    # Only what a listing shows: a record might name `..`.
    return {path for path in named if path.parent in _children(top) and path in _children(path.parent)}


def uploads(jobs_dir: Path) -> list[Path]:
    """All uploads, whether a job reads them or not."""
    return [path for folder in _children(jobs_dir / _UPLOADS) for path in _children(folder)]


def served(jobs_dir: Path) -> list[Path]:
    """The files that the page serves: uploads as received, and hard links to results."""
    return [path for folder in _children(jobs_dir / _CACHE) for path in _children(folder)]


def served_files(jobs_dir: Path) -> list[Path]:
    """The same with the files of folders in place of those: the stills of a video share one."""
    return [
        file
        for path in served(jobs_dir)
        for file in (_children(path) if path.is_dir() and not path.is_symlink() else [path])
    ]


def broken_off(jobs_dir: Path) -> list[Path]:
    """What comes in the page's cache, or came there until the server was killed."""
    return [path for path in _children(jobs_dir / _CACHE) if path.name.startswith("tmp") and path.is_file()]


def ownerless_bytes(jobs_dir: Path) -> int:
    """Disk that no job holds: the page's cache without results, and uploads that no job reads."""
    return disk_bytes([jobs_dir / _CACHE, *unread(jobs_dir, uploads(jobs_dir))], freed=True)


def unchanged_since(paths: Iterable[Path], seconds: float) -> list[Path]:
    """Those of `paths` with neither new contents nor a new link since then (seconds since the epoch)."""
    return [path for path, found in _stats(paths) if found.st_ctime < seconds]


def remove_empty_folders(jobs_dir: Path, seconds: float) -> None:
    """Remove folders of uploads and served files that have been empty since then (seconds since the epoch)."""
    for path in (*_children(jobs_dir / _UPLOADS), *_children(jobs_dir / _CACHE)):
        # A folder that is not empty raises OSError.
        with suppress(OSError):
            if path.lstat().st_mtime < seconds:
                path.rmdir()


def _move(path: Path, jobs_dir: Path) -> Path:
    target = jobs_dir / _TRASH / prefixed(f"{time.time_ns()}-", path.name)
    try:
        target.parent.mkdir(exist_ok=True)
        return path.rename(target)
    except OSError as error:
        raise kind_of(error)(
            f"{path.name} cannot be deleted: {error.strerror or error}.",
            "Check the permissions of --jobs-dir.",
        ) from error


def _key(path: Path) -> tuple[str, ...]:
    """What identifies an upload: the last two parts of its path, since the jobs folder may have been moved."""
    return path.parts[-2:]


def _input_keys(job: Job) -> set[tuple[str, ...]]:
    # A job without a readable record has no inputs.
    with suppress(BadInput):
        return {_key(known.path) for known in job.record().inputs}
    return set()


def _walk(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Everything at and below `paths`, folders included; what vanishes meanwhile is skipped."""
    for path, found in _stats(paths):
        yield found
        if stat.S_ISDIR(found.st_mode):
            yield from _below(str(path))


def _below(folder: str) -> Iterator[os.stat_result]:
    # Plain strings: with many files, `Path` objects would take most of the time.
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
