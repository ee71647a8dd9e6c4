"""The loop: job -> plan -> prepasses, spans -> join, told as events.

A run holds what its stage's chain of generators holds, never the video. However it goes, it ends with exactly
one ending event, and what is finished on disk stays finished.
"""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing as closed_after
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from memory.devices import limit_device
from memory.ladder import Step
from memory.oom import is_out_of_memory
from memory.plan import GIB
from pipelines.engines.availability import check_weights
from pipelines.errors import LongtakeError, NotEnoughDisk, NotEnoughMemory
from pipelines.jobs import events
from pipelines.jobs.events import Event
from pipelines.jobs.job import Job
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.memory_plot import draw_memory
from pipelines.runtime.memory_watch import MemoryWatch
from pipelines.runtime.oom_retry import OomRetry
from pipelines.runtime.planning import Preparation, prepare
from pipelines.runtime.progress import Throughput
from pipelines.spans import Span, runs
from pipelines.stages import RunContext, Stage
from pipelines.storage.atomic import atomic_write
from pipelines.storage.jpeg import save_picture

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_PREVIEW_PX = 640
_CURVE_POINTS = 24
_NOTABLE = 1.1


class _Stopped(Exception):
    """The run was asked to stop; `ending` is how it ends."""

    def __init__(self, ending: Event) -> None:
        super().__init__()
        self.ending = ending


def run_job(
    job: Job,
    *,
    closing: Callable[[], bool] = lambda: False,
    echo: Callable[[Event], None] | None = None,
    tree_root: int | None = None,
    leave: Callable[[], None] | None = None,
    warm: bool = False,
) -> None:
    """Run `job` from where it is to an ending event; never raises for what can go wrong in a job.

    `closing` says that this process wants to end; `echo` takes each event besides the journal. `tree_root` is the
    process whose tree is measured and limited (None: this one), `leave` ends this process at once where a limit is
    about to be passed. `warm`: this process ran a job before, so memory that stays is a leak.
    Waits while another process runs the job; what that one finished is not done again.
    """
    while not closing():
        with job.runner() as free:
            if free:
                last = job.journal.last_state()
                if not isinstance(last, events.ENDINGS):
                    teller = EventLog(job, echo)
                    watcher = MemoryWatch(job, teller, tree_root or os.getpid(), leave)
                    _Run(job, teller, watcher, closing, warm).to_the_end()
                elif echo:
                    echo(last)
                return
        time.sleep(_LOOK_SECONDS)


class _Run:
    """One run of one job: the only object that advances."""

    def __init__(
        self, job: Job, teller: EventLog, watcher: MemoryWatch, closing: Callable[[], bool], warm: bool
    ) -> None:
        self._job = job
        self._tell = teller.tell
        self._is_due = teller.is_due
        self._watcher = watcher
        self._closing = closing
        self._warm = warm
        self._looked = 0.0

    def to_the_end(self) -> None:
        """Run, and tell the ending, whatever it is."""
        self._tell(events.Started(job=self._job.id, worker_pid=os.getpid()))
        try:
            with self._watcher:
                ending = self._go()
        except _Stopped as stopped:
            ending = stopped.ending
        except Exception as error:
            known = _known(error)
            if type(known) is LongtakeError:
                log.exception("job %s", self._job.id)
            ending = events.Failed.of(self._job.id, known)
        self._tell(ending)

    def _go(self) -> Event:
        prepared, assignment = self._prepare()
        for stage in prepared.pipeline.stages:
            self._run_stage(stage, assignment, prepared)
        table = self._job.folder / "memory.csv"
        self._watcher.write(table)
        last = prepared.pipeline.stages[-1]
        segments = [self._path(last, span) for span in assignment.spans]
        outputs = prepared.pipeline.join(assignment, segments, self._warn)
        self._watcher.write(table)
        self._draw_memory(table, assignment)
        if self._warm and (leak := self._watcher.leak()):
            self._warn("memory_not_returned", leak)
        return events.Done(job=self._job.id, outputs=outputs.model_copy(update={"memory": table}))

    def _prepare(self) -> tuple[Preparation, RunContext]:
        """Look and plan; a plan that the job has already is used again, for equal plans give equal bytes."""
        job, watcher = self._job, self._watcher
        record = job.record()
        job.check_inputs()
        settings = record.settings
        check_weights(record.task, settings, record.weights)
        inputs = tuple(given.path for given in record.inputs)
        prepared = prepare(
            record.task,
            inputs,
            settings,
            job.folder,
            held_bytes=watcher.host_bytes,
            kept=record.decision,
        )
        assignment = RunContext(
            job.folder,
            prepared.video,
            prepared.frames,
            settings,
            prepared.choice,
            prepared.plan,
            inputs,
            prepared.device,
        )
        prepared.pipeline.check(assignment)
        kept = self._kept(prepared.pipeline.stages[-1], assignment)
        self._tell(prepared.planned(job.id, sum(map(len, kept))))
        if prepared.plan.risk == "cannot":
            no_room = NotEnoughDisk if prepared.lacks_disk else NotEnoughMemory
            raise no_room(prepared.plan.reason, "Finished spans are kept; give it more, then resume.")
        if prepared.video.damage:
            words, missing = prepared.video.damage.splitlines()[0], prepared.video.missing_frames
            self._warn(
                "damaged", f"The file is damaged ({words}): {missing} frames cannot be read and are left out."
            )
        watcher.keep_below(settings.ram_limit_gb)
        if prepared.budget.vram_limit_bytes:
            limit_device(prepared.budget.vram_limit_bytes, prepared.device)
        job.save(record.model_copy(update={"decision": prepared.decision}))
        return prepared, assignment

    # -- the frames ------------------------------------------------------------------------------------------

    def _run_stage(self, stage: Stage, assignment: RunContext, prepared: Preparation) -> None:
        """Compute the spans of `stage` that are missing; neighbours as one chain, so the halo is paid once."""
        grid = assignment.spans
        kept = self._kept(stage, assignment)
        done = kept_frames = sum(map(len, kept))
        pace = Throughput(total=len(assignment.frames), done=done)
        last = stage is prepared.pipeline.stages[-1]
        rungs = prepared.pipeline.engine.rungs(prepass=not last)
        supply = OomRetry(stage, assignment, rungs, check=self._look, on_step=self._degraded)
        for group in runs(span for span in grid if span not in kept):
            with closed_after(supply.items(Span(group[0].start, group[-1].stop))) as items:
                for span in group:
                    shown = self._shown(stage, islice(items, len(span)), span.start, done, pace)
                    self._write(stage, assignment, span, shown)
                    done += len(span)
                    if done == kept_frames + len(span):
                        self._correct(prepared, done)

    def _write(self, stage: Stage, assignment: RunContext, span: Span, items: Iterator[Any]) -> None:
        """Keep a span: under another name until it is whole."""
        path = self._path(stage, span)
        values: list[float] = []  # bounded by the span
        with atomic_write(path) as part:
            sink = stage.sink(assignment, part)
            try:
                for item in items:
                    sink.write(item)
                    if (value := stage.value(item)) is not None:
                        values.append(value)
                sink.close()
            except BaseException:
                sink.abandon()
                raise
        curve = _thinned(span.start, values)
        self._tell(events.Segment(job=self._job.id, start=span.start, stop=span.stop, path=path, curve=curve))

    def _shown(
        self, stage: Stage, items: Iterator[Any], start: int, done: int, pace: Throughput
    ) -> Iterator[Any]:
        """Pass items through, telling progress and a picture now and then."""
        for count, item in enumerate(items):
            yield item
            frame, finished = start + count, done + count + 1
            if self._is_due("progress"):
                rate, left = pace.at(finished)
                self._tell(
                    events.Progress(
                        job=self._job.id,
                        stage=stage.name,
                        done=finished,
                        total=pace.total,
                        frames_per_second=rate,
                        eta_seconds=left,
                        frame=frame,
                        value=stage.value(item),
                    )
                )
            if self._is_due("preview") and (picture := stage.preview(item)) is not None:
                path = save_picture(picture, self._job.folder / "preview.jpg", most_width_px=_PREVIEW_PX)
                self._tell(events.Preview(job=self._job.id, frame=frame, path=path))

    def _look(self) -> None:
        """Before every frame: is there memory, is one asked to stop?"""
        self._watcher.check()
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        if self._closing():
            raise _Stopped(events.Paused(job=self._job.id, message="Whoever started the job has gone."))
        request = self._job.requested()
        if request == "cancel":
            raise _Stopped(events.CancelledEvent(job=self._job.id))
        if request == "pause":
            raise _Stopped(events.Paused(job=self._job.id, message="As asked."))

    def _correct(self, prepared: Preparation, done: int) -> None:
        """Hold the prediction against what the first span really held; tell it anew where that was notably more."""
        watcher = self._watcher
        corrected = prepared.corrected(watcher.peak_host_bytes, watcher.peak_device_bytes)
        if corrected.plan.risk == "cannot":
            watcher.need_less()
        before, after = prepared.plan.predicted_host_bytes, corrected.plan.predicted_host_bytes
        if after > _NOTABLE * before:
            self._tell(corrected.planned(self._job.id, done))

    def _degraded(self, frame: int, step: Step) -> None:
        self._tell(
            events.Degraded(
                job=self._job.id, frame=frame, rung=step.rung, change=step.change, message=step.message
            )
        )

    # -- around the frames -----------------------------------------------------------------------------------

    def _kept(self, stage: Stage, assignment: RunContext) -> set[Span]:
        """The spans of `stage` that need not be computed."""
        finished = self._job.finished(stage.folder, stage.suffix, assignment.spans)
        return {span for span in finished if stage.has_all(assignment, span)}

    def _path(self, stage: Stage, span: Span) -> Path:
        return self._job.folder / stage.folder / f"{span.name}{stage.suffix}"

    def _warn(self, code: str, message: str) -> None:
        self._tell(events.Warned(job=self._job.id, code=code, message=message))

    def _draw_memory(self, table: Path, assignment: RunContext) -> None:
        limit = assignment.settings.ram_limit_gb
        draw_memory(
            table,
            self._job.folder / "memory.png",
            predicted_bytes=assignment.plan.predicted_host_bytes,
            limit_bytes=int(limit * GIB) if limit else None,
            title=f"Memory of {assignment.video.path.name}",
        )


def _thinned(start: int, values: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """Means of neighbouring values, each at its middle frame; the first value is that of frame `start`."""
    step = max(1, -(-len(values) // _CURVE_POINTS))
    parts = [(i, values[i : i + step]) for i in range(0, len(values), step)]
    return tuple((start + i + len(part) // 2, round(fmean(part), 4)) for i, part in parts)


def _known(error: Exception) -> LongtakeError:
    """`error` in the words of the person it happens to."""
    if isinstance(error, LongtakeError):
        return error
    if is_out_of_memory(error):
        return NotEnoughMemory(
            f"Memory ended, and nothing smaller was left to try ({error}).",
            "Finished spans are kept. Close other programs or choose a lower --quality, then resume.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotEnoughDisk(
            f"The disk is full ({error}).", "Finished spans are kept. Make room, then resume."
        )
    return LongtakeError(
        f"{type(error).__name__}: {error}.", "This is a fault of Longtake; please report it."
    )
