"""A job's question, to be shown and asked again: its input as a picture, its marks, its settings and its files.

No path of a record is opened for a visitor: an input is found among the uploads that the jobs folder keeps, under the
hash of its contents, and only whoever uploaded it gets it back.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Forbidden, LongtakeError
from pipelines.jobs import trash
from pipelines.jobs.events import Facts
from pipelines.jobs.inputs import InputFile
from pipelines.jobs.job import Job
from pipelines.jobs.record import JobRecord
from pipelines.masks.strokes import MOST_CHARACTERS, read_strokes
from pipelines.storage.atomic import write_bytes
from pipelines.storage.contents import read_contents
from ui.jobs.kind import is_trial
from ui.jobs.uploads import hand_out, still
from ui.server.visitors import Visitor, owners

if TYPE_CHECKING:
    from ui.jobs.service import JobService

_MARKS = "marks"


@dataclass(frozen=True)
class Paint:
    """What was painted on the pad: strokes as text, and whether they are followed."""

    strokes: str = ""
    follow: bool = True

    @property
    def frames(self) -> list[int]:
        """The frames that were painted on. Empty where the text is no strokes."""
        with suppress(LongtakeError):
            return sorted({stroke.frame for stroke in read_strokes(self.strokes)})
        return []


@dataclass(frozen=True)
class Again:
    """A job's question as its form takes it. `files` has None for what is not kept; `names` are those of all."""

    asked: dict[str, Any]
    files: tuple[str | None, ...]
    names: tuple[str, ...]
    painted: Paint
    frame: int | None = None
    """The frame that the form shows first, where it is a certain one."""


def save_marks(job: Job, painted: Paint) -> None:
    """Note what was painted for `job`, which only reads the mask that was made of it; forget it where it is nothing."""
    if painted.strokes.strip():
        text = json.dumps({"strokes": painted.strokes, "follow": painted.follow})
        write_bytes(job.folder / _MARKS, text.encode())
    else:
        (job.folder / _MARKS).unlink(missing_ok=True)


def read_marks(job: Job) -> Paint:
    """What was painted for `job`; nothing where that was not noted."""
    path = job.folder / _MARKS
    with suppress(OSError, ValueError, TypeError, KeyError):
        if path.stat().st_size < 2 * MOST_CHARACTERS:
            noted = json.loads(path.read_bytes())
            return Paint(str(noted["strokes"]), bool(noted["follow"]))
    return Paint()


def may_ask_again(service: "JobService", visitor: Visitor, job: Job) -> bool:
    """Whether `visitor` asked for `job` themselves; a key alone does not give its files away."""
    return service.policy.local or visitor.name in owners(job)


async def again(service: "JobService", visitor: Visitor, job: Job, cache: Path) -> Again:
    """A job's question for the form of `visitor`, with its files linked into the page's `cache`.

    Raises Forbidden where they did not ask for it.
    """
    if not may_ask_again(service, visitor, job):
        raise Forbidden(
            "Only whoever started the job can edit it and run it again.",
            "Upload the video and mark it yourself.",
            "job.again_other",
        )
    return await asyncio.to_thread(_again, service, visitor, job, cache)


def _again(service: "JobService", visitor: Visitor, job: Job, cache: Path) -> Again:
    record, painted = job.record(), read_marks(job)
    asked = {**record.asked, "end": None} if is_trial(record.asked) else dict(record.asked)
    inputs = record.inputs[:1] if painted.strokes else record.inputs
    found = [kept_upload(job, known) for known in inputs]
    files = [hand_out(path, cache, service.inputs_key(job)) if path else None for path in found]
    service.room.ledger.add(visitor.counted_as, [Path(file) for file in files if file])
    return Again(asked, tuple(files), tuple(known.path.name for known in inputs), painted)


def kept_upload(job: Job, known: InputFile) -> Path | None:
    """The upload with the contents of an input of `job`, as the jobs folder keeps it; None where it keeps none."""
    for upload in trash.uploads_of(job):
        is_it = (upload.parent.name, upload.name) == (known.fingerprint, known.path.name)
        if is_it and read_contents(upload).sha256 == known.fingerprint:
            return upload
    return None


async def thumbnail(
    service: "JobService", visitor: Visitor, job: Job, frame: int, cache: Path
) -> Path | None:
    """A picture of frame `frame` of the first input of `job`, drawn by a subprocess; None where that cannot be done."""
    try:
        path = await asyncio.to_thread(_first_input, service, job)
        if path is None:
            return None
        return await still(path, frame, cache, service.policy.most_pixels, service.looks.by(visitor))
    except (LongtakeError, OSError):
        return None


def _first_input(service: "JobService", job: Job) -> Path | None:
    known = job.record().inputs[0]
    # Whoever runs the server for themselves may look at what they started on the command line.
    return kept_upload(job, known) or (known.path if service.policy.local and known.path.exists() else None)


def shown_frame(record: JobRecord, painted: Paint, facts: Facts | None) -> int:
    """The frame of the input that says most of what was asked: the first that is marked, else the first of the run."""
    marks = [*record.asked.get("box", ()), *record.asked.get("point", ())]
    marked = [int(mark.rpartition("@")[2]) for mark in map(str, marks) if mark.rpartition("@")[2].isdecimal()]
    if marked or painted.frames:
        return min([*marked, *painted.frames])
    start = record.asked.get("start")
    if facts is None or not isinstance(start, int | float):
        return 0
    above, _, below = facts.frame_rate.partition("/")
    return max(0, min(facts.frames - 1, round(start * float(above) / float(below or 1))))
