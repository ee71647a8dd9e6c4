"""The events of a job: one stream that the page, the API and the command line all read.

Each event is one JSON object with a `type`; a job appends them to `events.jsonl`, one per line.
Times are seconds since the epoch, sizes are in bytes, frames are indices of input frames.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipelines.errors import LongtakeError, Sentence, Value
from pipelines.storage.kept_files import KeptFile
from pipelines.storage.names import StoredPath, without_folders


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    time: float = Field(default_factory=time.time)


WaitsFor = Literal["turn", "room"]
"""What a waiting job waits for: its turn, or, the next one, memory or disk that jobs beside it have planned to use."""


class Queued(_Event):
    """The job is waiting; position 0 is next. `queue_pid` is the process whose queue holds it."""

    type: Literal["queued"] = "queued"
    job: str
    task: str
    name: str
    position: int = 0
    queue_pid: int | None = None
    waits_for: WaitsFor = "turn"


class Started(_Event):
    """A worker has taken the job."""

    type: Literal["started"] = "started"
    job: str
    worker_pid: int


class Facts(BaseModel):
    """Properties of a video. `frames` is the exact count, `frame_rate` a fraction such as `30000/1001`."""

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
    damage_key: str = ""
    damage_values: Mapping[str, Value] = {}
    missing_frames: int = 0
    """What is damaged in a way that others can say in their words, and how many frames are known to be unreadable."""
    bit_depth: int = 8
    dynamic_range: str = "SDR"
    """`SDR`, `HDR10`, `PQ` or `HLG`."""
    other_sizes: tuple[tuple[int, int], ...] = ()
    """Width and height of the frames and pictures of the inputs besides the video; only in an estimate."""


class Planned(_Event):
    """The plan of a run with its predicted memory and time, sent before the first frame is computed.

    `frames` were requested, `frames_kept` of them are already finished. `job` is empty in an estimate.
    `predicted_seconds` is a rough figure from benchmarks on other machines, None where there are none. `gpu_seconds`
    are what a run would ask for of a GPU that is lent call by call; only in an estimate, and where that is so.
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
    gpu_seconds: int | None = None
    risk: Literal["low", "medium", "high", "cannot"]
    reason: str
    preset: str
    preset_reason: str


class Progress(_Event):
    """`done` of `total` frames of a stage; `value` is the latest point of the live curve, if the task has one."""

    type: Literal["progress"] = "progress"
    job: str
    stage: str
    done: int
    total: int
    frames_per_second: float
    eta_seconds: float | None
    frame: int
    value: float | None = None


class Heartbeat(_Event):
    """The computing thread is alive, though it has made no frame for some seconds."""

    type: Literal["heartbeat"] = "heartbeat"
    job: str


class Memory(_Event):
    """Memory held by the job's processes and on its device: now, and the peak so far."""

    type: Literal["memory"] = "memory"
    job: str
    host_bytes: int
    host_peak_bytes: int
    host_available_bytes: int
    device_bytes: int
    device_peak_bytes: int


class Preview(_Event):
    """A picture of frame `frame` at `path`, which each new preview overwrites."""

    type: Literal["preview"] = "preview"
    job: str
    frame: int
    path: StoredPath


class Segment(_Event):
    """A finished span, saved at `path`; `curve` has a few points (frame, mean value) if the task has a live curve.

    `files` are the file at `path` and those kept beside it, by which a resume verifies them.
    """

    type: Literal["segment"] = "segment"
    job: str
    start: int
    stop: int
    path: StoredPath
    curve: tuple[tuple[int, float], ...] = ()
    files: tuple[KeptFile, ...] = ()
    worker: int | None = None
    """The member of the crew that computed it; None where there is no crew."""


class Degraded(_Event):
    """The job ran out of memory and continues with less: by which rung, from which frame, and what that changes."""

    type: Literal["degraded"] = "degraded"
    job: str
    frame: int
    rung: str
    change: Literal["exact", "close", "changes"]
    message: str
    worker: int | None = None


MemberState = Literal["starting", "busy", "idle"]


class Member(BaseModel):
    """A member of a crew: it computes frames `[start, stop)` of `stage`, for the `attempt`th time."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    worker: int
    state: MemberState
    device: str = "cpu"
    stage: str = ""
    start: int = 0
    stop: int = 0
    attempt: int = 1


class LostMember(BaseModel):
    """A member that was lost and whose replacement is not at work yet.

    `how` completes "worker 2 ...", with its last words; others say the same by `key` and `values`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    worker: int
    how: str
    key: str = ""
    values: Mapping[str, Value] = {}

    @classmethod
    def of(cls, worker: int, how: str) -> Self:
        """Make the record of a loss, with key and values where `how` is a `Sentence`."""
        sentence = how if isinstance(how, Sentence) else Sentence(how)
        return cls(worker=worker, how=str(how), key=sentence.key, values=sentence.values)


class Crewed(_Event):
    """Who computes the job together, sent when that changes; `wanted` is how many there should be.

    Without members and losses the crew has ended: what is left of the job is done by its own process.
    """

    type: Literal["crew"] = "crew"
    job: str
    wanted: int
    members: tuple[Member, ...]
    lost: tuple[LostMember, ...] = ()
    open_spans: int = 0
    """So many spans of the stage were still to be published; it may have changed since without being told."""


class Warned(_Event):
    """A warning to the user; the job continues."""

    type: Literal["warning"] = "warning"
    job: str
    code: str
    message: str
    key: str = ""
    values: Mapping[str, Value] = {}

    @classmethod
    def of(cls, job: str, code: str, message: str) -> Self:
        """Make the event for a warning, with key and values where `message` is a `Sentence`."""
        sentence = message if isinstance(message, Sentence) else Sentence(message)
        return cls(job=job, code=code, message=str(message), key=sentence.key, values=sentence.values)


class Outputs(BaseModel):
    """The files of a finished job, as absolute paths.

    The fields are common to all tasks. Further files of a task are extra fields: one path, several, or None if this
    run did not make them.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, StoredPath | tuple[StoredPath, ...] | None]
    result: StoredPath | None = None
    report: StoredPath | None = None
    scores: StoredPath | None = None
    picture: StoredPath | None = None
    memory: StoredPath | None = None

    def further(self, name: str) -> Path | None:
        """Return the task-specific file called `name`; None if there is none, or several."""
        found = self.__pydantic_extra__.get(name)
        return found if isinstance(found, Path) else None

    @property
    def pictures(self) -> list[Path]:
        """The pictures beside the result: the report's, then task-specific series such as the worst frames."""
        several = [
            path for more in self.__pydantic_extra__.values() if isinstance(more, tuple) for path in more
        ]
        return [self.picture, *several] if self.picture else several

    def paths(self) -> list[Path]:
        """List all files."""
        found = [self.result, self.report, self.scores, self.picture, self.memory]
        for more in self.__pydantic_extra__.values():
            found += more if isinstance(more, tuple) else [more]
        return [path for path in found if path is not None]


class Done(_Event):
    """The job is finished, with these outputs; `files` are their sizes and hashes."""

    type: Literal["done"] = "done"
    job: str
    outputs: Outputs
    files: tuple[KeptFile, ...] = ()


class Failed(_Event):
    """The job ended without a result; `hint` says what to do next. Finished spans are kept."""

    type: Literal["failed"] = "failed"
    job: str
    code: str
    message: str
    hint: str = ""
    exit_code: int = 1
    key: str = ""
    values: Mapping[str, Value] = {}

    @classmethod
    def of(cls, job: str, error: LongtakeError) -> Self:
        """Make the event that reports `error`."""
        return cls(
            job=job,
            code=error.code,
            message=error.message,
            hint=error.hint,
            exit_code=error.exit_code,
            key=error.key,
            values=error.values,
        )

    def to_error(self, *paths: Path) -> LongtakeError:
        """Make the error that the event reports, with `paths` (a visitor's files on the server) as their names."""
        message = without_folders(self.message, paths)
        return LongtakeError.from_code(self.code, message, self.hint, self.exit_code, self.key, self.values)


class Paused(_Event):
    """The job stopped between two spans and can be resumed."""

    type: Literal["paused"] = "paused"
    job: str
    message: str = ""
    key: str = ""


class CancelledEvent(_Event):
    """The user cancelled the job; finished spans are kept."""

    type: Literal["cancelled"] = "cancelled"
    job: str


Event = Annotated[
    Queued
    | Started
    | Planned
    | Progress
    | Heartbeat
    | Memory
    | Preview
    | Segment
    | Degraded
    | Crewed
    | Warned
    | Done
    | Failed
    | Paused
    | CancelledEvent,
    Field(discriminator="type"),
]

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)

ENDINGS = (Done, Failed, Paused, CancelledEvent)
"""Events after which a job does nothing until it is started again."""


def parse(line: str | bytes) -> Event:
    """Parse one line of `events.jsonl`. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(line)
