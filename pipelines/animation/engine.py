"""The contract of engines that animate a portrait."""

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass

from pipelines.animation.inputs import PortraitInputs
from pipelines.settings import AnimateSettings
from pipelines.stages import Engine, RunContext
from pipelines.vision.types import Pixels, Size


@dataclass(frozen=True, eq=False)
class Animated:
    """One frame of the result, what it was made of and what it follows: `(H, W, 3)` uint8 RGB, each of its own size."""

    index: int
    source: Pixels
    driving: Pixels | None
    """None where a template drives, which has no pixels."""
    pixels: Pixels
    figures: tuple[float, ...] = ()
    """What the engine wants to know of each frame when it tells of the run, as many for each; kept as float32.

    The first is how far the head is from where it began, in distances of the eyes: the live curve shows it.
    """


class PortraitEngine(Engine):
    """Animates a portrait: `frames` yields one `Animated` for each frame."""

    settings: AnimateSettings

    def __init__(self, inputs: PortraitInputs, settings: AnimateSettings) -> None:
        """Raises BadInput for a source or driving of a kind that it cannot take."""
        self.inputs = inputs
        self.check_inputs(inputs)
        super().__init__(inputs.timing_video, settings)
        self.settings = settings

    def check_inputs(self, inputs: PortraitInputs) -> None:
        """Raise BadInput for a source or driving of a kind that it cannot take; called before all else, and quick."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """Width and height of the frames that it makes."""

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)` of the result, the same whatever `start` is. Holds a bounded number of them."""
