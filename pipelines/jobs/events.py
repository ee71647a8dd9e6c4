"""What a running job says. The page, the API and the command line listen to the same stream.

Each event is one JSON object with a `type`; a job keeps them, one a line, in `events.jsonl`.
Times are seconds since the epoch, sizes bytes, frames are numbers of input frames.
"""

import time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipelines.errors import LongtakeError
from pipelines.storage.names import StoredPath, printable


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    time: float = Field(default_factory=time.time)


class Queued(_Event):
    """The job waits; `position` 0 is next. `queue_pid` is the process whose queue it waits in."""

    type: Literal["queued"] = "queued"
    job: str
    task: str
    name: str
    position: int = 0
    queue_pid: int | None = None


class Started(_Event):
    """A worker took the job."""

    type: Literal["started"] = "started"
    job: str
    worker_pid: int


class Facts(BaseModel):
    """What was found in a video. `frames` is the true count; `frame_rate` a fraction such as `30000/1001`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    container: str
    codec: str
    width: int
    height: int
    frames: int
    seconds: float
    frame_rate: str
    variable_frame_rate: bool
    rotation: int
    sound: str | None
    damage: str | None


class Planned(_Event):
    """What will be done and what it is expected to hold, before the first frame.

    `frames` of the video are asked for; `frames_kept` of them are finished already. `job` is empty in an estimate.
    `predicted_seconds` is a rough guess from what was measured elsewhere, and None where nothing was.
    """

    type: Literal["planned"] = "planned"
    job: str
    facts: Facts
    engine: str
    frames: int
    frames_kept: int
    window_frames: int
    batch_frames: int
    predicted_host_bytes: int
    predicted_device_bytes: int
    budget_host_bytes: int
    budget_device_bytes: int
    disk_bytes: int
    predicted_seconds: float | None = None
    risk: Literal["low", "medium", "high", "cannot"]
    reason: str
    preset: str
    preset_reason: str


class Progress(_Event):
    """`done` of `total` frames of `stage`; `value` is the newest figure of a curve, where the task has one."""

    type: Literal["progress"] = "progress"
    job: str
    stage: str
    done: int
    total: int
    frames_per_second: float
    eta_seconds: float | None
    frame: int
    value: float | None = None


class Memory(_Event):
    """What the job's processes and its device hold now, and the most so far."""

    type: Literal["memory"] = "memory"
    job: str
    host_bytes: int
    host_peak_bytes: int
    host_available_bytes: int
    device_bytes: int
    device_peak_bytes: int


class Preview(_Event):
    """A picture of frame `frame`, at `path`; the same path is written again and again."""

    type: Literal["preview"] = "preview"
    job: str
    frame: int
    path: StoredPath


class Segment(_Event):
    """A finished span, kept at `path`; `curve` has a few points (frame, mean value) of it, where the task has one."""

    type: Literal["segment"] = "segment"
    job: str
    start: int
    stop: int
    path: StoredPath
    curve: tuple[tuple[int, float], ...] = ()


class Degraded(_Event):
    """Memory ended and the job went on with less: which rung, from frame `frame`, and whether results change."""

    type: Literal["degraded"] = "degraded"
    job: str
    frame: int
    rung: str
    change: Literal["exact", "close", "changes"]
    message: str


class Warned(_Event):
    """Something the user should know; the job goes on."""

    type: Literal["warning"] = "warning"
    job: str
    code: str
    message: str


class Outputs(BaseModel):
    """The files of a finished job, as absolute paths.

    Every task may have those that are named here. What else a task makes has a name of its own: one file, several, or
    None where it was not made this time.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, StoredPath | tuple[StoredPath, ...] | None]
    result: StoredPath | None = None
    report: StoredPath | None = None
    scores: StoredPath | None = None
    picture: StoredPath | None = None
    memory: StoredPath | None = None

    def further(self, name: str) -> Path | None:
        """The one file of the task's own that has this name, where there is one."""
        found = self.__pydantic_extra__.get(name)
        return found if isinstance(found, Path) else None

    @property
    def pictures(self) -> list[Path]:
        """What there is to look at beside the result: the report's picture, then those that come in numbers."""
        several = [
            path for more in self.__pydantic_extra__.values() if isinstance(more, tuple) for path in more
        ]
        return [self.picture, *several] if self.picture else several

    def paths(self) -> list[Path]:
        """All files that there are."""
        found = [self.result, self.report, self.scores, self.picture, self.memory]
        for more in self.__pydantic_extra__.values():
            found += more if isinstance(more, tuple) else [more]
        return [path for path in found if path is not None]


class Done(_Event):
    """The job is finished; so are these files."""

    type: Literal["done"] = "done"
    job: str
    outputs: Outputs


class Failed(_Event):
    """The job ended without a result: what happened and what to do next. Finished spans are kept."""

    type: Literal["failed"] = "failed"
    job: str
    code: str
    message: str
    hint: str = ""
    exit_code: int = 1

    @classmethod
    def of(cls, job: str, error: LongtakeError) -> Self:
        """`error` as the event that tells it."""
        return cls(
            job=job, code=error.code, message=error.message, hint=error.hint, exit_code=error.exit_code
        )

    def to_error(self, path: StoredPath | None = None) -> LongtakeError:
        """The error that the event reports; `path` (a visitor's file on the server) appears by its name alone."""
        message = _named(self.message, path) if path else self.message
        return LongtakeError.from_code(self.code, message, self.hint, self.exit_code)


def _named(message: str, path: Path) -> str:
    return message.replace(str(path), path.name).replace(printable(str(path)), printable(path.name))


class Paused(_Event):
    """The job stopped at a span's border and can be resumed."""

    type: Literal["paused"] = "paused"
    job: str
    message: str = ""


class CancelledEvent(_Event):
    """The user cancelled the job; finished spans are kept."""

    type: Literal["cancelled"] = "cancelled"
    job: str


Event = Annotated[
    Queued
    | Started
    | Planned
    | Progress
    | Memory
    | Preview
    | Segment
    | Degraded
    | Warned
    | Done
    | Failed
    | Paused
    | CancelledEvent,
    Field(discriminator="type"),
]

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)

ENDINGS = (Done, Failed, Paused, CancelledEvent)
"""Events after which a job does nothing more until it is started again."""


def parse(line: str | bytes) -> Event:
    """The event that a line of `events.jsonl` holds. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(line)
