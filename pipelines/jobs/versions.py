"""Jobs that only serve to show something: versions of a result or of an upload, which go when that goes.

Such a job's folder has a note with one line for each thing that it shows: a job's id, or the hash of an upload. It is
never written by what a visitor sends.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pipelines.errors import BadInput
from pipelines.jobs.job import Job
from pipelines.storage.atomic import write_bytes

_NOTE = "shows"


def note(version: Job, shown: str) -> None:
    """Note that `version` shows the result of the job `shown`, or the upload with that hash."""
    if shown not in _lines(version.folder / _NOTE):
        with (version.folder / _NOTE).open("a") as file:
            file.write(f"{shown}\n")


def is_version(job: Job) -> bool:
    """Whether `job` only shows something."""
    return (job.folder / _NOTE).is_file()


def versions(jobs_dir: Path, shown: str) -> list[Job]:
    """The jobs that show the result of a job, or an upload. Reads one line for each version there is."""
    notes = jobs_dir.absolute().glob(f"*/{_NOTE}")
    return [Job(path.parent) for path in notes if shown in _lines(path) and Job(path.parent).exists()]


def shown_by(job: Job) -> set[str]:
    """What versions of `job` may show: its result, and its inputs by their hashes."""
    return {job.id, *_hashes(job)}


def left_over(jobs_dir: Path, gone: Collection[str] | None = None) -> list[Job]:
    """Versions of which nothing is left that they show: neither the job, nor a job that reads the upload.

    With `gone`, only those that showed one of these. Reads all records where there is such a version.
    """
    jobs_dir = jobs_dir.absolute()
    notes = {path: _lines(path) for path in jobs_dir.glob(f"*/{_NOTE}")}
    notes = {path: lines for path, lines in notes.items() if gone is None or not set(gone).isdisjoint(lines)}
    if not notes:
        return []
    alive = {shown for job in Job.all(jobs_dir) if not is_version(job) for shown in shown_by(job)}
    return [Job(path.parent) for path, lines in notes.items() if alive.isdisjoint(lines)]


def disown(version: Job) -> None:
    """Note that `version` shows nothing any more: it goes when it has ended."""
    write_bytes(version.folder / _NOTE, b"")


def is_disowned(job: Job) -> bool:
    """Whether `job` is a version that shows nothing any more."""
    return is_version(job) and not _lines(job.folder / _NOTE)


def _hashes(job: Job) -> list[str]:
    with suppress(BadInput):  # it was deleted meanwhile
        return [known.fingerprint for known in job.record().inputs]
    return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
