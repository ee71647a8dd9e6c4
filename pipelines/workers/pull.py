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
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Crew, Lost, Open, Order, Said
from pipelines.workers.limits import MemberLimit
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
            # It is warm when a run takes it.
            crew = self.make()
            try:
                member = crew.hire()
                assert member is not None, "a crew of this machine starts its members itself"
                post = Post(folder / f"{_name()}-{secrets.token_hex(4)}")
                post.open(self.card)
                with Pulse(post.alive) as pulse:
                    run = self._wait(post)
                    if run is None:
                        post.remove()
                        return
                    log.info("taken by %s", run)
                    self._serve(post, pulse, folder / run, crew, member)
            except OSError as error:
                log.warning("the folder %s cannot be used: %s", folder, error)
                self.leaving.wait(_REST_SECONDS)
            finally:
                crew.close()
            if self.leaving.is_set():
                return

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
        with MemberLimit(crew, member) as limit:
            while True:
                for order in post.orders.take(ASKED):
                    if isinstance(order, Leave):
                        crew.close(at_once=order.at_once)
                        post.remove()
                        return
                    order = self._here(order)
                    crew.tell(member, order)
                    if isinstance(order, Open):
                        limit.watch(Job(order.folder))
                if passed := limit.passed():
                    post.answers.put(passed)
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


def _name() -> str:
    """Return a name for the folder of this worker: machine and process."""
    host = "".join(each if each.isalnum() else "-" for each in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}"
