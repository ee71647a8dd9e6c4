"""Base class of engines that score a video."""

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
    """Scores a video: `frames` yields measurements of each frame, from which `verdicts` judges the whole video.

    What `report` returns is added to the report as it is, beside the summary.
    """

    settings: ScoreSettings
    title = ""
    """Its name on the chart; empty for the built-in engine."""
    suffix: str
    """Suffix of a span's file, which `sink` writes and `verdicts` reads."""

    def __init__(self, video: VideoInfo, settings: ScoreSettings) -> None:
        super().__init__(video, settings)
        self.settings = settings

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Any]:
        """Measure frames `[start, stop)`, the same whatever `start` is. Holds a bounded number of frames."""

    @abstractmethod
    def sink(self, run: RunContext, path: Path) -> Sink:
        """Open a writer for one span's file."""

    @abstractmethod
    def preview(self, item: Any) -> Pixels | None:
        """Return the frame of `item`, `(H, W, 3)` uint8 RGB."""

    @abstractmethod
    def value(self, item: Any) -> float | None:
        """Return the value of `item` on the live curve."""

    @abstractmethod
    def verdicts(self, segments: list[Path]) -> Iterator[Verdicts]:
        """Yield the verdicts of all frames, in order, in blocks."""

    @property
    def window(self) -> int:
        """Frames that one window score covers."""
        return self.settings.window

    def movement(self, segments: list[Path]) -> float | None:
        """Return the movement (0 to 1) that sets the smoothness threshold; None: it is computed from the verdicts."""
        return None

    def disk_bytes(self, frames: Span) -> int:
        """Estimate what the engine saves beside one record per frame."""
        return 0


def analysis_width(run: RunContext) -> int:
    """Return the width in pixels at which frames are analysed: the preset's, or the video's if that is smaller."""
    return min(run.video.width, int(run.choice.values["analysis_width"]))
