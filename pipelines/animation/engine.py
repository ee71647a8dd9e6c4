"""What the task asks of an engine that animates: frames of the result, from any frame on."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.animation.inputs import PortraitInputs
from pipelines.stages import RunContext, Stage
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


class PortraitEngine(Protocol):
    """Makes the frames of the result. What it keeps of a job in memory it can make again."""

    name: str

    @property
    def prepasses(self) -> tuple[Stage, ...]:
        """What is looked at before the first frame is drawn: small records of each frame."""
        ...

    def check_roles(self, roles: PortraitInputs) -> None:
        """Raise BadInput for a source or driving of a kind that it cannot take; called before all else, and quick."""
        ...

    def check(self, run: RunContext) -> None:
        """Look at source and driving before the first frame; called at every start. Raises LongtakeError."""
        ...

    def size(self, run: RunContext) -> Size:
        """Of the frames that it makes."""
        ...

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Frames `[start, stop)` of the result, the same whatever `start` is. Holds a bounded number of them."""
        ...

    def told(self, run: RunContext, warn: Callable[[str, str], None]) -> dict[str, Any]:
        """What the report says of faces and motion once all frames are there; `warn(code, message)` tells the user.

        `filming.read_figures` reads the figures of all frames again. `faces` and `frames_at_rest` are counted by all.
        """
        ...
