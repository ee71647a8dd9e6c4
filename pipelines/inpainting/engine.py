"""The contract of engines that remove an object."""

from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.masks.reading import read_inputs, read_masks, read_pixels, size_of
from pipelines.masks.resize import large_mask, paste_back, work_size
from pipelines.settings import InpaintSettings
from pipelines.spans import Span
from pipelines.stages import Engine, RunContext
from pipelines.tracking.prepass import check_marks, tracking_load
from pipelines.video.info import VideoInfo
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.vision.types import Mask, Pixels, Size
from presets.choose import Choice

Read = Callable[[int, int], Generator[tuple[Pixels, Mask]]]
"""Frames and masks of a range, from any frame on."""

_PROCESS_BYTES = 220 * MIB
"""Interpreter, libraries and the command line: measured at 190 to 210 MiB."""
_ENCODER_PIXEL_BYTES = 170
"""What libx264 `veryfast` holds a pixel, with its look-ahead, references and conversion: measured at 120 to 165."""
_READERS = 3
"""An engine reads frames twice, and each is read once more when it is filled."""


@dataclass(frozen=True)
class Filled:
    """One frame of the result, before and after, `(H, W, 3)` uint8 RGB.

    `mask` `(H, W)` is what was filled, `invented` what of that no frame shows.
    """

    index: int
    before: Pixels
    after: Pixels
    mask: Mask
    invented: Mask


class InpaintEngine(Engine):
    """Removes an object: `frames` yields one `Filled` for each frame.

    Masks are read with `pipelines.masks.reading`. Frames have the video's size, unless an engine says otherwise.
    """

    settings: InpaintSettings

    def __init__(self, video: VideoInfo, settings: InpaintSettings) -> None:
        super().__init__(video, settings)
        self.settings = settings

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Filled]:
        """Frames `[start, stop)` of the result, the same whatever `start` is."""

    def check(self, run: RunContext) -> None:
        """Masks that mark something, prompts within the picture. Raises BadInput, and what `open_masks` raises."""
        check_marks(run)

    def work_size(self, run: RunContext) -> Size:
        """Width and height at which it computes: as asked, or up to the preset's most."""
        return size_of(run)

    def size(self, run: RunContext) -> Size:
        """Width and height of the result."""
        return self.video.width, self.video.height

    def picture(self, run: RunContext, index: int) -> Pixels:
        """Frame `index` as it was, at the size of the result."""
        with closing(read_pixels(run, index, index + 1)) as frames:
            return next(frames)

    def around(self) -> Load:
        """What a run holds beside what its engine does: the process, decoders, the tracker and the encoder."""
        video, settings = self.video, self.settings
        decoder = bounded_decoder(video, settings.decoder)
        decoders = _READERS * held_bytes(video, decoder) / (video.width * video.height)
        fixed = _PROCESS_BYTES
        if settings.tracker != "builtin":
            fixed += int(tracking_load(settings).fixed)
        return Load(fixed=fixed, per_pixel=decoders + _ENCODER_PIXEL_BYTES, per_window_pixel=3 * _READERS)


class Fill(NamedTuple):
    """A frame `(h, w, 3)` uint8 RGB with its hole filled, and which pixels `(h, w)` of that no frame shows."""

    pixels: Pixels
    invented: Mask


class InPlaceEngine(InpaintEngine):
    """An engine that says how holes are filled, and nothing else: outside the masks the result is what was decoded.

    It computes at `work_size`; what it fills is enlarged and put back into the frames, to the bit outside the masks.
    """

    @property
    @abstractmethod
    def load(self) -> Load:
        """What it holds beside its readers; pixels are those of the size at which it computes."""

    @abstractmethod
    def fill(self, read: Read, frames: Span, start: int, stop: int) -> Generator[Fill]:
        """Fill frames `[start, stop)`; reads others within `frames` by `read`. The same whatever `start` is."""

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Filled]:
        """Frames `[start, stop)`, filled.

        `fill` reads on its own, at its own size and ahead; frames and masks are read a second time here, which holds
        less than keeping them until they are filled.
        """
        size = self.size(run)
        with (
            closing(self.fill(partial(read_inputs, run), run.frames, start, stop)) as fills,
            closing(read_pixels(run, start, stop)) as frames,
            closing(read_masks(run, start, stop)) as masks,
        ):
            for index, (fill, frame, mask) in enumerate(zip(fills, frames, masks, strict=True), start):
                after = paste_back(frame, fill.pixels, mask)
                yield Filled(index, frame, after, mask, large_mask(fill.invented, size) & mask)

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """The size at which it computes; decoders, the encoder, and what filling holds of that size."""
        video, most = self.video, choice.number("max_side_px")
        width, height = work_size((video.width, video.height), self.settings, most)
        values = {"work_width": width, "work_height": height, **choice.values}
        around, load = self.around(), self.load
        per_pixel = around.per_pixel + load.per_pixel * width * height / (video.width * video.height)
        cost = Cost(host=replace(around, fixed=around.fixed + load.fixed, per_pixel=per_pixel))
        return replace(choice, values=values), cost
