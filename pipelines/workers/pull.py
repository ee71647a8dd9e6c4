"""A worker that pulls: it joins a shared folder, computes for the run that takes it, and joins again.

This process only carries orders and answers between the folder and a member of its own, so that it gives signs of life
whatever that computes, and outlives it.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from pipelines.errors import LongtakeError, NotEnoughMemory
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Crew, Less, Lost, Open, Order, Ready, Said, Warm
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.memory_watch import MemoryWatch
from pipelines.workers.mailbox import ASKED, GONE_SECONDS, Card, Gone, Leave, Post, Pulse, place

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
"""How often a worker looks whether it was taken, and for orders."""
_REST_SECONDS = 1.0
"""How long a worker waits before it joins again where the folder cannot be used."""


@dataclass(frozen=True)
class FolderWorker:
    """Computes for runs on the jobs in `jobs_dir`, one at a time, with a member of a crew that `make` makes for each.

    Leaves once `leaving` is set, or after `idle_seconds` without a run. Raises OSError where the folder cannot be used
    from the start.
    """

    jobs_dir: Path
    card: Card
    make: Callable[[], Crew]
    leaving: threading.Event
    idle_seconds: float | None = None
    now: Callable[[], float] = time.monotonic

    def work(self) -> None:
        """Work until it is time to leave."""
        folder = place(self.jobs_dir)
        while True:
            crew = self.make()
            try:
                member = crew.hire()
                assert member is not None, "a crew of this machine starts its members itself"
                if not self._is_warm(crew, member):
                    crew.close(at_once=True)
                    return
                post = Post(folder / f"{_name()}-{secrets.token_hex(4)}")
                post.open(self.card)
                with Pulse(post.alive) as pulse:
                    run = self._wait(post)
                    if run is None:
                        post.remove()
                        crew.close(at_once=True)
                        return
                    log.info("taken by %s", run)
                    self._serve(post, pulse, folder / run, crew, member)
            except OSError as error:
                log.warning("this worker cannot join %s: %s", folder, error)
                self.leaving.wait(_REST_SECONDS)
            finally:
                crew.close()
            if self.leaving.is_set():
                return

    def _is_warm(self, crew: Crew, member: int) -> bool:
        """Wait until the member has loaded what jobs need; False where it is time to leave.

        Raises ChildProcessError where it dies.
        """
        crew.tell(member, Warm())
        while not self.leaving.is_set():
            for _, said in crew.poll(_POLL_SECONDS):
                match said:
                    case Ready():
                        return True
                    case Lost(how=how):
                        raise ChildProcessError(f"its process {how}")
                    case events.Failed(message=message):
                        raise ChildProcessError(message)
        return False

    def _wait(self, post: Post) -> str | None:
        """Wait until a run takes this worker and return its name; None where it is time to leave."""
        since = self.now()
        while not (run := post.taken_by()):
            is_idle = self.idle_seconds is not None and self.now() - since >= self.idle_seconds
            # Taken by itself, it cannot be taken any more; on a disk that is full it leaves all the same.
            if (is_idle or self.leaving.is_set()) and (post.take("nobody") or not post.taken_by()):
                return None
            if not post.alive.exists():  # it was taken for dead
                raise FileNotFoundError("it was removed")
            self.leaving.wait(_POLL_SECONDS)
        return run

    def _serve(self, post: Post, pulse: Pulse, run: Path, crew: Crew, member: int) -> None:
        """Carry orders and answers until the run lets go, or is gone, or this worker has to leave."""
        with ExitStack() as until_the_end:
            memory: MemoryWatch | None = None
            while True:
                for order in post.orders.take(ASKED):
                    if isinstance(order, Leave):
                        crew.close(at_once=order.at_once)
                        post.remove()
                        return
                    here = self._here(order)
                    crew.tell(member, here)
                    if isinstance(here, Open):
                        memory = _limited(Job(here.folder), until_the_end)
                if memory and not _fits(memory, crew, member, post):
                    return
                if self._is_over(post, pulse, run, crew):
                    return

    def _is_over(self, post: Post, pulse: Pulse, run: Path, crew: Crew) -> bool:
        """Carry the answers that there are; whether this run needs this worker no longer."""
        for _, said in crew.poll(_POLL_SECONDS):
            if isinstance(said, Lost):
                post.answers.put(Gone(how=said.how))
                return True
            post.answers.put(self._anywhere(said))
        if self.leaving.is_set():
            post.answers.put(Gone(how="was asked to leave", by_itself=True))
            return True
        if pulse.age(run) >= GONE_SECONDS:
            log.info("the run has ended")
            crew.close()
            post.remove()
            return True
        return False

    def _here(self, order: Order) -> Order:
        """Return an order with the paths of this machine."""
        if isinstance(order, Open):
            return order.model_copy(update={"folder": self.jobs_dir / order.folder})
        return order

    def _anywhere(self, said: Said) -> BaseModel:
        """Return an answer with paths below the jobs folder, wherever that is mounted."""
        assert not isinstance(said, Lost)
        if isinstance(said, events.Segment | events.Preview) and said.path.is_relative_to(self.jobs_dir):
            return said.model_copy(update={"path": said.path.relative_to(self.jobs_dir)})
        return said


def _limited(job: Job, until_the_end: ExitStack) -> MemoryWatch | None:
    """Hold what this process and its children have to the limit that the job sets; None where it cannot be read."""
    try:
        limit_gb = job.record().settings.ram_limit_gb
    except LongtakeError:  # the member says why
        return None
    memory = until_the_end.enter_context(MemoryWatch(job, EventLog(job, journal=False), os.getpid()))
    memory.keep_below(limit_gb)
    return memory


def _fits(memory: MemoryWatch, crew: Crew, member: int, post: Post) -> bool:
    """Whether the memory stays below its limit; the member is told where it has to use less, and ended in time."""
    try:
        memory.check()
    except MemoryError:
        crew.tell(member, Less())
    except NotEnoughMemory as error:
        crew.close(at_once=True)
        post.answers.put(events.Failed.of("", error))
        return False
    return True


def _name() -> str:
    """Return a name for the folder of this worker: machine and process."""
    host = "".join(each if each.isalnum() else "-" for each in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}"
