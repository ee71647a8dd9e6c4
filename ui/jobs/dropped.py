"""A `job.json` that somebody brings: what it asked for is shown in the form again, with the files that are still here.

The text comes from outside. No path in it is opened: its inputs are looked for by the hash of their contents, among the
uploads of whoever brings it.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import BadInput, LongtakeError, NoSuchJob
from pipelines.jobs.job import Job
from pipelines.spec import TaskSpec, settings_model, tasks
from pipelines.storage.contents import read_contents
from pipelines.storage.names import quoted, shortened
from ui.jobs import again
from ui.jobs.listing import unless_deleted
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.server.visitors import Visitor

MOST_CHARACTERS = 256_000
"""The longest text that is read: a record with a thousand boxes and a thousand points has about 100,000."""
_PATHS = ("weights", "frames_out")
"""Settings that are paths of the machine on which the job ran."""


class _Input(BaseModel):
    """An input, by its contents; of its path only the name counts."""

    model_config = ConfigDict(strict=True)
    path: str = Field(max_length=10_000)
    size_bytes: int = Field(ge=0)
    content: str = Field(pattern="^[0-9a-f]{1,128}$")

    @property
    def name(self) -> str:
        """The name of the file, from a path of any system."""
        return PureWindowsPath(PurePosixPath(self.path).name).name


class _Record(BaseModel):
    """The fields of `job.json` that are read here."""

    model_config = ConfigDict(strict=True)
    id: str = Field(max_length=64)
    task: str = Field(max_length=100)
    result_version: int
    inputs: list[_Input] = Field(min_length=1, max_length=16)
    asked: dict[str, Any] = Field(max_length=500)


@dataclass(frozen=True)
class Dropped:
    """What a `job.json` asks for. `id` is what it says of itself, which may be another's."""

    id: str
    task: TaskSpec
    asked: dict[str, Any]
    inputs: tuple[_Input, ...]


def read(text: str) -> Dropped:
    """Read the text of a `job.json`. Raises BadInput for anything else, and for that of another version."""
    if len(text) > MOST_CHARACTERS:
        raise BadInput(
            f"This file is too large for a job.json: more than {MOST_CHARACTERS // 1000} kB.",
            "Choose the job.json from a job's folder.",
            "dropped.large",
            most_bytes=MOST_CHARACTERS,
        )
    try:
        record = _Record.model_validate(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            "This file is no job.json.", "Choose the job.json from a job's folder.", "dropped.other"
        ) from error
    task = tasks().get(record.task)
    if task is None or not task.served:
        raise BadInput(
            f"The task {quoted(record.task)} of this job.json is not known here.",
            "",
            "dropped.task",
            task=record.task,
        )
    if record.result_version != task.result_version:
        raise BadInput(
            "This job.json is from another version of Longtake "
            f"(result version {record.result_version}, here {task.result_version}).",
            "Choose its settings by hand.",
            "dropped.version",
        )
    asked = {name: value for name, value in record.asked.items() if name not in _PATHS}
    try:
        settings = settings_model(task.name).model_validate(asked)
    except (ValidationError, RecursionError) as error:
        raise BadInput(
            "This job.json has settings that do not exist here, or not with these values.",
            "Choose its settings by hand.",
            "dropped.settings",
        ) from error
    return Dropped(record.id, task, settings.model_dump(mode="json"), tuple(record.inputs))


def taken(job: Job) -> str:
    """The text of the `job.json` of a job for whoever asked for it: without folders of this server."""
    record = json.loads((job.folder / "job.json").read_text(encoding="utf-8"))
    for known in record["inputs"]:
        known["path"] = Path(known["path"]).name
    record["asked"] = {name: value for name, value in record["asked"].items() if name not in _PATHS}
    return json.dumps(record, ensure_ascii=False, indent=2)


def question(service: JobService, visitor: Visitor, dropped: Dropped, cache: Path) -> again.Again:
    """The question of a dropped `job.json` for the form of `visitor`, with those of its files that are theirs.

    Files are linked into the page's `cache`. What was painted comes back where the job itself is still theirs. Reads
    the records of all jobs.
    """
    mine = list(_jobs_of(service, visitor))
    painted = again.Paint()
    with suppress(NoSuchJob):
        job = Job.find(service.queue.jobs_dir, dropped.id)
        if job in mine and _hashes(job) == [known.content for known in dropped.inputs]:
            painted = again.read_marks(job)
    inputs = dropped.inputs[:1] if painted.strokes else dropped.inputs
    files = tuple(_file(service, visitor, known, mine, cache) for known in inputs)
    names = tuple(shortened(known.name) for known in inputs)
    return again.Again(dropped.asked, files, names, painted)


def _file(
    service: JobService, visitor: Visitor, known: _Input, mine: Iterable[Job], cache: Path
) -> str | None:
    """An upload of `visitor` with the contents of `known`, as a file that the page serves; None where there is none."""
    for job in mine:
        with unless_deleted(job):
            for each in job.record().inputs:
                if each.fingerprint == known.content and (upload := again.kept_upload(job, each)):
                    file = hand_out(upload, cache, service.inputs_key(job))
                    service.room.ledger.add(visitor.counted_as, [Path(file)])
                    return file
    # Uploads without a job are known by address alone, which several people may share.
    if service.policy.local or visitor.counted_as == visitor.name:
        for file_path in service.room.ledger.files(visitor.counted_as):
            with suppress(OSError):
                is_it = file_path.stat().st_size == known.size_bytes
                if is_it and read_contents(file_path).sha256 == known.content:
                    return str(file_path)
    return None


def _jobs_of(service: JobService, visitor: Visitor) -> Iterable[Job]:
    return (job for job in Job.all(service.queue.jobs_dir) if again.may_ask_again(service, visitor, job))


def _hashes(job: Job) -> list[str]:
    with suppress(LongtakeError):
        return [known.fingerprint for known in job.record().inputs]
    return []


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
