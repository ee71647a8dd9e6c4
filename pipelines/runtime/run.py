"""Run one job: plan, compute the spans of each stage, join them; every step is reported as an event.

A run holds what the generators of its current stage hold, never the whole video. It always ends with exactly one
ending event, and spans that are finished on disk stay finished.
"""

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing as closed_after
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memory.units import GIB
from pipelines.engines.availability import check_weights
from pipelines.errors import (
    ChildDied,
    DiskFailed,
    LongtakeError,
)
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.crew import Hiring
from pipelines.runtime.crew_run import Stopped
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.finished import FinishedSpans
from pipelines.runtime.helpers import Helpers
from pipelines.runtime.input_watch import InputWatch
from pipelines.runtime.known_errors import job_gone, known_error
from pipelines.runtime.memory_plot import draw_memory
from pipelines.runtime.memory_watch import MemoryWatch
from pipelines.runtime.neighbours import Neighbours, Taken
from pipelines.runtime.planning import prepare
from pipelines.runtime.preparation import Preparation
from pipelines.runtime.progress import Throughput
from pipelines.runtime.reporter import Reporter
from pipelines.runtime.span_work import SpanWork, span_file
from pipelines.runtime.tries import MOST_TRIES, Tries
from pipelines.spans import runs
from pipelines.spec import task_spec
from pipelines.stages import RunContext, Stage, rungs_of
from pipelines.storage.atomic import atomic_write
from pipelines.storage.names import printable
from pipelines.storage.optional import optional
from pipelines.storage.pulse import heard_by

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
"""How often a run looks for a request to stop, which costs a file access; short enough to feel immediate."""
_NOTABLE = 1.1
"""A corrected prediction is reported again only where it is more than 10 % above the first one."""


class _NoRoom(Exception):
    """Raised where a run does not fit beside its neighbours."""


@dataclass(frozen=True)
class _Host:
    """What the process that runs a job lends it: see `run_job`."""

    closing: Callable[[], bool]
    tree_root: int
    leave: Callable[[], None] | None
    hiring: Hiring | None
    neighbours: Neighbours


def run_job(
    job: Job,
    *,
    closing: Callable[[], bool] = lambda: False,
    echo: Callable[[Event], None] | None = None,
    tree_root: int | None = None,
    leave: Callable[[], None] | None = None,
    hiring: Hiring | None = None,
    neighbours: Neighbours | None = None,
) -> None:
    """Run or resume `job` until its ending event. Failures of the job are reported as events, never raised.

    Where it does not fit beside its neighbours, `echo` hears that it is queued again, and the run is over. Waits while
    another process runs the job; spans that it finished are not computed again.

    Args:
        job: the job to run.
        closing: returns True once this process should end; the run then pauses.
        echo: receives each event in addition to the journal.
        tree_root: root of the process tree whose memory is measured and limited; None for this process.
        leave: ends this process immediately when the memory limit is about to be exceeded.
        hiring: how many workers may compute the job together, and who starts them; None: this process alone.
        neighbours: the other jobs of this machine, as they come and go.
    """
    heard = EventLog(job, echo)
    beside = Neighbours() if neighbours is None else neighbours
    host = _Host(closing, tree_root or os.getpid(), leave, hiring, beside)
    try:
        while not closing() and not _ran(job, heard, host):
            time.sleep(_LOOK_SECONDS)
    except OSError as error:  # the lock, or the journal
        with suppress(OSError):
            heard.emit(events.Failed.of(job.id, known_error(error)))


def _ran(job: Job, heard: EventLog, host: _Host) -> bool:
    """Run `job` unless another process does; return whether it has ended. Raises OSError."""
    if not job.exists():
        heard.tell(events.Failed.of(job.id, job_gone(job)))
        return True
    with job.runner() as free:
        if free:
            last = job.journal.last_state()
            if isinstance(last, events.ENDINGS):
                heard.tell(last)
            else:
                _Run(job, heard, host).run_to_end()
    return free


class _Run:
    """One run of one job: the only object that advances."""

    def __init__(self, job: Job, event_log: EventLog, host: _Host) -> None:
        self._job = job
        self._log = event_log
        self._report = Reporter(job, event_log)
        self._emit = event_log.emit
        self._closing = host.closing
        self._leave = host.leave
        self._neighbours = host.neighbours
        self._settled: Preparation | None = None
        self._beside_bytes = 0
        self._watcher = MemoryWatch(
            job,
            event_log,
            host.tree_root,
            self._leave_at_once if host.leave else None,
            host.neighbours,
            self._give_back,
        )
        self._last_check = 0.0
        self._predicted_bytes = 0
        self._finished = FinishedSpans(job, self._report.warn)
        self._inputs = InputWatch(job, self._check_interrupt)
        self._tries = Tries(self._report.warn)
        self._helpers = Helpers(
            job,
            host.hiring,
            self._report,
            event_log,
            look=self._look,
            check_inputs=self._inputs.check,
            check=self._check_stop,
        )

    def run_to_end(self) -> None:
        """Run the job and report how it ended."""
        try:
            self._emit(events.Started(job=self._job.id, worker_pid=os.getpid()))
            with self._watcher, heard_by(self._report.beat):
                try:
                    ending = self._compute()
                finally:
                    self._helpers.close()
        except _NoRoom:
            self._give_back()
            return
        except Stopped as stopped:
            ending = stopped.ending
        except Exception as error:
            known = known_error(self._inputs.reason(error))
            if type(known) is LongtakeError:
                log.exception("job %s", self._job.id)
            ending = events.Failed.of(self._job.id, known)
        try:
            self._emit(ending)
        except OSError as error:
            log.warning("job %s: its end (%s) could not be recorded: %s", self._job.id, ending.type, error)

    def _compute(self) -> Event:
        prepared, run = self._prepare()
        for stage in prepared.pipeline.stages:
            self._run_stage(stage, run, prepared)
        self._helpers.end()
        self._mend(run, prepared)
        self._helpers.end()  # a lent GPU may have been asked for once more
        table = self._job.folder / "memory.csv"
        self._watcher.write(table)
        last = prepared.pipeline.stages[-1]
        segments = [span_file(self._job.folder, last, span) for span in run.spans]
        outputs = self._join(run, prepared, segments)
        self._inputs.check()
        self._watcher.write(table)
        self._draw_memory(table, run)
        self._watcher.check_passed()
        for code, sentence in self._watcher.warnings():
            self._report.warn(code, sentence)
        outputs = outputs.model_copy(update={"memory": table})
        self._job.sweep()
        return self._job.done_with(outputs)

    def _join(self, run: RunContext, prepared: Preparation, segments: list[Path]) -> events.Outputs:
        while True:
            try:
                return prepared.pipeline.join(run, segments, self._report.warn)
            except ChildDied as died:
                self._tries.count("join", died, "The result is joined once more.")

    def _prepare(self) -> tuple[Preparation, RunContext]:
        """Probe the inputs and plan. A job keeps its first plan at every resume: equal plans give equal bytes."""
        job, watcher = self._job, self._watcher
        self._job.sweep()
        record = job.record()
        job.check_version()
        self._inputs.begin()
        settings = record.settings
        check_weights(record.task, settings, record.weights, lambda count: self._check_interrupt())
        inputs = tuple(given.path for given in record.inputs)
        taken = watcher.taken()
        alone = prepare(
            record.task,
            inputs,
            settings,
            job.folder,
            held_bytes=watcher.host_bytes + taken.held_host_bytes,
            held_device_bytes=taken.held_device_bytes,
            kept=record.decision,
        )
        prepared = self._beside(alone, taken)
        run = prepared.context(job, record)
        fits = prepared.plan.risk != "cannot"
        if fits:
            # From here on inputs are read.
            watcher.keep_below(settings.ram_limit_gb)
            prepared.pipeline.check(run)
        kept = self._finished.of(prepared.pipeline.stages[-1], run)
        shown = self._helpers.hire(prepared, run, watcher.host_bytes) if fits else prepared
        self._predicted_bytes = watcher.planned_bytes = shown.plan.predicted_host_bytes
        self._emit(shown.planned(job.id, sum(map(len, kept))))
        prepared.require_room()
        if prepared.damage:
            self._report.warn("damaged", prepared.damage)
        for notice in prepared.pipeline.notices(run):
            self._report.warn("source", notice)
        watcher.check_passed()
        # A job that an earlier version only queued is today's from here on. It need not be resumed beside others.
        version = task_spec(record.task).result_version
        job.save(record.model_copy(update={"decision": alone.decision, "result_version": version}))
        return prepared, run

    def _beside(self, alone: Preparation, taken: Taken) -> Preparation:
        """Return the plan beside the neighbours; without any, or where it does not even fit alone, it stays as it is.

        Raises _NoRoom where it fits alone and not beside them.
        """
        if not self._neighbours or alone.plan.risk == "cannot":
            return alone
        beside = alone.beside(taken)
        if beside is None:
            raise _NoRoom
        return beside

    def _give_back(self) -> None:
        """Say that the job is to wait until it fits beside the others, or they have ended."""
        record = self._job.record()
        name = record.inputs[0].path.name
        self._log.tell(events.Queued(job=self._job.id, task=record.task, name=name, waits_for="room"))

    # -- the frames ------------------------------------------------------------------------------------------

    def _run_stage(self, stage: Stage, run: RunContext, prepared: Preparation) -> None:
        """Compute the missing spans of `stage`: by the crew, or here, adjacent ones as one chain."""
        finished = self._finished.of(stage, run)
        if crew := self._helpers.crew_for(stage, prepared, len(run.spans) - len(finished)):
            crew.run_stage(stage, run.spans, finished, stage.halo(run))
            return
        self._settle(prepared)
        done = sum(map(len, finished))
        is_first = True
        throughput = Throughput(total=len(run.frames), done=done)
        work = SpanWork(
            stage,
            run,
            rungs_of(stage, prepared.pipeline),
            self._report,
            check=self._check_interrupt,
            check_inputs=self._inputs.check,
        )
        while missing := [span for span in run.spans if span not in finished]:
            try:
                for group in runs(missing):
                    with closed_after(work.compute(group, throughput, done)) as spans:
                        for span in spans:
                            finished.add(span)
                            done += len(span)
                            if is_first:
                                is_first = False
                                self._correct_prediction(prepared, done)
            except ChildDied as died:
                span = next(span for span in missing if span not in finished)
                self._tries.count((stage.name, span), died, f"The job goes on at frame {span.start}.")

    def _settle(self, prepared: Preparation) -> None:
        """Keep this process to its share of the device, which changes as neighbours come and go."""
        self._settled = prepared
        self._beside_bytes = self._neighbours.device_bytes
        prepared.settle(self._beside_bytes)

    def _mend(self, run: RunContext, prepared: Preparation) -> None:
        """Verify the finished spans before they are joined; compute those again that were damaged since."""
        stages = prepared.pipeline.stages
        for _ in range(MOST_TRIES):
            self._finished.verify_again()
            lacking = [stage for stage in stages if len(self._finished.of(stage, run)) < len(run.spans)]
            if not lacking:
                return
            for stage in lacking:
                self._run_stage(stage, run, prepared)
        raise DiskFailed(
            f"Files in {self._job.folder} change after they were written.",
            "Check the disk, then resume.",
            "disk.failed",
        )

    def _leave_at_once(self) -> None:
        """End the crew and this process: the limit of memory is about to be passed."""
        self._helpers.close(at_once=True)
        if self._leave:
            self._leave()

    def _check_interrupt(self) -> None:
        """Called before every frame: raises where memory runs out or the run was asked to stop."""
        self._report.beat()
        self._look()

    def _check_stop(self) -> None:
        """The same for a crew that waits or sends, which cannot use less memory."""
        with suppress(MemoryError):
            self._check_interrupt()

    def _look(self) -> None:
        self._watcher.check()
        now = time.monotonic()
        if now - self._last_check < _LOOK_SECONDS:
            return
        self._last_check = now
        if self._settled and self._neighbours.device_bytes != self._beside_bytes:
            self._settle(self._settled)
        if not self._job.exists():
            raise job_gone(self._job)
        if self._closing():
            sentence = "The process that started the job has ended."
            raise Stopped(events.Paused(job=self._job.id, message=sentence, key="paused.alone"))
        request = self._job.requested()
        if request == "cancel":
            raise Stopped(events.CancelledEvent(job=self._job.id))
        if request == "pause":
            raise Stopped(events.Paused(job=self._job.id, message="On request.", key="paused.asked"))

    def _correct_prediction(self, prepared: Preparation, done: int) -> None:
        """Compare the prediction with the peak of the first span; report the plan again if that was notably more."""
        watcher = self._watcher
        corrected = prepared.corrected(watcher.peak_host_bytes, watcher.peak_device_bytes)
        if corrected.plan.risk == "cannot":
            watcher.need_less()
        before, after = prepared.plan.predicted_host_bytes, corrected.plan.predicted_host_bytes
        if after > _NOTABLE * before:
            self._emit(corrected.planned(self._job.id, done))

    def _draw_memory(self, table: Path, run: RunContext) -> None:
        limit = run.settings.ram_limit_gb
        chart = self._job.folder / "memory.png"
        with optional("chart of the memory", self._report.warn), atomic_write(chart) as part:
            draw_memory(
                table,
                part,
                predicted_bytes=self._predicted_bytes,
                limit_bytes=int(limit * GIB) if limit else None,
                title=printable(f"Memory of {run.video.path.name}"),
            )
