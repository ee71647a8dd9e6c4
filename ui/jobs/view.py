"""The state of a job as its events show it: a pure fold over them.

`JobView.after(event)` may begin with the first event or any later one. A view holds at most 200 points of the curve,
however long the video is.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import Value
from pipelines.jobs import events
from pipelines.jobs.events import Event, Outputs, Planned
from pipelines.jobs.job import Job
from pipelines.storage.names import brief, shortened, without_folders
from ui.jobs.kind import Kind, kind_of

CURVE_POINTS = 200
_WARNINGS = 5
_NOTES = 100
"""Warnings that a view knows: more than any report repeats, which has each once."""
_LOG_LINES = 60


class Status(BaseModel):
    """The full status of a job, as each message of the API has it. Sizes are bytes, times seconds."""

    model_config = ConfigDict(frozen=True)
    job: str = Field(default="", description="The job's id: the same question has the same id.")
    key: str = Field(
        default="", description="The strongest key that the caller may have: `edit`, else `view`."
    )
    view: str = Field(default="", description="The key that lets its holder look at the job.")
    edit: str = Field(
        default="",
        description="The key that lets its holder also stop, resume and delete it; empty for others.",
    )
    name: str = Field(default="", description="Name of the input, shortened where it has over 80 characters.")
    task: str = ""
    kind: Kind | Literal[""] = Field(
        default="",
        description="`preview`: a few seconds to try; `mask_check`: a check of the mask; "
        "`part`: a part of the video; `full`: all of it.",
    )
    seconds: float | None = Field(
        default=None, description="Length of what is computed; null until it is planned."
    )
    state: Literal["queued", "running", "interrupted", "done", "failed", "paused", "cancelled"] = "queued"
    position: int = Field(default=0, description="Jobs ahead while it is queued.")
    waits_for: events.WaitsFor = Field(
        default="turn",
        description="What it waits for while it is queued: its `turn`, or `room` (memory, disk) beside those that run.",
    )
    starts_in_seconds: float | None = Field(default=None, description="Expected, while it is queued.")
    started: float | None = Field(
        default=None, description="When it was started last, seconds since the epoch."
    )
    stage: str = ""
    frame: int | None = Field(default=None, description="The newest frame that was computed.")
    done: int = Field(default=0, description="Frames of the stage that are done.")
    total: int = Field(default=0, description="Frames of the stage.")
    fps: float = Field(default=0.0, description="Frames per second, lately.")
    workers: int = Field(default=0, description="Workers that compute it together; 0: there is only one.")
    workers_wanted: int = Field(default=0, description="How many workers there should be.")
    eta_seconds: float | None = Field(default=None, description="Time left of the stage; null where unknown.")
    silent_seconds: int = Field(
        default=0, description="How long a running job has made no progress, from 10 s on; else 0."
    )
    host_bytes: int = Field(default=0, description="Host memory now, all processes together.")
    host_peak_bytes: int = 0
    host_predicted_bytes: int = 0
    host_limit_bytes: int = Field(default=0, description="What the job may hold at most.")
    device_bytes: int = 0
    device_peak_bytes: int = 0
    device_predicted_bytes: int = 0
    device_limit_bytes: int = 0
    engine: str = ""
    preset: str = ""
    reason: str = Field(default="", description="Why this plan, in a sentence.")
    risk: Literal["", "low", "medium", "high", "cannot"] = ""
    messages: tuple[str, ...] = Field(default=(), description="The newest warnings.")
    outputs: tuple[str, ...] = Field(default=(), description="Names of the files of a finished job.")
    code: str = Field(default="", description="What kind of error a failed job ended with.")
    message: str = ""
    hint: str = Field(default="", description="What to do about it.")


@dataclass(frozen=True)
class LiveCurve:
    """A value over frames, thinned out evenly as it grows: at most `CURVE_POINTS` points, `gap` frames apart."""

    points: tuple[tuple[int, float], ...] = ()
    gap: int = 1

    def add(self, frame: int, value: float) -> "LiveCurve":
        """The curve with the value of `frame`; unchanged where another point is less than `gap` frames away."""
        index = bisect_left(self.points, (frame,))
        before, after = self.points[:index], self.points[index:]
        if after and after[0][0] == frame:
            after = after[1:]
        elif any(abs(frame - near) < self.gap for near, _ in (*before[-1:], *after[:1])):
            return self
        return replace(self, points=(*before, (frame, round(value, 4)), *after)).thinned()

    def replace_span(self, start: int, stop: int, points: Sequence[tuple[int, float]]) -> "LiveCurve":
        """The curve with `points` instead of all points of the frames `[start, stop)`."""
        curve = replace(self, points=tuple(p for p in self.points if not start <= p[0] < stop))
        for frame, value in points:
            curve = curve.add(frame, value)
        return curve

    def thinned(self) -> "LiveCurve":
        """The curve with at most `CURVE_POINTS` points: the gap doubles until they fit, whatever order spans end in."""
        curve = self
        while len(curve.points) > CURVE_POINTS:
            gap = 2 * curve.gap
            kept = [curve.points[0]]
            for point in curve.points:
                if point[0] - kept[-1][0] >= gap:
                    kept.append(point)
            curve = LiveCurve(tuple(kept), gap)
        return curve


@dataclass(frozen=True)
class JobView:
    """A job after some of its events."""

    status: Status = field(default_factory=Status)
    curve: LiveCurve = field(default_factory=LiveCurve)
    planned: Planned | None = None
    preview: events.Preview | None = None
    segment: events.Segment | None = None
    outputs: Outputs | None = None
    failed: events.Failed | None = None
    paused_key: str = ""
    crew: events.Crewed | None = None
    """Who computes the job together; None where it is one process."""
    notes: tuple[events.Degraded | events.Warned, ...] = ()
    """The newest warnings, those of the status last."""
    log: tuple[tuple[float, str], ...] = ()
    """Seconds since the epoch and a line of text, the newest last, at most `_LOG_LINES`."""
    inputs: tuple[Path, ...] = ()
    """Where the inputs lie on the server: messages have their names instead, by which visitors know their files."""
    jobs_dir: Path | None = None
    """The folder of all jobs, which messages leave out."""
    job: Job | None = None
    files: str = ""
    """The name of the folder from which the results are served."""
    is_mine: bool = False
    """Whether whoever looks at it asked for it, and may ask again."""

    @property
    def ended(self) -> bool:
        """Whether the job neither waits nor runs."""
        return self.status.state not in ("queued", "running")

    def after(self, event: Event) -> "JobView":
        """The view after one more event."""
        if (line := _line(event)) is not None:
            told = self.told(line)
            if isinstance(line, LogLine):
                told = LogLine(told, *line.keys, table=line.table, values=line.values)
            return replace(self, log=(*self.log, (event.time, told))[-_LOG_LINES:])._after(event)
        return self._after(event)

    def _after(self, event: Event) -> "JobView":
        match event:
            case events.Degraded() | events.Warned():
                messages = (*self.status.messages, self.told(event.message))[-_WARNINGS:]
                return replace(self.with_status(messages=messages), notes=(*self.notes, event)[-_NOTES:])
            case events.Failed() | events.Started():
                failed = event if isinstance(event, events.Failed) else None
                return replace(self.with_status(**_changes(event, self)), failed=failed, crew=None)
            case events.Crewed():
                return self._with_crew(event)
            case events.Paused():
                return replace(self.with_status(**_changes(event, self)), paused_key=event.key)
            case events.Planned():
                return replace(self.with_status(**_plan(event)), planned=event)
            case events.Progress(value=value):
                view = self.with_status(
                    stage=event.stage,
                    frame=event.frame,
                    done=event.done,
                    total=event.total,
                    fps=round(event.frames_per_second, 1),
                    eta_seconds=event.eta_seconds,
                )
                return view if value is None else replace(view, curve=self.curve.add(event.frame, value))
            case events.Segment(curve=points):
                if not points:
                    return replace(self, segment=event)
                # Means over the finished span replace the live values of single frames.
                curve = self.curve.replace_span(event.start, event.stop, points)
                return replace(self, curve=curve, segment=event)
            case events.Preview():
                return replace(self, preview=event)
            case events.Done(outputs=outputs):
                names = tuple(path.name for path in outputs.paths())
                # The last frames may be done without a progress event of their own.
                done = self.status.total
                return replace(
                    self.with_status(state="done", done=done, outputs=names, eta_seconds=None),
                    outputs=outputs,
                )
            case _:
                return self.with_status(**_changes(event, self))

    def _with_crew(self, event: events.Crewed) -> "JobView":
        if not (event.members or event.lost):  # they have ended, and the job goes on without them
            return replace(self.with_status(workers=0, workers_wanted=0), crew=None)
        lost = tuple(
            each.model_copy(
                update={
                    "how": self.told(each.how),
                    "values": {
                        name: self.told(value) if isinstance(value, str) else value
                        for name, value in each.values.items()
                    },
                }
            )
            for each in event.lost
        )
        view = self.with_status(workers=len(event.members), workers_wanted=event.wanted)
        return replace(view, crew=event.model_copy(update={"lost": lost}))

    def with_status(self, **changes: object) -> "JobView":
        """The view with these fields of its status changed, such as those that only the server knows."""
        return replace(self, status=self.status.model_copy(update=changes))

    def told(self, message: str) -> str:
        """`message` with the inputs' short names in place of their paths."""
        message = without_folders(message, self.inputs)
        return brief(message.replace(f"{self.jobs_dir}/", "") if self.jobs_dir else message)

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """The view of `job` before its first event."""
        record = job.record()
        inputs = tuple(each.path for each in record.inputs)
        return cls(Status(kind=kind_of(record)), inputs=inputs, jobs_dir=job.folder.parent, job=job)


def _plan(event: Planned) -> dict[str, object]:
    return {
        "done": event.frames_kept,
        "total": event.frames,
        "seconds": round(event.frames * event.facts.seconds / max(1, event.facts.frames), 3),
        "engine": event.engine,
        "preset": event.preset,
        "reason": event.reason,
        "risk": event.risk,
        "host_predicted_bytes": event.predicted_host_bytes,
        "host_limit_bytes": event.budget_host_bytes,
        "device_predicted_bytes": event.predicted_device_bytes,
        "device_limit_bytes": event.budget_device_bytes,
    }


def _changes(event: Event, view: JobView) -> dict[str, object]:
    match event:
        case events.Queued():
            identity = {"job": event.job, "name": shortened(event.name), "task": event.task}
            return {**identity, "state": "queued", "position": event.position, "waits_for": event.waits_for}
        case events.Started():
            begun: dict[str, object] = {"position": 0, "starts_in_seconds": None, "started": event.time}
            begun |= {"workers": 0, "workers_wanted": 0}
            return {**begun, "job": event.job, "state": "running", "code": "", "message": "", "hint": ""}
        case events.Memory():
            return {
                "host_bytes": event.host_bytes,
                "host_peak_bytes": event.host_peak_bytes,
                "device_bytes": event.device_bytes,
                "device_peak_bytes": event.device_peak_bytes,
            }
        case events.Failed():
            error = {"code": event.code, "message": view.told(event.message), "hint": view.told(event.hint)}
            return {**error, "state": "failed", "eta_seconds": None}
        case events.Paused():
            return {"state": "paused", "message": event.message, "eta_seconds": None}
        case events.CancelledEvent():
            return {"state": "cancelled", "eta_seconds": None}
        case _:
            return {}


class LogLine(str):
    """A line of the log in English, with what the page says it by in other languages: a sentence of a catalogue.

    It is the first of `keys` that there is in `table`, filled with `values`.
    """

    keys: tuple[str, ...]
    table: str
    values: Mapping[str, Value]

    def __new__(
        cls, text: str, *keys: str, table: str = "log", values: Mapping[str, Value] = MappingProxyType({})
    ) -> Self:
        """Make the line `text`."""
        made = super().__new__(cls, text)
        made.keys, made.table, made.values = keys, table, values
        return made


def _line(event: Event) -> str | None:
    """An event as a line of the log; None for those that come many times a second."""
    match event:
        case events.Queued(waits_for="room"):
            return LogLine("queued: there is no room beside the jobs that run", "queued_room")
        case events.Queued():
            return LogLine(f"queued, {event.position} ahead", "queued", values={"position": event.position})
        case events.Started():
            return LogLine("started", "started")
        case events.Planned():
            why = f"{event.preset_reason} {event.reason}"
            return LogLine(f"planned: {why}", "planned", values={"reason": why})
        case events.Segment():
            frames = {"start": event.start, "stop": event.stop - 1}
            return LogLine(f"frames {event.start} to {event.stop - 1} are on disk", "segment", values=frames)
        case events.Crewed() if event.members or event.lost:
            at = (f"{m.worker}: {m.start} to {m.stop - 1}" for m in event.members if m.stop)
            words = f"{len(event.members)} of {event.wanted} workers ({', '.join(at) or 'starting'})"
            return LogLine(words, "crew", values={"count": len(event.members), "wanted": event.wanted})
        case events.Degraded():
            words = f"frame {event.frame}: {event.rung} ({event.change}): {event.message}"
            key = "retry" if event.rung == "retry" else f"degraded_{event.change}"
            return LogLine(words, key, table="warnings", values={"frame": event.frame})
        case events.Warned():
            words = f"{event.code}: {event.message}"
            return LogLine(words, event.key, event.code, table="warnings", values=event.values)
        case events.Failed():
            words = f"failed: {event.message} {event.hint} [{event.code}]"
            return LogLine(words, event.key, event.code, table="errors", values=event.values)
        case events.Done() | events.Paused() | events.CancelledEvent():
            return LogLine(event.type, event.type)
        case _:
            return None
