"""A worker that pulls: it joins a shared folder or a store, computes for the run that takes it, and joins again.

This process only carries orders and answers between that place and a member of its own, so that it gives signs of life
whatever that computes, and outlives it.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from pipelines.errors import LongtakeError
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Crew, Lost, Open, Ready, Warm
from pipelines.workers.exchange import (
    ASKED,
    Asked,
    Card,
    Exchange,
    Gone,
    Leave,
    OpenSent,
    Post,
    Pulse,
    WorkerSide,
)
from pipelines.workers.limits import MemberLimit

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
"""How often a worker looks whether it was taken, and for orders."""
_REST_SECONDS = 1.0
"""How long a worker waits before it joins again where that is impossible now."""
_SIGN_SECONDS = 10.0
"""How often a worker that fetches files says that it does."""
_ASKED_TO_LEAVE = Gone(how="was asked to leave", by_itself=True)


@dataclass(frozen=True)
class PulledWorker:
    """Computes for the runs that are met at `exchange`, one at a time, by the one member of a crew from `make`.

    Leaves once `leaving` is set, or after `idle_seconds` without a run. Raises OSError where nobody can be met there
    from the start.
    """

    exchange: Exchange
    card: Card
    make: Callable[[], Crew]
    leaving: threading.Event
    idle_seconds: float | None = None
    now: Callable[[], float] = time.monotonic

    def work(self) -> None:
        """Work until it is time to leave."""
        while True:
            crew = self.make()
            post = self.exchange.post(f"{_name()}-{secrets.token_hex(4)}")
            try:
                member = crew.hire()
                assert member is not None, "a crew of this machine starts its members itself"
                if not self._is_warm(crew, member):
                    crew.close(at_once=True)
                    return
                post.open(self.card)
                with self.exchange.pulse(post.name) as pulse:
                    run = self._wait(post)
                    if run is None:
                        post.remove()
                        crew.close(at_once=True)
                        return
                    log.info("taken by %s", run)
                    self._serve(_Service(post, pulse, run, crew, member, self.exchange.worker_side(run)))
            except InterruptedError:  # the store is away, or the inputs are still being fetched
                with suppress(OSError):
                    post.answers.put(_ASKED_TO_LEAVE)
            except OSError as error:
                log.warning("this worker cannot join: %s", error)
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
            if not post.exists():  # it was taken for dead
                raise FileNotFoundError("it was removed")
            self.leaving.wait(_POLL_SECONDS)
        return run

    def _serve(self, now: "_Service") -> None:
        """Carry orders and answers until the run lets go, or is gone, or this worker has to leave."""
        with ExitStack() as until_the_end:
            until_the_end.callback(now.side.close)
            # Before what it wrote is removed.
            until_the_end.callback(now.crew.close)
            limit = until_the_end.enter_context(MemberLimit(now.crew, now.member))
            while True:
                for order in now.post.orders.take(ASKED):
                    if isinstance(order, Leave):
                        now.crew.close(at_once=order.at_once)
                        now.post.remove()
                        return
                    try:
                        job = self._tell(now, order)
                    except LongtakeError as error:
                        if not isinstance(order, OpenSent):
                            now.post.answers.put(Gone(how=f"cannot go on: {error.message}"))
                            return
                        now.post.answers.put(events.Failed.of("", error))
                        continue
                    if job:
                        limit.watch(job)
                if passed := limit.passed():
                    now.post.answers.put(passed)
                    return
                if self._is_over(now):
                    return

    def _tell(self, now: "_Service", order: Asked) -> Job | None:
        """Carry out an order; returns the job that it opens. Raises LongtakeError where what it needs cannot be had."""
        here = now.side.order(order, lambda: self._fetching(now))
        if here:
            now.crew.tell(now.member, here)
        return Job(here.folder) if isinstance(here, Open) else None

    def _fetching(self, now: "_Service") -> None:
        """Called while files are fetched, which may take minutes."""
        if self.leaving.is_set():
            raise InterruptedError("it was asked to leave")
        if self.now() >= now.next_sign:
            now.next_sign = self.now() + _SIGN_SECONDS
            now.post.answers.put(events.Heartbeat(job=""))

    def _is_over(self, now: "_Service") -> bool:
        """Carry the answers that there are; whether this run needs this worker no longer."""
        for _, said in now.crew.poll(_POLL_SECONDS):
            if isinstance(said, Lost):
                now.post.answers.put(Gone(how=said.how))
                return True
            try:
                answer = now.side.sent(said)
            except LongtakeError as error:
                answer = Gone(how=f"cannot go on: {error.message}")
            if answer:
                now.post.answers.put(answer)
            if isinstance(answer, Gone):
                return True
        if self.leaving.is_set():
            now.post.answers.put(_ASKED_TO_LEAVE)
            return True
        if now.pulse.age(now.run) >= self.exchange.gone_seconds:
            log.info("the run has ended")
            now.crew.close()
            now.post.remove()
            return True
        return False


@dataclass
class _Service:
    """A worker at the service of a run."""

    post: Post
    pulse: Pulse
    run: str
    crew: Crew
    member: int
    side: WorkerSide
    next_sign: float = 0.0


def _name() -> str:
    """Return a name for the folder of this worker: machine and process."""
    host = "".join(each if each.isalnum() else "-" for each in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}"
