"""The worker process of a job queue: started on demand, kept warm between jobs, stopped when idle.

Heavy work runs there, so that a crash, the kernel's out-of-memory killer or a leaking driver costs one span and never
the page. This module stays light, because the page imports it.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

from pydantic import ValidationError

from memory.slot import Slot
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.neighbours import Beside, Neighbour
from pipelines.runtime.watchdog import QUIET_SECONDS, TICK_SECONDS, Watchdog
from pipelines.storage.paths import PROJECT_ROOT
from pipelines.workers.children import describe_exit, kill_tree, worker_environment
from pipelines.workers.runner import ALONE, Team, WorkerState

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
"""How long a worker may take to stop before it is killed: it stops at its next frame, which may be a slow one."""


class WorkerProcess:
    """Runs jobs in one worker process, started at the first job and kept warm for the next ones."""

    def __init__(self, stuck_seconds: float | None = None, team: Team = ALONE) -> None:
        """`stuck_seconds`: silence after which the worker is killed; None: as `Watchdog` finds usual.

        `team`: who may compute a job together with it.
        """
        self._stuck_seconds = stuck_seconds
        self._team = team
        self._process: subprocess.Popen[bytes] | None = None
        self._state = WorkerState()
        self._last_lines: deque[str] = deque(maxlen=20)
        self._slot: Slot | None = None
        self._beside = Beside(neighbours=())
        self._saying = threading.Lock()

    @property
    def worker(self) -> WorkerState:
        """The state of the worker; none where it died while idle."""
        process = self._process
        return self._state if process and process.poll() is None else WorkerState()

    def run(self, job: Job, on_event: Callable[[Event], None]) -> str | None:
        """Send `job` to the worker and wait until it ends; return None, or how the worker died."""
        process = self._ensure_started()
        assert process.stdin and process.stdout
        self._state = replace(self._state, state="busy", jobs_run=self._state.jobs_run + 1)
        if self._beside.neighbours:
            self._say(self._beside.model_dump_json().encode())
        self._say(json.dumps(os.fsdecode(job.folder)).encode())
        with _watched(process, job, Watchdog(self._stuck_seconds)) as watch:
            for line in process.stdout:
                if (event := _parse(line)) and event.job == job.id:
                    watch.dog.hear(event)
                    if isinstance(event, events.Planned):
                        self._state = replace(self._state, engine=event.engine)
                    on_event(event)
                    if isinstance(event, (*events.ENDINGS, events.Queued)):
                        self._state = replace(self._state, state="warm")
                        return None
        death = self._describe_death(process)
        return watch.reason or death

    def move_to(self, slot: Slot) -> None:
        """Run the next job at `slot`, in another process where this one sees other devices."""
        if self._slot and self._slot.environment != slot.environment:
            self.let_go()
        self._slot = slot

    def meet(self, neighbours: Sequence[Neighbour]) -> None:
        """Tell the worker who runs beside it."""
        beside = Beside(neighbours=tuple(neighbours))
        if beside != self._beside:
            self._beside = beside
            self._say(beside.model_dump_json().encode())

    def _say(self, line: bytes) -> None:
        process = self._process
        # Fails where the worker is being stopped at this moment, which `run` notices.
        with contextlib.suppress(BrokenPipeError, ValueError), self._saying:
            if process and process.stdin:
                process.stdin.write(line + b"\n")
                process.stdin.flush()

    def let_go(self) -> None:
        """Stop the worker: closing its stdin makes it leave at the next frame. Kill it where it does not."""
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

    def _ensure_started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.let_go()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.workers.main", self._argument()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=PROJECT_ROOT,
                env={**worker_environment(), **dict(self._slot.environment if self._slot else ())},
                # In its own session, so that Ctrl-C reaches only the command line, which then asks the job to stop.
                start_new_session=True,
            )
            self._state = WorkerState("warm", self._process.pid, since=time.time())
            threading.Thread(target=self._listen_to_stderr, args=(self._process,), daemon=True).start()
        return self._process

    def _argument(self) -> str:
        asked = {"parent": os.getpid(), "stuck_seconds": self._stuck_seconds, "team": asdict(self._team)}
        return json.dumps(asked)

    def _listen_to_stderr(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stderr or ():
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            log.info("worker: %s", text)

    def _describe_death(self, process: subprocess.Popen[bytes]) -> str:
        code = process.wait()
        self.let_go()
        return describe_exit(code, self._last_lines)


class _Watch:
    """Kills a worker that is silent for too long, or silent and asked to stop; `reason` then says why."""

    def __init__(self, process: "subprocess.Popen[bytes]", job: Job, dog: Watchdog) -> None:
        self.dog = dog
        self.reason = ""
        self._process, self._job = process, job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            self.dog.tick()
            seconds = self.dog.silent_seconds
            if self.dog.is_stuck or (seconds >= QUIET_SECONDS and self._job.requested()):
                self.reason = f"made no progress for {seconds:.0f} s and was replaced"
                kill_tree(self._process.pid)
                return


@contextlib.contextmanager
def _watched(process: "subprocess.Popen[bytes]", job: Job, dog: Watchdog) -> Iterator[_Watch]:
    watch = _Watch(process, job, dog)
    try:
        yield watch
    finally:
        watch.close()


def _parse(line: bytes) -> Event | None:
    try:
        return events.parse(line)
    except ValidationError:
        return None
