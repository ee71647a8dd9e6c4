"""The contracts between a task, its engines and the loop that runs a job.

A pipeline is one job's: a task and an engine, opened for its inputs. It is a row of stages and a join. A stage computes
one item per frame and keeps them span by span, so that any span can be computed on its own and comes out the same.
Stages before the last are prepasses: they keep small records under `state/`; the last keeps `segments/`. The join reads
the segments in order and makes the files that the user asked for. An engine makes the frames of the last stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from memory.budget import Budget
from memory.ladder import Effort, Rung, Step, standard_rungs
from memory.plan import Cost, Plan
from pipelines.jobs.events import Outputs
from pipelines.settings import Settings
from pipelines.spans import Span, split
from pipelines.video.info import VideoInfo
from pipelines.vision.types import Pixels
from presets.choose import Choice

Warn = Callable[[str, str], None]
"""Tells the user something: a code and a sentence."""

EngineT = TypeVar("EngineT", bound="Engine")
SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class RunContext:
    """One job as its pipeline sees it: everything that a span needs to be computed on its own."""

    folder: Path
    video: VideoInfo
    frames: Span
    settings: Settings
    choice: Choice
    plan: Plan
    inputs: tuple[Path, ...] = ()
    """All that the job reads; the first is the video itself."""
    device: str = "cpu"
    """What networks compute on, by torch's name."""
    effort: Effort | None = None
    """What is left of the plan since memory ended; None where it never did."""
    on_step: Callable[[Step], None] = field(default=lambda step: None, compare=False)
    """To be told where a stage goes on with less of its own accord."""
    check_interrupt: Callable[[], None] = field(default=lambda: None, compare=False)
    """To be called now and then by a stage that computes for long without an item; raises where it is to stop."""

    @property
    def spans(self) -> list[Span]:
        """The job's frames cut into the spans that are kept, in order."""
        return split(self.frames, self.choice.number("span_frames"))


class Sink(Protocol):
    """Takes the items of one span, in order. `close` makes the file whole; `abandon` leaves nothing running."""

    def write(self, item: Any) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def abandon(self) -> None: ...  # noqa: D102


class Stage(Protocol):
    """One pass over the frames.

    `folder` is where its spans are kept, below the job folder (`segments` or `state/<name>`); `suffix` is
    their file suffix.
    """

    name: str
    folder: str
    suffix: str

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Any]:
        """Items of frames `[start, stop)`, one a frame, in order; reads its own halo; holds a bounded number of frames.

        Starting anywhere gives the same items as starting at the first frame.
        """
        ...

    def sink(self, run: RunContext, path: Path) -> Sink:
        """A writer of one span's file at `path` (a temporary name; the loop renames it)."""
        ...

    def has_all(self, run: RunContext, span: Span) -> bool:
        """Whether what a finished span keeps beside its file is there too; where it is not, it is computed again."""
        ...

    def preview(self, item: Any) -> Pixels | None:
        """A picture of `item` `(H, W, 3)` uint8 RGB, or None where there is nothing to show."""
        ...

    def value(self, item: Any) -> float | None:
        """The figure of `item` for the live curve, or None."""
        ...


class Engine(ABC):
    """What makes the frames of a task's result; opened for one job, so what it finds out of its inputs it may keep.

    A task's engines share a base class, which says what `frames` yields. An engine must say `frames` and `fit`; the
    other verbs have the answers of an engine that computes frame by frame on the CPU.
    """

    name: str
    network = False
    """Whether it computes on a GPU where there is one."""

    def __init__(self, video: VideoInfo, settings: Settings) -> None:
        self.video = video
        """The video whose frames and times the result has."""
        self.settings = settings

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Passes over the video that come before the first frame is made."""
        return ()

    def check(self, run: RunContext) -> None:  # noqa: B027  nothing to check is an answer
        """Check what only this engine needs, before the first frame, at every start. Raises LongtakeError."""

    def windows(self, choice: Choice) -> Sequence[int]:
        """The window lengths, in frames, that the planner may choose from; a window is what is held at once."""
        return range(1, choice.number("read_ahead_frames") + 1)

    def batches(self, choice: Choice) -> Sequence[int]:
        """The batch sizes, in frames, that the planner may choose from."""
        return (1,)

    @abstractmethod
    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Say what a run holds, for the planner; returns it with `choice` and what memory decides there besides.

        What an earlier start of the job decided is in `choice` already and stays. `device` is the kind of device that a
        network computes on (`cpu`, `cuda`, `mps`).
        """

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """What a chain of frames (or of a prepass) is opened with again, one after the other, when memory ended in it.

        By default smaller windows, which give the same bytes where no network computes.
        """
        return standard_rungs(network=False)

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Any]:
        """Make the items of frames `[start, stop)`, the same whatever `start` is. Holds a bounded number of frames."""

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Add to the report's summary once all frames are there; `warn(code, message)` tells the user."""
        return {}

    def products(self, run: RunContext) -> dict[str, Path]:
        """Write further files of the result, once all frames are there; returns them by their names in the outputs."""
        return {}


class Pipeline(Protocol):
    """One job: its task and its engine, opened for its inputs and settings."""

    task: str

    @property
    def engine(self) -> Engine:
        """What makes the frames of the last stage."""
        ...

    @property
    def video(self) -> VideoInfo:
        """The video whose frames and times the result has."""
        ...

    def frames(self, asked: Span) -> Span:
        """Those of the frames that were asked for that can be made. Raises BadInput for none."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The prepasses, then the stage that makes the segments."""
        ...

    def check(self, run: RunContext) -> None:
        """Check what only this task needs; called before the first frame, at every start. Raises LongtakeError."""
        ...

    def disk_bytes(self, frames: Span) -> int:
        """Estimate what a run writes."""
        ...

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Make the job's files from its segments, in order; may be repeated. `warn(code, message)` tells the user."""
        ...


class TaskPipeline(Generic[EngineT]):
    """The defaults of a pipeline: every frame of the engine's video that is asked for, and nothing more to check."""

    task: str

    def __init__(self, inputs: tuple[Path, ...], engine: EngineT) -> None:
        self.inputs = inputs
        self.engine = engine

    @property
    def video(self) -> VideoInfo:
        """The engine's."""
        return self.engine.video

    def frames(self, asked: Span) -> Span:
        """All that were asked for."""
        return asked

    def check(self, run: RunContext) -> None:
        """What the engine checks."""
        self.engine.check(run)


class VideoPipeline(TaskPipeline[EngineT]):
    """A pipeline whose result has the frames and times of its first input."""

    @classmethod
    def open(
        cls, engine: Callable[[VideoInfo, SettingsT], EngineT], inputs: tuple[Path, ...], settings: SettingsT
    ) -> Self:
        """Probe the first of `inputs`, and make the engine for that video. Raises the errors of `probe`."""
        from pipelines.video.probe import probe  # here: it loads a decoder

        return cls(inputs, engine(probe(inputs[0], salvage=settings.salvage), settings))


class OneFile:
    """A stage that keeps nothing of a span but its file."""

    def has_all(self, run: RunContext, span: Span) -> bool:
        """The file is all."""
        return True
