"""A version of a result for viewing, where a browser cannot play the result itself: H.264, 8 bits, SDR.

It is made once, when somebody asks, as a job of its own, which the limits of disk and queue hold for as for any other.
The folder of the job whose result it shows has a note with its id.
"""

import re
from contextlib import suppress
from pathlib import Path

from pipelines.engines.availability import resolve
from pipelines.errors import BadInput
from pipelines.jobs.events import Done
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import CopySettings
from pipelines.storage.atomic import write_bytes

_NOTE = "viewing"
_TASK = "copy"


class Viewing:
    """The versions for viewing of the jobs in one folder."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    @staticmethod
    def source(job: Job) -> Path:
        """Return the result of `job`, of which a version can be made. Raises BadInput where there is none."""
        last = job.journal.last_state()
        if not isinstance(last, Done) or not last.outputs.result:
            raise BadInput("The job has no video.", "Wait until it is done.", "job.no_video")
        return last.outputs.result

    def start(self, job: Job, ram_limit_gb: float | None) -> Job:
        """Make a version of the result of `job`, or find the one that was made; return its job.

        Raises as `source` and `JobQueue.submit`.
        """
        settings = CopySettings(codec="h264", quality="draft", ram_limit_gb=ram_limit_gb)
        made = self._queue.submit(_TASK, self.source(job), resolve(_TASK, settings))
        write_bytes(job.folder / _NOTE, made.id.encode())
        return made

    def find(self, job: Job) -> Path | None:
        """Return the finished version of the result of `job`, if there is one."""
        last = made.journal.last_state() if (made := self._job(job)) else None
        found = last.outputs.result if isinstance(last, Done) else None
        return found if found and found.exists() else None

    def delete(self, job: Job) -> None:
        """Delete the version of the result of `job`, if there is one and it does not run."""
        if made := self._job(job):
            with suppress(BadInput):
                self._queue.delete(made)

    def is_one(self, job: Job) -> bool:
        """Whether `job` makes such a version: its input is the result of another job."""
        record = job.record()
        folder = record.inputs[0].path.parent
        return (
            record.task == _TASK and folder.parent == self._queue.jobs_dir.absolute() and Job(folder).exists()
        )

    def _job(self, job: Job) -> Job | None:
        try:
            id = (job.folder / _NOTE).read_text()
        except FileNotFoundError:
            return None
        made = Job(job.folder.parent / id)
        return made if re.fullmatch("[0-9a-f]{1,64}", id) and made.exists() else None
