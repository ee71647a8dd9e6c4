"""The contracts between a task, its engines and the loop that runs a job.

A pipeline belongs to one job: a task and an engine, opened for its inputs. It is a sequence of stages and a join. A
stage computes one item per frame and saves them span by span; any span can be computed on its own with the same result.
Stages before the last are prepasses, which save small records under `state/`; the last one saves `segments/`. The join
reads the segments in order and makes the files that the user asked for. An engine makes the frames of the last stage.
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
from pipelines.video.pictures.transparency import transparency_notes
from pipelines.vision.types import Pixels, Size
from presets.choose import Choice

Warn = Callable[[str, str], None]
"""Warns the user: takes a code and a sentence."""

SEGMENTS = "segments"
"""The folder of the last stage's files, below the job's."""

EngineT = TypeVar("EngineT", bound="Engine")
SettingsT = TypeVar("SettingsT", bound=Settings)


@dataclass(frozen=True)
class RunContext:
    """Everything about a job that is needed to compute one of its spans on its own."""

    folder: Path
    video: VideoInfo
    frames: Span
    settings: Settings
    choice: Choice
    plan: Plan
    inputs: tuple[Path, ...] = ()
    """All input files of the job; the first is the video itself."""
    device: str = "cpu"
    """Torch's name of the device that networks compute on."""
    effort: Effort | None = None
    """The reduced plan after the job ran out of memory; None: it never did."""
    on_step: Callable[[Step], None] = field(default=lambda step: None, compare=False)
    """Called by a stage that recovers from a lack of memory by itself, with the step it took."""
    threads: int = 0
    """Threads of networks on the CPU; 0: those of the machine."""
    fingerprints: tuple[str, ...] = ()
    """Hashes of the whole contents of `inputs`; empty where a job of an earlier version has none."""
    check_interrupt: Callable[[], None] = field(default=lambda: None, compare=False)
    """Called regularly by a stage that computes for long without an item; raises if the job is to stop."""

    @property
    def spans(self) -> list[Span]:
        """The job's frames, split in order into the spans in which they are saved."""
        return split(self.frames, self.choice.number("span_frames"))


class Sink(Protocol):
    """Writes the items of one span, in order. `close` completes the file; `abandon` stops without completing it."""

    def write(self, item: Any) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def abandon(self) -> None: ...  # noqa: D102


class Stage(Protocol):
    """One pass over the frames.

    Its spans are saved in `folder`, below the job folder (`segments` or `state/<name>`), as files with `suffix`.
    """

    name: str
    folder: str
    suffix: str
    in_order: bool
    """Whether a span costs far less after the one before it: then one worker computes them all, one after another."""
    network: bool
    """Whether a prepass computes on a GPU if there is one; of the last stage its engine says so."""

    def compute(self, run: RunContext, start: int, stop: int) -> Generator[Any]:
        """Yield the items of frames `[start, stop)`, one per frame, in order.

        Reads its own halo and holds a bounded number of frames. Items do not depend on where a span starts.
        """
        ...

    def halo(self, run: RunContext) -> int:
        """Return how many frames' work a stretch in the middle costs beside its own, however long it is."""
        ...

    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for one span's file at `path` (a temporary name; the loop renames it)."""
        ...

    def beside(self, run: RunContext, span: Span) -> Sequence[Path]:
        """Return the files that a finished span keeps beside its own; without them it is computed again.

        They are complete when the sink is closed, before the span's own file is.
        """
        ...

    def preview(self, item: Any) -> Pixels | None:
        """Return a picture of `item`, `(H, W, 3)` uint8 RGB, or None."""
        ...

    def value(self, item: Any) -> float | None:
        """Return the value of `item` on the live curve, or None."""
        ...


class Engine(ABC):
    """Makes the frames of a task's result. Opened for one job, so it may keep what it learns about the inputs.

    A task's engines share a base class, which defines what `frames` yields. An engine must implement `frames` and
    `fit`; the defaults of the other methods suit an engine that computes frame by frame on the CPU.
    """

    name: str
    network = False
    """Whether it computes on a GPU if there is one."""

    def __init__(self, video: VideoInfo, settings: Settings) -> None:
        self.video = video
        """The video from which the result takes its frame count and times."""
        self.settings = settings

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """Passes over the video that run before the first frame is made."""
        return ()

    def check(self, run: RunContext) -> None:  # noqa: B027  an engine may have nothing to check
        """Check the engine's own requirements; called before the first frame at every start. Raises LongtakeError."""

    def windows(self, choice: Choice) -> Sequence[int]:
        """Return the window lengths the planner may choose from, in frames; a window is held in memory at once."""
        return range(1, choice.number("read_ahead_frames") + 1)

    def batches(self, choice: Choice) -> Sequence[int]:
        """Return the batch sizes the planner may choose from, in frames."""
        return (1,)

    @abstractmethod
    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Return the memory cost of a run, and `choice` with the values that depend on the memory budget added.

        Values decided at an earlier start of the job are already in `choice` and must stay. `device` is the kind of
        device that a network computes on (`cpu`, `cuda`, `mps`).
        """

    def rungs(self, *, prepass: bool) -> tuple[Rung, ...]:
        """Return what to try, in order, when a pass over frames (or a prepass) runs out of memory and is reopened.

        By default smaller windows, which without a network give the same bytes.
        """
        return standard_rungs(network=False)

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Any]:
        """Make the items of frames `[start, stop)`, the same whatever `start` is. Holds a bounded number of frames."""

    def halo(self, run: RunContext) -> int:
        """Return how many frames' work a stretch in the middle costs beside its own; 0 where that is little."""
        return 0

    def report(self, run: RunContext, warn: Warn) -> dict[str, Any]:
        """Return additions to the report's summary, once all frames exist; `warn(code, message)` warns the user."""
        return {}

    def products(self, run: RunContext) -> dict[str, Path]:
        """Write further files of the result, once all frames exist; return them by their names in the outputs."""
        return {}


class Pipeline(Protocol):
    """One job: its task and its engine, opened for its inputs and settings."""

    task: str

    @property
    def engine(self) -> Engine:
        """The engine that makes the frames of the last stage."""
        ...

    @property
    def video(self) -> VideoInfo:
        """The video from which the result takes its frame count and times."""
        ...

    def frames(self, asked: Span) -> Span:
        """Return the part of the requested frames that can be made. Raises BadInput if that is none."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The prepasses, then the stage that makes the segments."""
        ...

    def check(self, run: RunContext) -> None:
        """Check the task's own requirements; called before the first frame at every start. Raises LongtakeError."""
        ...

    def notices(self, run: RunContext) -> tuple[str, ...]:
        """Return warnings about the inputs and the result that are known before the first frame."""
        ...

    def disk_bytes(self, frames: Span) -> int:
        """Estimate how many bytes a run writes."""
        ...

    def other_bytes(self) -> int:
        """Estimate what reading the inputs besides the video holds on the host, beyond the engine's own cost."""
        ...

    def other_sizes(self) -> tuple[Size, ...]:
        """Return width and height of the inputs besides the video, such as a portrait or masks. Reads headers."""
        ...

    def join(self, run: RunContext, segments: list[Path], warn: Warn) -> Outputs:
        """Make the job's files from its segments, in order; may be repeated. `warn(code, message)` warns the user."""
        ...


class TaskPipeline(Generic[EngineT]):
    """Default pipeline: all requested frames of the engine's video, and only the engine's checks."""

    task: str

    def __init__(self, inputs: tuple[Path, ...], engine: EngineT) -> None:
        self.inputs = inputs
        self.engine = engine

    @property
    def video(self) -> VideoInfo:
        """The engine's video."""
        return self.engine.video

    def frames(self, asked: Span) -> Span:
        """Return all requested frames."""
        return asked

    def check(self, run: RunContext) -> None:
        """Run the engine's checks."""
        self.engine.check(run)

    def notices(self, run: RunContext) -> tuple[str, ...]:
        """Return what was repaired in the times of the video, and how its transparent parts are read."""
        return (*run.video.notes, *transparency_notes(run.video))

    def other_bytes(self) -> int:
        """Return nothing: there is only the video, or the engine's cost has all."""
        return 0

    def other_sizes(self) -> tuple[Size, ...]:
        """Return nothing: there is only the video."""
        return ()


class VideoPipeline(TaskPipeline[EngineT]):
    """Pipeline whose result has the frame count and times of its first input."""

    @classmethod
    def open(
        cls, engine: Callable[[VideoInfo, SettingsT], EngineT], inputs: tuple[Path, ...], settings: SettingsT
    ) -> Self:
        """Probe the first input and make the engine for that video. Raises the errors of `probe`."""
        from pipelines.video.probe import probe  # loads a decoder

        return cls(inputs, engine(probe(inputs[0], salvage=settings.salvage), settings))


class AnyOrder:
    """Stage whose spans cost the same in any order, and little beside them, so that several workers may share them."""

    in_order = False
    network = False

    def halo(self, run: RunContext) -> int:
        """Return nothing: what is read beside a stretch costs little."""
        return 0


class OneFile(AnyOrder):
    """Stage that saves only one file per span."""

    def beside(self, run: RunContext, span: Span) -> Sequence[Path]:
        """Return nothing: there is only the span's file."""
        return ()


def uses_network(stage: Stage, pipeline: Pipeline) -> bool:
    """Whether `stage` of `pipeline` computes on a GPU if there is one."""
    return pipeline.engine.network if stage.folder == SEGMENTS else stage.network


def rungs_of(stage: Stage, pipeline: Pipeline) -> tuple[Rung, ...]:
    """Return what to try, in order, when `stage` of `pipeline` runs out of memory."""
    return pipeline.engine.rungs(prepass=stage.folder != SEGMENTS)
