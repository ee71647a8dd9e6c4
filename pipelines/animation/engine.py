"""Base class of engines that animate a portrait."""

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass

from pipelines.animation.inputs import PortraitInputs
from pipelines.settings import AnimateSettings, FixedCodec
from pipelines.stages import Engine, RunContext
from pipelines.video.encoding.encodings import chosen_codec, keeps_depth
from pipelines.video.samples.planes import Planes
from pipelines.vision.types import Pixels, Size


@dataclass(frozen=True, eq=False)
class Animated:
    """One frame of the result with its source and driving frame, `(H, W, 3)` uint8 RGB, each of its own size."""

    index: int
    source: Pixels
    driving: Pixels | None
    """None for a motion template, which has no pixels."""
    pixels: Pixels
    figures: tuple[float, ...] = ()
    """Values that the engine needs for its report, equally many for each frame; saved as float32.

    The first is the value on the live curve.
    """
    opacity: Pixels | None = None
    """Opacity `(H, W)` of the result for a codec that keeps it; `pixels` lie over the background. None: opaque."""
    planes: Planes | None = None
    """The result as samples, where it has those of a source video outside the face."""


class PortraitEngine(Engine):
    """Animates a portrait: `frames` yields one `Animated` per frame."""

    settings: AnimateSettings

    def __init__(self, inputs: PortraitInputs, settings: AnimateSettings) -> None:
        """Raises BadInput for a kind of source or driving that the engine does not support."""
        self.inputs = inputs
        self.check_inputs(inputs)
        super().__init__(inputs.timing_video, settings)
        self.settings = settings

    def check_inputs(self, inputs: PortraitInputs) -> None:
        """Raise BadInput for a kind of source or driving that the engine does not support. Called first; cheap."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """Width and height of the frames of the result."""

    @property
    def reduced(self) -> Size | None:
        """Size to which whole frames of the source are reduced, of which `size` is the upper left part, if it is."""
        video = self.inputs.source.video
        return self.size if self.size == (video.width, video.height) else None

    @property
    def fills_frames(self) -> bool:
        """Whether faces are pasted into whole frames of a source video, not cropped or beside others."""
        beside = self.settings.side_by_side
        return self.inputs.source.kind == "video" and not beside and self.reduced is not None

    @property
    def keeps_samples(self) -> bool:
        """Whether they are pasted into its samples: those of a deep or HDR one, or for a lossless result."""
        video = self.inputs.source.video
        codec = chosen_codec(self.settings.codec, video)
        deep = video.deep or video.hdr is not None or codec == "ffv1"
        return self.fills_frames and keeps_depth(codec) and deep

    @property
    def codec(self) -> FixedCodec:
        """The codec of the result: `auto` keeps the depth of the source where `keeps_samples`."""
        return chosen_codec(self.settings.codec, self.inputs.source.video if self.keeps_samples else None)

    @property
    def keeps_transparency(self) -> bool:
        """Whether frames come with the opacity of a transparent source."""
        return False

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Animated]:
        """Make frames `[start, stop)`, the same whatever `start` is. Holds a bounded number of them."""
