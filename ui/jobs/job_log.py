"""One line in the server's log for each job that ran: who asked for what, its time, its memory, and how it ended."""

import logging
import threading

from memory.units import GIB
from pipelines.errors import LongtakeError
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.storage.names import quoted
from ui.jobs.kind import kind_of_request

log = logging.getLogger(__name__)

_MOST_REMEMBERED = 1000
"""Jobs whose visitors are known by name: more than wait or are resumed between two starts of the server."""


class JobLog:
    """Writes the lines. Thread-safe; remembers who asked for the latest thousand jobs."""

    def __init__(self) -> None:
        self._asked_by: dict[str, str] = {}
        self._lock = threading.Lock()

    def asked(self, job: Job, who: str) -> None:
        """Note who asked for `job` last."""
        with self._lock:
            self._asked_by.pop(job.id, None)
            self._asked_by[job.id] = who
            while len(self._asked_by) > _MOST_REMEMBERED:
                del self._asked_by[next(iter(self._asked_by))]

    def ended(self, job: Job) -> None:
        """Write the line of `job`, which has run. Reads its events, in a thread: the queue goes on meanwhile."""
        who = self._asked_by.get(job.id, "somebody")
        threading.Thread(target=self._write, args=(job, who), name="job log").start()

    @staticmethod
    def _write(job: Job, who: str) -> None:
        try:
            log.info("%s", line(job, who))
        except (LongtakeError, OSError) as error:
            log.info("job %s of %s ended; its record cannot be read: %s", job.id, who, error)


def line(job: Job, who: str) -> str:
    """Return the line of `job`, whose latest run `who` asked for. Raises as `Job.record`."""
    record = job.record()
    started = ended = 0.0
    host_bytes = device_bytes = frames = 0
    ending = "was interrupted"
    for event, _ in job.journal.read(job.journal.last_start()):
        ended = event.time
        match event:
            case events.Started():
                started = started or event.time
            case events.Planned():
                frames = event.frames
            case events.Memory():
                host_bytes, device_bytes = event.host_peak_bytes, event.device_peak_bytes
            case events.Failed():
                ending = f"failed ({event.code})"
            case events.Done() | events.Paused() | events.CancelledEvent():
                ending = event.type
            case _:
                continue
    kind = kind_of_request(record.task, record.asked).replace("_", " ")
    device = f", {device_bytes / GIB:.2f} GiB of a GPU" if device_bytes else ""
    return (
        f"job {job.id} of {who}: {record.task} ({kind}) of {quoted(record.inputs[0].path.name)}, {frames} frames: "
        f"{ending} after {ended - (started or ended):.1f} s, {host_bytes / GIB:.2f} GiB of memory{device} at most"
    )
