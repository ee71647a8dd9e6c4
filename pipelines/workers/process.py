"""Where jobs run, as the job queue sees it: a worker process, started on demand, kept warm, let go when idle.

Heavy work runs there, so that a crash, the kernel's out-of-memory killer or a leaking driver costs a span, never the
page. This module stays light; a page imports it.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.workers.runner import WorkerState

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
"""How long a worker may take to stop before it is killed."""


class WorkerProcess:
    """A worker process: started at the first job, kept warm for the next ones."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._seen = WorkerState()
        self._last_words: deque[str] = deque(maxlen=20)

    @property
    def worker(self) -> WorkerState:
        """The worker now; one that died while it was idle is none."""
        process = self._process
        return self._seen if process and process.poll() is None else WorkerState()

    def run(self, job: Job, hear: Callable[[Event], None]) -> str | None:
        """Feed `job` to the worker and wait for its end."""
        process = self._started()
        assert process.stdin and process.stdout
        self._seen = replace(self._seen, state="busy", jobs_run=self._seen.jobs_run + 1)
        # A worker that is being let go at this moment: its end is seen below.
        with contextlib.suppress(BrokenPipeError, ValueError):
            process.stdin.write(os.fsencode(job.folder) + b"\n")
            process.stdin.flush()
        for line in process.stdout:
            if (event := _parsed(line)) and event.job == job.id:
                if isinstance(event, events.Planned):
                    self._seen = replace(self._seen, engine=event.engine)
                hear(event)
                if isinstance(event, events.ENDINGS):
                    self._seen = replace(self._seen, state="warm")
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
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.let_go()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.workers.main", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=PROJECT_ROOT,
                env=worker_environment(),
                # Its own session: Ctrl-C in a terminal is for the command line, which then asks the job to stop.
                start_new_session=True,
            )
            self._seen = WorkerState("warm", self._process.pid, since=time.time())
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


def worker_environment() -> dict[str, str]:
    """What a process that computes is started with."""
    # By default every thread gets a heap of its own: with many frames and threads those grow and give nothing back.
    # Threads of a network that wait for each other spin: on a machine that is shared that took nine times the CPU time.
    # And the driver and CUDA must count cards alike.
    ours = {"MALLOC_ARENA_MAX": "2", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**ours, **os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _parsed(line: bytes) -> Event | None:
    try:
        return events.parse(line)
    except ValidationError:
        return None
