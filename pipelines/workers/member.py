"""A member of a crew: orders come in on stdin, what it computes is told on stdout, both as JSON lines.

It opens the job with the plan that it is given and publishes the spans that it is asked for; it writes no journal and
decides nothing. When stdin closes, it stops at the next frame and exits, so that none outlives its run.
"""

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from pydantic import BaseModel

from memory.plan import Plan
from pipelines.engines.availability import check_weights
from pipelines.engines.preload import preload
from pipelines.errors import ChildDied, LongtakeError
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.jobs.record import Decision
from pipelines.runtime.crew import (
    ORDERS,
    Compute,
    Idle,
    Less,
    Open,
    Order,
    Ready,
    Until,
    Warm,
    spans_of,
)
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.known_errors import known_error
from pipelines.runtime.planning import prepare
from pipelines.runtime.preparation import Preparation
from pipelines.runtime.progress import Throughput
from pipelines.runtime.reporter import Reporter
from pipelines.runtime.span_work import SpanWork
from pipelines.runtime.tries import Tries
from pipelines.spans import Span, runs
from pipelines.stages import RunContext, rungs_of
from pipelines.storage.names import to_json
from pipelines.storage.pulse import heard_by

log = logging.getLogger(__name__)

_LEAVE_SECONDS = 20.0
"""How long the frame at hand may take after stdin has closed, before the process ends all the same."""


class _Left(Exception):
    """Raised before a frame once the run is gone."""


class Inbox:
    """What was said to a member: orders to carry out, in turn, and words that change what it is doing now."""

    def __init__(self) -> None:
        self.orders: queue.SimpleQueue[Warm | Open | Compute | None] = queue.SimpleQueue()
        self._limits: dict[int, int] = {}
        self._less = False
        self._gone = False
        self._lock = threading.Lock()

    def read(self, lines: Iterable[bytes]) -> None:
        """Take in orders until there are no more."""
        for line in lines:
            self._take(ORDERS.validate_json(line))
        self._gone = True
        self.orders.put(None)

    def _take(self, order: Order) -> None:
        match order:
            case Until(number=number, frame=frame):
                with self._lock:
                    self._limits[number] = min(frame, self._limits.get(number, frame))
            case Less():
                self._less = True
            case _:
                self.orders.put(order)

    def allows(self, number: int, span: Span) -> bool:
        """Whether the order `number` still includes `span`."""
        with self._lock:
            return span.start < self._limits.get(number, span.stop)

    def check(self) -> None:
        """Raise MemoryError where less memory is to be used, `_Left` where nobody listens any more."""
        if self._gone:
            raise _Left
        if self._less:
            self._less = False
            raise MemoryError("out of memory: the job is close to its limit")


@dataclass(frozen=True)
class _Work:
    """An open job."""

    job: Job
    prepared: Preparation
    run: RunContext
    report: Reporter
    tries: Tries


def serve(inbox: Inbox, tell: Callable[[BaseModel], None]) -> None:
    """Carry out orders until the run is gone; what fails is told, and the next order waited for."""
    work: _Work | None = None
    while (order := inbox.orders.get()) is not None:
        try:
            if isinstance(order, Warm):
                preload()
                tell(Ready())
            elif isinstance(order, Open):
                work = _open(order, tell)
                tell(Ready())
            elif work:
                with heard_by(work.report.beat):
                    _compute(work, order, inbox)
                tell(Idle(number=order.number))
        except _Left:
            return
        except Exception as error:
            known = known_error(error)
            if type(known) is LongtakeError:
                log.exception("order %s", order.type)
            tell(events.Failed.of(work.job.id if work else "", known))


def _open(order: Open, tell: Callable[[BaseModel], None]) -> _Work:
    job = Job(order.folder)
    record = job.record()
    plan = Plan.from_json(order.plan)
    kept = _with_plan(record.decision, plan)
    inputs = tuple(given.path for given in record.inputs)
    report = Reporter(job, EventLog(job, tell, journal=False))
    with heard_by(report.beat):
        if order.verify:
            job.check_version()
            job.check_inputs(lambda count: report.beat())
            check_weights(record.task, record.settings, record.weights, lambda count: report.beat())
        prepared = replace(prepare(record.task, inputs, record.settings, job.folder, kept=kept), plan=plan)
    prepared.settle()
    return _Work(job, prepared, prepared.context(job, record), report, Tries(report.warn))


def _with_plan(decision: Decision | None, plan: Plan) -> Decision:
    """Return what the run has decided for the job, with this member's own plan."""
    assert decision, "a run records its decision before it hires"
    return decision.model_copy(update={"plan": plan.to_json()})


def _compute(work: _Work, order: Compute, inbox: Inbox) -> None:
    """Compute the spans of an order, adjacent ones as one chain; a tool that dies costs one of them."""
    stage = next(each for each in work.prepared.pipeline.stages if each.name == order.stage)
    spans = SpanWork(
        stage,
        work.run,
        rungs_of(stage, work.prepared.pipeline),
        work.report,
        check=inbox.check,
        check_inputs=lambda: None,
    )
    throughput = Throughput(total=len(work.run.frames), done=0)
    left: Sequence[Span] = spans_of(order)
    while left := [span for span in left if inbox.allows(order.number, span)]:
        group = next(runs(left))
        try:
            with closing(spans.compute(group, throughput, 0)) as published:
                for span in published:
                    left = [each for each in left if each > span]
                    if left and not inbox.allows(order.number, left[0]):
                        return
        except ChildDied as died:
            work.tries.count((stage.name, left[0]), died, f"The job goes on at frame {left[0].start}.")


def main() -> None:
    """Serve stdin."""
    # Libraries that print must not write between the lines: their stdout becomes stderr.
    out = os.dup(1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(said: BaseModel) -> None:
        # The run may be gone.
        with contextlib.suppress(OSError), lock:
            os.write(out, to_json(said) + b"\n")

    inbox = Inbox()

    def read() -> None:
        inbox.read(iter(sys.stdin.buffer.readline, b""))
        timer = threading.Timer(_LEAVE_SECONDS, os._exit, (0,))
        timer.daemon = True
        timer.start()

    threading.Thread(target=read, daemon=True).start()
    serve(inbox, tell)


if __name__ == "__main__":
    main()
