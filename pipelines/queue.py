"""The job queue: it alone starts jobs, one at a time, first come first served; everyone else listens.

Heavy work runs in a worker process: started on demand, kept warm, let go when idle. A worker that dies costs
the span at hand: the job goes on in a new one. This module stays light; a page imports it.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from pipelines import events
from pipelines.errors import LongtakeError, WorkerDied
from pipelines.events import Event
from pipelines.jobs import Job
from pipelines.settings import Settings
from pipelines.tasks import result_version

log = logging.getLogger(__name__)

_TRIES_PER_SPAN = 3
_STOP_SECONDS = 20.0


class Runner(Protocol):
    """Where a job runs."""

    def run(self, job: Job) -> str | None:
        """Run `job` until it ends. Returns None, or how the runner died before the job ended."""
        ...

    def let_go(self) -> None:
        """Free what is kept warm."""
        ...


class WorkerProcess:
    """A worker process: started at the first job, kept warm for the next ones."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None while there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def run(self, job: Job) -> str | None:
        """Feed `job` to the worker and wait for its end."""
        process = self._started()
        assert process.stdin and process.stdout
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(os.fsencode(job.folder) + b"\n")
            process.stdin.flush()
        for line in process.stdout:
            if (event := _parsed(line)) and event.job == job.id and isinstance(event, events.ENDINGS):
                return None
        return self._how_it_died(process)

    def let_go(self) -> None:
        """Close the worker's stdin and wait: it stops at the next frame. Kill it if it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            if process.stdin:
                process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.let_go()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=Path(__file__).parents[1],
                # The driver and CUDA must count cards alike.
                env={**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
                # Its own session: Ctrl-C in a terminal is for the command line, which then asks the job to stop.
                start_new_session=True,
            )
            threading.Thread(target=self._listen_to_stderr, args=(self._process,), daemon=True).start()
        return self._process

    def _listen_to_stderr(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stderr or ():
            text = line.decode(errors="replace").rstrip()
            self._last_words.append(text)
            log.info("worker: %s", text)

    def _how_it_died(self, process: subprocess.Popen[bytes]) -> str:
        code = process.wait()
        self.let_go()
        if code < 0:
            reason = f"was killed by signal {-code}"
            return reason + (" (the system may have run out of memory)" if code == -9 else "")
        return f"ended with exit status {code}" + (f": {self._last_words[-1]}" if self._last_words else "")


def _parsed(line: bytes) -> Event | None:
    try:
        return events.parse(line)
    except ValidationError:
        return None


class JobQueue:
    """Starts the jobs of one device, first come first served, in a thread of its own.

    Holds one small object per waiting job. `runner` says where they run; an idle runner is let go after
    `idle_seconds`.
    """

    def __init__(
        self, jobs_dir: Path, *, runner: Runner | None = None, idle_seconds: float | None = None
    ) -> None:
        self.jobs_dir = jobs_dir
        self.runner = runner or WorkerProcess()
        self._idle_seconds = idle_seconds
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="job queue", daemon=True)
        self._thread.start()

    def submit(self, task: str, path: Path, settings: Settings, *, force: bool = False) -> Job:
        """Queue the job for this question; a finished one is not computed again unless `force`.

        A job that another process runs is attached to. Raises NotAVideo where the input cannot be read.
        """
        job = Job.create(self.jobs_dir, task, (path,), settings, result_version(task))
        return self.start(job, force=force)

    def start(self, job: Job, *, force: bool = False) -> Job:
        """Queue `job`, new or kept, unless it is finished, waiting or running already."""
        with self._changed:
            # One that has told its end and is about to leave may be queued behind itself.
            ended = job.journal.has_ended()
            if job in self._waiting or (not ended and (job == self._running or job.is_running())):
                return job
            if force:
                job.forget_work()
            elif job.has_result():
                return job
            job.forget_request()
            record = job.record()
            job.journal.append(
                events.Queued(
                    job=job.id, task=record.task, name=record.inputs[0].path.name, position=len(self._waiting)
                )
            )
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def listen(self, job: Job, *, given_up: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """The events of the newest start of `job`, from its first. Closing it never stops the job.

        A job that another process ran, and that was left unfinished by it, is taken over.
        """

        def left_or_given_up() -> bool:
            nobody_runs_it = not self._closed and not self.holds(job) and not job.is_running()
            if nobody_runs_it and not job.journal.has_ended():
                self.start(job)
            return given_up()

        yield from job.journal.follow(job.journal.last_start(), given_up=left_or_given_up)

    def holds(self, job: Job) -> bool:
        """Whether `job` waits or runs here."""
        with self._changed:
            return job in self._mine()

    def stop(self, job: Job, what: str = "cancel") -> None:
        """Cancel or pause `job`, waiting or running, here or in another process."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.journal.append(
                    events.CancelledEvent(job=job.id) if what == "cancel" else events.Paused(job=job.id)
                )
                self._tell_positions()
                return
        job.request("cancel" if what == "cancel" else "pause")

    def close(self) -> None:
        """Stop at the next frame, free the runner and end the thread. Unfinished jobs can be resumed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.runner.let_go()
        self._thread.join(_STOP_SECONDS)

    def _mine(self) -> list[Job]:
        return [*self._waiting, *([self._running] if self._running else [])]

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run(job)
            except (LongtakeError, OSError) as error:
                log.exception("the job %s could not be run", job.id)
                _fail(job, error)
            finally:
                with self._changed:
                    self._running = None
                    self._tell_positions()

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting and not self._closed:
                if not self._changed.wait(self._idle_seconds):
                    self.runner.let_go()
            if self._closed:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _tell_positions(self) -> None:
        for position, job in enumerate(self._waiting):
            record = job.record()
            job.journal.append(
                events.Queued(
                    job=job.id, task=record.task, name=record.inputs[0].path.name, position=position
                )
            )

    def _run(self, job: Job) -> None:
        """Run `job` to its end, in a new worker where one dies: at most three tries at the same span."""
        tries, finished = 0, -1
        while not self._closed:
            death = self.runner.run(job)
            if death is None or self._closed or job.journal.has_ended():
                return
            done = job.count_finished()
            tries, finished = (tries + 1, finished) if done == finished else (1, done)
            if tries >= _TRIES_PER_SPAN:
                _fail(
                    job,
                    WorkerDied(
                        f"The worker {death}, {tries} times at the same place.",
                        "Finished spans are kept. Try a lower --quality or --ram-limit-gb, then resume.",
                    ),
                )
                return
            job.journal.append(
                events.Warned(
                    job=job.id,
                    code="worker_died",
                    message=f"The worker {death}; the job goes on from the last finished span.",
                )
            )


def _fail(job: Job, error: Exception) -> None:
    known = error if isinstance(error, LongtakeError) else LongtakeError(str(error))
    job.journal.append(events.Failed.of(job.id, known))
