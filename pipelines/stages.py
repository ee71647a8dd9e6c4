"""What a pipeline is, in the eyes of the loop that runs it.

A pipeline is a row of stages and a join. A stage computes one item per frame and keeps them span by span, so
that any span can be computed on its own and comes out the same. Stages before the last are prepasses: they
keep small records under `state/`; the last keeps `segments/`. The join reads the segments in order and makes
the files that the user asked for.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from memory.budget import Budget
from memory.ladder import Effort, Rung, Step, standard_rungs
from memory.plan import Cost, Plan
from pipelines.jobs.events import Outputs
from pipelines.settings import Settings
from pipelines.spans import Span, split
from pipelines.video.info import VideoInfo
from pipelines.video.probe import probe
from pipelines.vision.types import Pixels
from presets.choose import Choice


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


class Pipeline(Protocol):
    """A task with one engine."""

    task: str
    engine: str
    network: bool
    """Whether the engine is a network, which computes on a card where there is one."""

    def probe_inputs(self, inputs: tuple[Path, ...], settings: Settings) -> VideoInfo:
        """The video whose frames and times the result has. Raises the errors of `probe`."""
        ...

    def frames(self, inputs: tuple[Path, ...], video: VideoInfo, asked: Span) -> Span:
        """Those of the frames that were asked for that can be made."""
        ...

    def windows(self, choice: Choice) -> Sequence[int]:
        """The window lengths, in frames, that the planner may choose from; a window is what is held at once."""
        ...

    def batches(self, choice: Choice) -> Sequence[int]:
        """The batch sizes, in frames, that the planner may choose from."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The prepasses, then the stage that makes the segments."""
        ...

    def check(self, run: RunContext) -> None:
        """Look at what only this task needs; called before the first frame, at every start. Raises LongtakeError."""
        ...

    def fit(
        self, video: VideoInfo, settings: Settings, choice: Choice, budget: Budget, device: str
    ) -> tuple[Choice, Cost]:
        """`choice` with what the memory there is decides besides window and batch, and what a run then holds.

        What an earlier start of the job decided is in `choice` already and stays. `device` is the kind of device that a
        network computes on.
        """
        ...

    def rungs(self, stage: Stage) -> tuple[Rung, ...]:
        """What a chain of `stage` is opened with again, one after the other, when memory ended in it."""
        ...

    def disk_bytes(self, video: VideoInfo, frames: Span) -> int:
        """An estimate of what a run writes."""
        ...

    def join(self, run: RunContext, segments: list[Path], warn: Callable[[str, str], None]) -> Outputs:
        """Make the job's files from its segments, in order; may be repeated. `warn(code, message)` tells the user."""
        ...


class Costed(Protocol):
    """A pipeline whose cost memory does not change."""

    def cost(self, video: VideoInfo, settings: Settings) -> Cost:
        """What a run holds, for the planner."""
        ...


class FrameByFrame:
    """A pipeline that computes one frame of its first input at a time: its window is the frames that wait, decoded."""

    network = False

    def probe_inputs(self, inputs: tuple[Path, ...], settings: Settings) -> VideoInfo:
        """The first input."""
        return probe(inputs[0], salvage=settings.salvage)

    def frames(self, inputs: tuple[Path, ...], video: VideoInfo, asked: Span) -> Span:
        """All that were asked for."""
        return asked

    def windows(self, choice: Choice) -> Sequence[int]:
        """As many as the preset reads ahead, or fewer."""
        return range(1, choice.number("read_ahead_frames") + 1)

    def batches(self, choice: Choice) -> Sequence[int]:
        """One frame at a time."""
        return (1,)

    def fit(
        self: Costed, video: VideoInfo, settings: Settings, choice: Choice, budget: Budget, device: str
    ) -> tuple[Choice, Cost]:
        """Window and batch alone depend on memory."""
        return choice, self.cost(video, settings)

    def rungs(self, stage: Stage) -> tuple[Rung, ...]:
        """Smaller windows; without a network they give the same bytes."""
        return standard_rungs(network=False)

    def check(self, run: RunContext) -> None:
        """Nothing but the video is needed."""


class OneFile:
    """A stage that keeps nothing of a span but its file."""

    def has_all(self, run: RunContext, span: Span) -> bool:
        """The file is all."""
        return True
