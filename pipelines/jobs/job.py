"""A job on disk: its folder, its stable id, its record and its single runner.

The folder is the only source of truth about a job, and its files are complete or absent. The id is a hash of what
determines the result (input contents, settings that change it, version), never of paths or times: the same request
finds the same folder and resumes there.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipelines.errors import BadInput, FolderUnusable, InputChanged, NoSuchJob, is_damage, kind_of
from pipelines.jobs import events
from pipelines.jobs.identity import job_id, reject_other_version
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.journal import Journal
from pipelines.jobs.lock import GATE, is_locked, lock
from pipelines.jobs.record import JobRecord
from pipelines.settings import Settings
from pipelines.spans import Span
from pipelines.spec import task_spec
from pipelines.storage.atomic import is_alive, is_being_written, make_folder, sweep, write_bytes
from pipelines.storage.contents import Tick
from pipelines.storage.kept_files import damaged, damaged_inside, describe
from pipelines.storage.names import printable, quoted, to_json
from pipelines.storage.sealed import Damaged, read_sealed, write_sealed

State = Literal["queued", "running", "interrupted", "done", "failed", "paused", "cancelled"]
Request = Literal["cancel", "pause"]

_KEPT = ("job.json", "lock", GATE, "visitors", "marks", "shows")
"""What stays when computed work is discarded: also the page's notes of who may see it, its marks, what it shows."""
_CREATE_TRIES, _CREATE_SECONDS = 100, 0.01
"""How often, and how many seconds apart, creating a job is tried while another process creates or deletes it."""


class Job:
    """A job folder. Instances hold no open files and may be created freely, in any process."""

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
        """Create the job for this request, or find the existing one and update its paths and run settings.

        Raises the errors of `InputFile.of`, and what `kind_of` calls a `jobs_dir` that cannot be written to.
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
            for _ in range(_CREATE_TRIES):
                if job._save_request(record):
                    break
                # Another process is creating, or deleting, this very job.
                time.sleep(_CREATE_SECONDS)
        return job

    def _save_request(self, record: JobRecord) -> bool:
        """Save `record`, unless the job is running; return whether there is a record now."""
        with self.runner() as free:
            if free:
                if self.exists():
                    try:
                        old = self.record()
                    except FolderUnusable:
                        raise
                    except BadInput:
                        # Its plan is lost: without the log its spans are computed again, and that is told.
                        self.journal.discard()
                    else:
                        # The version is that of what has been computed.
                        kept = old.model_dump(include={"created", "result_version"})
                        record = record.model_copy(update={**kept, "decision": old.decision})
                self.save(record)
            return self.exists()

    @classmethod
    def find(cls, jobs_dir: Path, id: str) -> "Job":
        """Find the job with this id, which is a name and never a path. Raises NoSuchJob."""
        is_name = isinstance(id, str) and re.fullmatch("[0-9A-Za-z]{1,64}", id)
        if is_name and (job := cls(jobs_dir.absolute() / id)).exists():
            return job
        raise NoSuchJob(
            f"There is no job {quoted(id)} in {jobs_dir}.", "Check the id and --jobs-dir.", "job.gone"
        )

    @classmethod
    def all(cls, jobs_dir: Path) -> list["Job"]:
        """All jobs in `jobs_dir`, oldest first; folders without a readable record are skipped."""
        found = []
        for path in jobs_dir.absolute().glob("*/job.json"):
            with suppress(BadInput):
                job = cls(path.parent)
                found.append((job.record().created, job.id, job))
        return [job for *_, job in sorted(found, key=lambda entry: entry[:2])]

    @classmethod
    def unreadable(cls, jobs_dir: Path) -> list[BadInput]:
        """What is wrong with each folder in `jobs_dir` whose record cannot be read."""
        wrong = []
        for path in sorted(jobs_dir.absolute().glob("*/job.json")):
            try:
                cls(path.parent).record()
            except BadInput as error:
                wrong.append(error)
        return wrong

    # -- the record ------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the job has a record; a deleted job has none."""
        return (self.folder / "job.json").is_file()

    def record(self) -> JobRecord:
        """Read `job.json`.

        Raises BadInput where it is missing or no job's record, FolderUnusable where it may not be read, TooManyFiles
        where it cannot be read now.
        """
        try:
            return JobRecord.model_validate(read_sealed(self.folder / "job.json"))
        except (OSError, Damaged, ValidationError) as error:
            if isinstance(error, OSError) and not is_damage(error):
                raise kind_of(error)(
                    f"{self.folder} cannot be read ({error.strerror}).", "Make it readable, then try again."
                ) from error
            raise BadInput(
                f"{self.folder} holds no readable job.",
                "Start the job again with the same command.",
                "job.unreadable",
            ) from error

    def save(self, record: JobRecord) -> None:
        """Replace `job.json`. Only for the job's runner."""
        write_sealed(self.folder / "job.json", json.loads(to_json(record)))

    def check_version(self) -> None:
        """Raise BadInput where another result version than today's has begun to compute the job."""
        record = self.record()
        if record.decision or self.count_finished():
            name = printable(record.inputs[0].path.name) if record.inputs else ""
            reject_other_version(record.task, record.result_version, self.id, name)

    def check_inputs(self, tick: Tick = lambda count: None) -> None:
        """Raise InputChanged where an input has other contents than when the job was created; see `InputFile.of`."""
        for known in self.record().inputs:
            if not known.is_same(known.path, tick):
                raise InputChanged(
                    f"{known.path} has changed since this job was started.",
                    "Start it again as a new job.",
                    "input.changed",
                    name=known.path.name,
                )

    def renew(self) -> None:
        """Make the request one of today's version, and know its inputs by all their bytes. Only for the job's runner.

        Raises as `check_inputs`. What was computed is to be forgotten then.
        """
        self.check_inputs()
        record = self.record()
        inputs = tuple(InputFile.of(known.path) for known in record.inputs)
        version = task_spec(record.task).result_version
        self.save(record.model_copy(update={"inputs": inputs, "result_version": version}))

    # -- one runner ------------------------------------------------------------------------------------------

    @contextmanager
    def runner(self) -> Iterator[bool]:
        """Lock the job for this process while the context lasts; yields False where another process has it locked."""
        file = lock(self.folder)
        with file or nullcontext():
            yield file is not None

    def is_running(self) -> bool:
        """Whether any process is running the job."""
        return is_locked(self.folder)

    def request(self, what: Request) -> None:
        """Ask the job's runner, in whichever process, to stop. Does nothing for a deleted job."""
        if self.exists():
            write_bytes(self.folder / "request", what.encode())

    def requested(self) -> Request | None:
        """What the runner was asked to do, if anything."""
        try:
            text = (self.folder / "request").read_text()
        except FileNotFoundError:
            return None
        return "cancel" if text == "cancel" else "pause"

    def forget_request(self) -> None:
        """Discard a request that was meant for an earlier run."""
        (self.folder / "request").unlink(missing_ok=True)

    # -- how it went -----------------------------------------------------------------------------------------

    def state(self, *, held: bool | None = None) -> State:
        """The state of the job. `interrupted`: it had not ended, and its runner or the queue it waited in is gone.

        `held` says whether the job waits or runs in the queue of this process; None where the caller has no queue.
        """
        last = self.journal.last_state()
        if isinstance(last, events.ENDINGS):
            return last.type
        if self.is_running():
            return "running"
        if isinstance(last, events.Queued):
            return "queued" if _is_held(last, held) else "interrupted"
        # A held job without a runner: its worker died and is being replaced.
        return "running" if held else "interrupted"

    # -- finished work ---------------------------------------------------------------------------------------

    def finished(self, folder: str, suffix: str, grid: list[Span]) -> set[Span]:
        """The spans of `grid` whose files are below `folder`; whether they are whole is not looked at.

        Removes everything else there, except part files that a living process is writing.
        """
        kept: set[Span] = set()
        wanted = set(grid)
        make_folder(self.folder / folder)
        for path in (self.folder / folder).iterdir():
            span = Span.from_name(path.name.removesuffix(suffix)) if path.name.endswith(suffix) else None
            if span in wanted:
                kept.add(span)
            elif not is_being_written(path):
                path.unlink(missing_ok=True)
        return kept

    def count_finished(self) -> int:
        """Count the complete spans of all stages."""
        return sum(
            Span.from_name(path.stem) is not None
            for where in (self.folder / "segments", *self.folder.glob("state/*"))
            if where.is_dir()
            for path in where.iterdir()
        )

    def has_result(self) -> bool:
        """Whether the job is done and its files are as they were made. Reads them."""
        return self.check_result() == ""

    def check_result(self) -> str | None:
        """Compare the files of a finished job with what was told of them: "" where all are whole, else the wrong one.

        Those of the result come first, then those of its spans. None where there is no result to compare: the job is
        not done, an earlier version made it, or it exported frames, which only a run can check. Reads the files.
        """
        last = self.journal.last_state()
        if not isinstance(last, events.Done) or not last.files or self.record().asked.get("frames_out"):
            return None
        wrong = damaged(self.folder, last.outputs.paths(), last.files)
        for files in () if wrong else self.journal.finished_files().values():
            if wrong := damaged_inside(self.folder, files):
                break
        return wrong or ""

    def sweep(self) -> None:
        """Remove what killed processes left half written in the job's folder. What living ones write stays."""
        for folder, *_ in os.walk(self.folder):
            sweep(Path(folder))

    def done_with(self, outputs: events.Outputs) -> events.Done:
        """Return the event that the job is finished, with sizes and hashes of its files. Reads them."""
        return events.Done(job=self.id, outputs=outputs, files=describe(self.folder, outputs.paths()))

    def forget_work(self) -> None:
        """Remove everything that was computed; only the request stays. Only for the job's runner."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in _KEPT:
                path.unlink()
        self.save(self.record().model_copy(update={"decision": None}))


def _is_held(queued: events.Queued, held_here: bool | None) -> bool:
    """Whether the queue that a job waits in still exists, as far as this process can tell."""
    if held_here is not None and queued.queue_pid in (None, os.getpid()):
        return held_here
    if queued.queue_pid is None:
        return True
    return is_alive(queued.queue_pid, since=queued.time)


@contextmanager
def _writable(jobs_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind_of(error)(
            f"Jobs cannot be written to {jobs_dir}: {error.strerror or error}.", "Choose another --jobs-dir."
        ) from error
