"""What a run tells of itself: progress, previews, finished spans, warnings, signs of life."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from memory.ladder import Step
from pipelines.jobs import events
from pipelines.jobs.job import Job
from pipelines.runtime.event_log import EventLog
from pipelines.runtime.progress import Throughput
from pipelines.spans import Span
from pipelines.stages import Stage
from pipelines.storage.jpeg import save_picture
from pipelines.storage.kept_files import KeptFile
from pipelines.storage.optional import optional
from pipelines.vision.types import Pixels

_PREVIEW_PX = 1280
"""Largest width of the live preview, which the page shows large; that of a removal is two pictures side by side."""
_CURVE_POINTS = 24
"""Points of the live curve per span: a span of 240 frames gives one mean per 10 frames."""


class Reporter:
    """Tells the events of one run of a job. Each warning is told once."""

    def __init__(self, job: Job, event_log: EventLog) -> None:
        self._job = job
        self.emit = event_log.emit
        self._is_due = event_log.is_due
        self._warned: set[str] = set()

    def warn(self, code: str, message: str) -> None:
        """Warn, unless that was said: what was foreseen is found again when the result is joined."""
        if message not in self._warned:
            self._warned.add(message)
            self.emit(events.Warned.of(self._job.id, code, message))

    def degraded(self, frame: int, step: Step) -> None:
        """Tell that the run goes on with less from `frame` on."""
        self.emit(
            events.Degraded(
                job=self._job.id, frame=frame, rung=step.rung, change=step.change, message=step.message
            )
        )

    def beat(self) -> None:
        """Tell now and then that the computing thread is alive, also where no frame is made for long."""
        if self._is_due("heartbeat"):
            self.emit(events.Heartbeat(job=self._job.id))

    def finished(self, path: Path, span: Span, values: Sequence[float], files: tuple[KeptFile, ...]) -> None:
        """Tell that a span is on disk at `path`: its files, that one first, and its part of the live curve."""
        curve = thinned(span.start, values)
        self.emit(
            events.Segment(
                job=self._job.id, start=span.start, stop=span.stop, path=path, curve=curve, files=files
            )
        )

    def followed(
        self, stage: Stage, items: Iterator[Any], start: int, done: int, throughput: Throughput
    ) -> Iterator[Any]:
        """Pass items through, telling progress and showing a preview at most as often as the event log allows."""
        for count, item in enumerate(items):
            yield item
            frame, finished = start + count, done + count + 1
            if self._is_due("progress"):
                rate, left = throughput.at(finished)
                self.emit(
                    events.Progress(
                        job=self._job.id,
                        stage=stage.name,
                        done=finished,
                        total=throughput.total,
                        frames_per_second=rate,
                        eta_seconds=left,
                        frame=frame,
                        value=stage.value(item),
                    )
                )
            if self._is_due("preview"):
                with optional("preview", self.warn):
                    self._show(frame, stage.preview(item))

    def _show(self, frame: int, picture: Pixels | None) -> None:
        if picture is not None:
            path = save_picture(picture, self._job.folder / "preview.jpg", most_width_px=_PREVIEW_PX)
            self.emit(events.Preview(job=self._job.id, frame=frame, path=path))


def thinned(start: int, values: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """Average `values`, of the frames from `start` on, in at most `_CURVE_POINTS` groups: (middle frame, mean)."""
    step = max(1, -(-len(values) // _CURVE_POINTS))
    parts = [(i, values[i : i + step]) for i in range(0, len(values), step)]
    return tuple((start + i + len(part) // 2, round(fmean(part), 4)) for i, part in parts)
