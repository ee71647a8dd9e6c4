"""What is asked and what is kept: the job folder, its stable id, its one runner.

The folder is the only truth about a job. Files in it are complete or absent: everything is written under
another name and renamed. An id says what is computed from what (contents, settings that change the result,
version), never where or when; so the same question finds the same folder, and goes on where it was.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines import events
from pipelines.errors import BadInput, InputChanged, NotAVideo
from pipelines.journal import Journal
from pipelines.settings import MODELS, Settings
from pipelines.spans import Span
from pipelines.whole import write_whole

State = Literal["queued", "running", "interrupted", "done", "failed", "paused", "cancelled"]
Request = Literal["cancel", "pause"]

_MIB = 2**20


class Input(BaseModel):
    """A file or folder of images that a job reads, and what was in it.

    `content` hashes size, first and last MiB; of a folder all names and sizes, and its first and last file.
    """

    model_config = ConfigDict(frozen=True)
    path: Path
    size_bytes: int
    content: str

    @classmethod
    def of(cls, path: Path) -> "Input":
        """Look at `path`. Raises NotAVideo where it cannot be read."""
        path = path.expanduser().absolute()
        try:
            files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
            digest = hashlib.sha256()
            if path.is_dir():
                digest.update("".join(f"{f.name}/{f.stat().st_size}/" for f in files).encode())
            for file in files[:: max(1, len(files) - 1)]:
                _hash_ends(file, digest)
            return cls(path=path, size_bytes=sum(f.stat().st_size for f in files), content=digest.hexdigest())
        except OSError as error:
            raise NotAVideo(
                f"{path} cannot be read: {error.strerror or error}.", "Check the path and its permissions."
            ) from error


def _hash_ends(path: Path, digest: "hashlib._Hash") -> None:
    size = path.stat().st_size
    digest.update(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        digest.update(file.read(_MIB))
        if size > 2 * _MIB:
            file.seek(-_MIB, os.SEEK_END)
        digest.update(file.read(_MIB))


class Decision(BaseModel):
    """What was decided at the first start. A resume decides the same again: equal plans give equal bytes."""

    model_config = ConfigDict(frozen=True)
    preset: dict[str, int | str]
    plan: dict[str, Any]


class Record(BaseModel):
    """`job.json`: what was asked, and what was decided at the first start and is kept at every resume."""

    model_config = ConfigDict(frozen=True)
    id: str
    task: str
    result_version: int
    created: float
    inputs: tuple[Input, ...]
    asked: dict[str, Any]
    decision: Decision | None = None

    @property
    def settings(self) -> Settings:
        """The settings asked for, as their model."""
        return MODELS[self.task].model_validate(self.asked)


def job_id(task: str, inputs: tuple[Input, ...], settings: Settings, result_version: int) -> str:
    """16 hex digits of what determines the result: contents, settings that change it, version."""
    identity = {
        "task": task,
        "inputs": [(i.size_bytes, i.content) for i in inputs],
        "settings": settings.identity(),
        "version": result_version,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


class Job:
    """A job folder. Instances hold no open file and may be made freely, in any process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "events.jsonl")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def id(self) -> str:
        """The job's id, which is its folder's name."""
        return self.folder.name

    @classmethod
    def create(
        cls, jobs_dir: Path, task: str, paths: tuple[Path, ...], settings: Settings, result_version: int
    ) -> "Job":
        """The job for this question, new or found again; a found one takes today's paths and ways of running.

        Raises NotAVideo where an input cannot be read, BadInput where `jobs_dir` cannot be written to.
        """
        inputs = tuple(Input.of(p) for p in paths)
        job = cls(jobs_dir.absolute() / job_id(task, inputs, settings, result_version))
        with _writable(jobs_dir), job.runner() as free:
            if free:
                old = job.record() if (job.folder / "job.json").exists() else None
                job.save(
                    Record(
                        id=job.id,
                        task=task,
                        result_version=result_version,
                        created=old.created if old else time.time(),
                        inputs=inputs,
                        asked=settings.model_dump(mode="json"),
                        decision=old.decision if old else None,
                    )
                )
        return job

    @classmethod
    def find(cls, jobs_dir: Path, id: str) -> "Job":
        """The job with this id. Raises BadInput where there is none; an id is a name, never a path."""
        folder = jobs_dir.absolute() / id
        if not id.isalnum() or not (folder / "job.json").is_file():
            raise BadInput(f"There is no job {id!r} in {jobs_dir}.", "`--jobs-dir` says where jobs are kept.")
        return cls(folder)

    @classmethod
    def all(cls, jobs_dir: Path) -> list["Job"]:
        """The jobs that are kept in `jobs_dir`, oldest first; folders that are no jobs are left out."""
        found = []
        for path in jobs_dir.absolute().glob("*/job.json"):
            with suppress(BadInput):
                job = cls(path.parent)
                found.append((job.record().created, job.id, job))
        return [job for *_, job in sorted(found, key=lambda entry: entry[:2])]

    # -- the record ------------------------------------------------------------------------------------------

    def record(self) -> Record:
        """Read `job.json`. Raises BadInput where it is missing or not ours."""
        try:
            return Record.model_validate_json((self.folder / "job.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise BadInput(
                f"{self.folder} is not the folder of a job that can be read.", "Delete it and start again."
            ) from error

    def save(self, record: Record) -> None:
        """Replace `job.json`. Only the job's runner may."""
        write_whole(self.folder / "job.json", record.model_dump_json(indent=1).encode())

    def check_inputs(self) -> None:
        """Raise InputChanged where an input is no longer what the job was started with."""
        for known in self.record().inputs:
            if Input.of(known.path).content != known.content:
                raise InputChanged(
                    f"{known.path} has changed since this job was started.", "Start it again as a new job."
                )

    # -- one runner ------------------------------------------------------------------------------------------

    @contextmanager
    def runner(self) -> Iterator[bool]:
        """Be the job's one runner while the context lasts; yields False where another process is.

        The kernel lets go of the lock when its process ends, however it ends.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def is_running(self) -> bool:
        """Whether some process runs the job now."""
        with self.runner() as free:
            return not free

    def request(self, what: Request) -> None:
        """Ask the job's runner, whichever process it is, to stop."""
        write_whole(self.folder / "request", what.encode())

    def requested(self) -> Request | None:
        """What the runner is asked to do, if anything."""
        try:
            text = (self.folder / "request").read_text()
        except FileNotFoundError:
            return None
        return "cancel" if text == "cancel" else "pause"

    def forget_request(self) -> None:
        """Begin anew: whatever was requested of an earlier run is over."""
        (self.folder / "request").unlink(missing_ok=True)

    # -- how it went -----------------------------------------------------------------------------------------

    def state(self) -> State:
        """What the job is doing. `interrupted`: its runner is gone and it had not ended."""
        last = self.journal.last_state()
        if isinstance(last, events.ENDINGS):
            return last.type
        if self.is_running():
            return "running"
        return "queued" if isinstance(last, events.Queued) else "interrupted"

    # -- finished work ---------------------------------------------------------------------------------------

    def finished(self, folder: str, suffix: str, grid: list[Span]) -> set[Span]:
        """The spans of `grid` that are complete below `folder`; anything else there is left from a kill and removed."""
        kept: set[Span] = set()
        wanted = set(grid)
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for path in (self.folder / folder).iterdir():
            span = Span.from_name(path.name.removesuffix(suffix)) if path.name.endswith(suffix) else None
            if span in wanted:
                kept.add(span)
            else:
                path.unlink()
        return kept

    def count_finished(self) -> int:
        """How many spans, of all stages, are complete."""
        return sum(
            Span.from_name(path.stem) is not None
            for where in (self.folder / "segments", *self.folder.glob("state/*"))
            if where.is_dir()
            for path in where.iterdir()
        )

    def has_result(self) -> bool:
        """Whether the job is done and its files are still there."""
        last = self.journal.last_state()
        return isinstance(last, events.Done) and all(path.exists() for path in last.outputs.paths())

    def forget_work(self) -> None:
        """Remove everything that was computed; only the question stays. Only the job's runner may."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in ("job.json", "lock"):
                path.unlink()
        self.save(self.record().model_copy(update={"decision": None}))


@contextmanager
def _writable(jobs_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"Jobs cannot be kept in {jobs_dir}: {error.strerror or error}.", "Choose another --jobs-dir."
        ) from error
