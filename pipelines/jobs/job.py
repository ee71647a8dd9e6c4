"""What is asked and what is kept: the job folder, its stable id, its one runner.

The folder is the only truth about a job. Files in it are complete or absent: everything is written under
another name and renamed. An id says what is computed from what (contents, settings that change the result,
version), never where or when; so the same question finds the same folder, and goes on where it was.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import BadInput, InputChanged, NoSuchJob
from pipelines.jobs import events
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.journal import Journal
from pipelines.jobs.lock import is_locked, lock
from pipelines.settings import Settings
from pipelines.spans import Span
from pipelines.spec import read_settings
from pipelines.storage.atomic import write_bytes

State = Literal["queued", "running", "interrupted", "done", "failed", "paused", "cancelled"]
Request = Literal["cancel", "pause"]

_KEPT = ("job.json", "lock", "visitors")
"""What is left of a job whose work is forgotten; `visitors` is the page's list of who may see it."""
_ASKING_TRIES, _ASKING_SECONDS = 100, 0.01


class Decision(BaseModel):
    """What was decided at the first start. A resume decides the same again: equal plans give equal bytes."""

    model_config = ConfigDict(frozen=True)
    preset: dict[str, int | str]
    plan: dict[str, Any]


class JobRecord(BaseModel):
    """`job.json`: what was asked, and what was decided at the first start and is kept at every resume."""

    model_config = ConfigDict(frozen=True)
    id: str
    task: str
    result_version: int
    created: float
    inputs: tuple[InputFile, ...]
    weights: tuple[InputFile, ...] = ()
    asked: dict[str, Any]
    decision: Decision | None = None

    @property
    def settings(self) -> Settings:
        """The settings asked for, as their model."""
        return read_settings(self.task, self.asked)


def job_id(
    task: str,
    inputs: tuple[InputFile, ...],
    settings: Settings,
    result_version: int,
    weights: tuple[InputFile, ...] = (),
) -> str:
    """16 hex digits of what determines the result: contents, settings that change it, weights, version."""
    identity = {
        "task": task,
        "inputs": [(i.size_bytes, i.fingerprint) for i in inputs],
        "settings": settings.identity(),
        "version": result_version,
        "weights": [(w.path.name, w.size_bytes, w.fingerprint) for w in weights],
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
        cls,
        jobs_dir: Path,
        task: str,
        paths: tuple[Path, ...],
        settings: Settings,
        result_version: int,
        weights: tuple[InputFile, ...] = (),
    ) -> "Job":
        """The job for this question, new or found again; a found one takes today's paths and ways of running.

        Raises NotAVideo where an input cannot be read, BadInput where `jobs_dir` cannot be written to.
        """
        inputs = tuple(InputFile.of(p) for p in paths)
        job = cls(jobs_dir.absolute() / job_id(task, inputs, settings, result_version, weights))
        asked = settings.model_dump(mode="json")
        record = JobRecord(
            id=job.id,
            task=task,
            result_version=result_version,
            created=time.time(),
            inputs=inputs,
            weights=weights,
            asked=asked,
        )
        with _writable(jobs_dir):
            for _ in range(_ASKING_TRIES):
                if job._ask(record):
                    break
                # Somebody else makes, or deletes, this very job at the moment.
                time.sleep(_ASKING_SECONDS)
        return job

    def _ask(self, record: JobRecord) -> bool:
        """Keep `record`, unless the job is running; returns whether there is a record now."""
        with self.runner() as free:
            if free:
                if self.exists():
                    old = self.record()
                    record = record.model_copy(update={"created": old.created, "decision": old.decision})
                self.save(record)
            return self.exists()

    @classmethod
    def find(cls, jobs_dir: Path, id: str) -> "Job":
        """The job with this id. Raises NoSuchJob where there is none; an id is a name, never a path."""
        if re.fullmatch("[0-9A-Za-z]{1,64}", id) and (job := cls(jobs_dir.absolute() / id)).exists():
            return job
        raise NoSuchJob(f"There is no job {id!r} in {jobs_dir}.", "`--jobs-dir` says where jobs are kept.")

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

    def exists(self) -> bool:
        """Whether there is a record of the job; a job that was deleted has none."""
        return (self.folder / "job.json").is_file()

    def record(self) -> JobRecord:
        """Read `job.json`. Raises BadInput where it is missing or not ours."""
        try:
            return JobRecord.model_validate_json((self.folder / "job.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise BadInput(
                f"{self.folder} is not the folder of a job that can be read.", "Delete it and start again."
            ) from error

    def save(self, record: JobRecord) -> None:
        """Replace `job.json`. Only the job's runner may."""
        write_bytes(self.folder / "job.json", record.model_dump_json(indent=1).encode())

    def check_inputs(self) -> None:
        """Raise InputChanged where an input is no longer what the job was started with."""
        for known in self.record().inputs:
            if InputFile.of(known.path).fingerprint != known.fingerprint:
                raise InputChanged(
                    f"{known.path} has changed since this job was started.", "Start it again as a new job."
                )

    # -- one runner ------------------------------------------------------------------------------------------

    @contextmanager
    def runner(self) -> Iterator[bool]:
        """Be the job's one runner while the context lasts; yields False where another process is.

        The kernel lets go of the lock when its process ends, however it ends.
        """
        file = lock(self.folder)
        with file or nullcontext():
            yield file is not None

    def is_running(self) -> bool:
        """Whether some process runs the job now."""
        return is_locked(self.folder)

    def request(self, what: Request) -> None:
        """Ask the job's runner, whichever process it is, to stop. A job that was deleted has none."""
        if self.exists():
            write_bytes(self.folder / "request", what.encode())

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

    def state(self, *, held: bool | None = None) -> State:
        """What the job is doing. `interrupted`: its runner, or the queue it waited in, is gone and it had not ended.

        `held` says whether it waits or runs in the job queue of this process, where the caller knows that.
        """
        last = self.journal.last_state()
        if isinstance(last, events.ENDINGS):
            return last.type
        if self.is_running():
            return "running"
        if isinstance(last, events.Queued):
            return "queued" if _is_held(last, held) else "interrupted"
        # A worker that died is being replaced.
        return "running" if held else "interrupted"

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
        """Whether the job is done and its files are still there; of wanted pictures only a run can tell."""
        last = self.journal.last_state()
        if self.record().asked.get("frames_out"):
            return False
        return isinstance(last, events.Done) and all(path.exists() for path in last.outputs.paths())

    def forget_work(self) -> None:
        """Remove everything that was computed; only the question stays. Only the job's runner may."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in _KEPT:
                path.unlink()
        self.save(self.record().model_copy(update={"decision": None}))


def _is_held(queued: events.Queued, held_here: bool | None) -> bool:
    """Whether the queue that a job waits in is still there, as far as can be known."""
    if held_here is not None and queued.queue_pid in (None, os.getpid()):
        return held_here
    if queued.queue_pid is None:
        return True
    try:
        # A process that is younger than the event only has the same number.
        return psutil.Process(queued.queue_pid).create_time() <= queued.time
    except psutil.Error:
        return False


@contextmanager
def _writable(jobs_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"Jobs cannot be kept in {jobs_dir}: {error.strerror or error}.", "Choose another --jobs-dir."
        ) from error
