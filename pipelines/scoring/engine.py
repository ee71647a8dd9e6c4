"""The contract of engines that score a video."""

from abc import abstractmethod
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from pipelines.scoring.metrics.verdicts import Verdicts
from pipelines.settings import ScoreSettings
from pipelines.spans import Span
from pipelines.stages import Engine, RunContext, Sink
from pipelines.video.info import VideoInfo
from pipelines.vision.types import Pixels


class ScoringEngine(Engine):
    """Scores a video: `frames` yields what is known of each frame, and `verdicts` is drawn from all of it.

    What `report` returns is added to the report as it is, beside the summary.
    """

    settings: ScoreSettings
    title = ""
    """Its name on the chart; empty for the built-in engine."""
    suffix: str
    """Of a span's file, which `sink` writes and `verdicts` reads."""

    def __init__(self, video: VideoInfo, settings: ScoreSettings) -> None:
        super().__init__(video, settings)
        self.settings = settings

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Any]:
        """What is known of frames `[start, stop)`, the same whatever `start` is. Holds a bounded number of frames."""

    @abstractmethod
    def sink(self, run: RunContext, path: Path) -> Sink:
        """A writer of one span's file."""

    @abstractmethod
    def preview(self, item: Any) -> Pixels | None:
        """The frame of `item` `(H, W, 3)` uint8 RGB."""

    @abstractmethod
    def value(self, item: Any) -> float | None:
        """The figure of `item` for the live curve."""

    @abstractmethod
    def verdicts(self, segments: list[Path]) -> Iterator[Verdicts]:
        """Verdicts of all frames, in order, in blocks."""

    @property
    def window(self) -> int:
        """Frames of a window score."""
        return self.settings.window

    def movement(self, segments: list[Path]) -> float | None:
        """The measure of movement that the smoothness threshold follows; None: it is taken from the records."""
        return None

    def disk_bytes(self, frames: Span) -> int:
        """What it keeps on disk beside a record of each frame."""
        return 0


def analysis_width(run: RunContext) -> int:
    """The width at which frames are analysed; never larger than they are."""
    return min(run.video.width, int(run.choice.values["analysis_width"]))
