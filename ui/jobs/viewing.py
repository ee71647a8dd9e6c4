"""Versions for viewing: of what a browser cannot play (H.264, 8 bits, SDR), and of a result together with its source.

Each is made once, when somebody asks, as a job of its own, which the limits of disk and queue hold for as for any
other, and goes with what it shows (`pipelines.jobs.versions`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.engines.availability import resolve
from pipelines.errors import BadInput, InputChanged
from pipelines.jobs import versions
from pipelines.jobs.events import Done
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import CompareSettings, CopySettings
from pipelines.spec import task_spec

Kind = Literal["copy", "compare"]
"""The task that makes a version: the video alone, or with its source above it."""


@dataclass(frozen=True)
class Compared:
    """A result and its source in one video at `path`, the source above; each half is `shown` in a corner of its `room`.

    Sizes are (width, height); `source_frame` is the frame of the source that the first one was made of.
    """

    path: Path
    shown: tuple[int, int]
    room: tuple[int, int]
    source_frame: int


class Viewing:
    """The versions for viewing in one folder of jobs. `ram_limit_gb` limits each of their runs."""

    def __init__(self, queue: JobQueue, ram_limit_gb: float | None = None) -> None:
        self._queue = queue
        self._ram_limit_gb = ram_limit_gb

    @staticmethod
    def source(job: Job) -> Path:
        """Return the result of `job`, of which a version can be made. Raises BadInput where there is none."""
        last = job.journal.last_state()
        if not isinstance(last, Done) or not last.outputs.result:
            raise BadInput("The job has no video.", "Wait until it is done.", "job.no_video")
        return last.outputs.result

    @staticmethod
    def can_compare(job: Job) -> bool:
        """Whether the frames of the result of `job` are those of its first input, changed."""
        return task_spec(job.record().task).before_and_after

    # -- making -----------------------------------------------------------------------------------------------

    def start(self, job: Job, kind: Kind = "copy", visitor: str = "") -> Job:
        """Make a version of the result of `job`, or find the one that was made; return its job, in `visitor`'s turn.

        Raises as `source` and `JobQueue.submit`; InputChanged where the input is another file now.
        """
        result = self.source(job)
        if kind == "copy":
            return self._made(result, job.id, visitor)
        if not self.can_compare(job):
            raise BadInput(
                "The result of this job has no frames to compare with.", "Play it alone.", "compare.none"
            )
        record = job.record()
        known = record.inputs[0]
        if not known.path.exists() or not known.is_same(known.path):
            raise InputChanged(
                "The video that this result was made of has changed or is gone.",
                "Play it alone.",
                "compare.changed",
            )
        asked = record.settings
        settings = CompareSettings(
            codec="h264",
            source_start=asked.start,
            salvage=asked.salvage,
            ram_limit_gb=self._ram_limit_gb,
        )
        made = self._queue.submit(
            "compare", result, resolve("compare", settings), known.path, visitor=visitor
        )
        versions.note(made, job.id)
        return made

    def start_upload(self, kept: Path, content: str, visitor: str = "") -> Job:
        """Make a version of an upload that the jobs folder keeps, with the hash `content`; raises as `submit`."""
        return self._made(kept, content, visitor)

    def _made(self, video: Path, shown: str, visitor: str) -> Job:
        settings = CopySettings(codec="h264", quality="draft", ram_limit_gb=self._ram_limit_gb)
        made = self._queue.submit("copy", video, resolve("copy", settings), visitor=visitor)
        versions.note(made, shown)
        return made

    # -- finding ----------------------------------------------------------------------------------------------

    def find(self, shown: Job | str) -> Path | None:
        """Return the finished version of the result of a job, or of the upload with a hash, if there is one."""
        return next((path for _, path in self._done(shown, "copy")), None)

    def find_compared(self, job: Job) -> Compared | None:
        """Return the finished version that shows the result of `job` with its source, if there is one."""
        for made, path in self._done(job, "compare"):
            summary = json.loads((made.folder / "report.json").read_text(encoding="utf-8"))["summary"]
            return Compared(path, tuple(summary["shown"]), tuple(summary["room"]), summary["source_frame"])
        return None

    @staticmethod
    def is_one(job: Job) -> bool:
        """Whether `job` makes such a version."""
        return versions.is_version(job)

    def _done(self, shown: Job | str, kind: Kind) -> list[tuple[Job, Path]]:
        """The finished versions of one kind with their videos."""
        found = []
        for made in versions.versions(self._queue.jobs_dir, shown.id if isinstance(shown, Job) else shown):
            last = made.journal.last_state()
            if made.record().task == kind and isinstance(last, Done) and last.outputs.result:
                found += [(made, last.outputs.result)] if last.outputs.result.exists() else []
        return found
