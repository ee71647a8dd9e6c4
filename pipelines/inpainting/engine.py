"""Base classes of engines that remove an object."""

from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, cast

from memory.budget import Budget
from memory.plan import Cost, Load
from memory.units import MIB
from pipelines.inpainting.deep.filled import DeepFilled, pasted_samples
from pipelines.inpainting.deep.reading import fills_samples, read_codes
from pipelines.masks.reading import read_inputs, read_masks, read_pixels, size_of
from pipelines.masks.resize import large_mask, paste_back, work_size
from pipelines.settings import InpaintSettings
from pipelines.spans import Span
from pipelines.stages import Engine, RunContext
from pipelines.tracking.prepass import check_marks, tracking_load
from pipelines.video.colour.coding import coding_of
from pipelines.video.encoding.encodings import chosen_codec, held_pixel_bytes
from pipelines.video.info import VideoInfo
from pipelines.video.reader import bounded_decoder, held_bytes
from pipelines.vision.types import Deep, Mask, Pixels, Size
from presets.choose import Choice

Read = Callable[[int, int], Generator[tuple[Any, Mask]]]
"""Reads frames and masks of `[start, stop)`, from any frame on: uint8 RGB, or uint16 codes for a deep engine."""

_PROCESS_BYTES = 220 * MIB
"""Interpreter, libraries and the command line: measured at 190 to 210 MiB."""
_PASTE_PIXEL_BYTES, _LIFT_PIXEL_BYTES = 75, 70
"""Bytes per pixel that pasting codes of 16 bits into samples holds, for a hole as large as the frame, and what bringing
8 bits to the depth of the source adds: measured at 60 and 66, without the samples before and after."""
READERS = 3
"""Open decoders, of frames and of masks: an engine reads both twice, and the stage once more to paste the fill."""


@dataclass(frozen=True)
class Filled:
    """One frame before and after, `(H, W, 3)` uint8 RGB.

    `mask` `(H, W)` marks the filled pixels, `invented` those among them that no frame shows.
    """

    index: int
    before: Pixels
    after: Pixels
    mask: Mask
    invented: Mask


class InpaintEngine(Engine):
    """Removes an object: `frames` yields one `Filled` per frame.

    Masks are read with `pipelines.masks.reading`. Frames have the video's size unless an engine overrides `size`.
    """

    settings: InpaintSettings
    deep = False
    """Whether it computes with R'G'B' codes of 16 bits of the source; otherwise it sees RGB of 8 bits."""

    def __init__(self, video: VideoInfo, settings: InpaintSettings) -> None:
        super().__init__(video, settings)
        self.settings = settings

    @abstractmethod
    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Filled | DeepFilled]:
        """Make frames `[start, stop)` of the result, the same whatever `start` is."""

    def check(self, run: RunContext) -> None:
        """Check that masks mark something and prompts lie within the frame.

        Raises BadInput, and the errors of `open_masks`.
        """
        check_marks(run)

    def work_size(self, run: RunContext) -> Size:
        """Return width and height at which it computes: those of the settings, or up to the preset's limit."""
        return size_of(run)

    def size(self, run: RunContext) -> Size:
        """Return width and height of the result."""
        return self.video.width, self.video.height

    def picture(self, run: RunContext, index: int) -> Pixels:
        """Read input frame `index` at the size of the result."""
        with closing(read_pixels(run, index, index + 1)) as frames:
            return next(frames)

    def around(self) -> Load:
        """Return what a run holds beside its engine: the process, decoders, tracker and encoder."""
        video, settings = self.video, self.settings
        decoder = bounded_decoder(video, settings.decoder)
        decoders = READERS * held_bytes(video, decoder) / (video.width * video.height)
        fixed, frame = _PROCESS_BYTES, 3 * READERS
        encoder = held_pixel_bytes(chosen_codec(settings.codec, video))
        if fills_samples(video, settings):
            paste = _PASTE_PIXEL_BYTES + (0 if self.deep else _LIFT_PIXEL_BYTES)
            grown = settings.scale_w * settings.scale_h if settings.outpaints else 1
            encoder, frame = int(grown * (encoder + paste)), 2 * frame
        if settings.tracker != "builtin":
            fixed += int(tracking_load(settings).fixed)
        return Load(fixed=fixed, per_pixel=decoders + encoder, per_window_pixel=frame)


class Fill(NamedTuple):
    """A frame `(h, w, 3)` with its hole filled, and which of the filled pixels `(h, w)` no frame shows.

    The frame is uint8 RGB, or R'G'B' codes of 16 bits where a deep engine fills a deep video.
    """

    pixels: Pixels | Deep
    invented: Mask


class InPlaceEngine(InpaintEngine):
    """Engine that only fills holes: outside the masks the result equals the decoded frames to the bit.

    It computes at `work_size`; the fill is enlarged and pasted back into the frames, or into their samples where the
    source is deep.
    """

    @property
    @abstractmethod
    def load(self) -> Load:
        """Memory held beside its readers, for pixels at the work size."""

    @abstractmethod
    def fill(self, read: Read, frames: Span, start: int, stop: int) -> Generator[Fill]:
        """Fill frames `[start, stop)`, the same whatever `start` is; may read any of `frames` with `read`."""

    def frames(self, run: RunContext, start: int, stop: int) -> Generator[Filled | DeepFilled]:
        """Fill frames `[start, stop)` and paste the fill back.

        `fill` reads ahead, at its own size. Frames and masks are read a second time here, which takes less memory than
        keeping them until they are filled.
        """
        if fills_samples(self.video, self.settings):
            yield from self._filled_samples(run, start, stop)
            return
        size = self.size(run)
        with (
            closing(self.fill(partial(read_inputs, run), run.frames, start, stop)) as fills,
            closing(read_pixels(run, start, stop)) as frames,
            closing(read_masks(run, start, stop)) as masks,
        ):
            for index, (fill, frame, mask) in enumerate(zip(fills, frames, masks, strict=True), start):
                after = paste_back(frame, cast(Pixels, fill.pixels), mask)
                yield Filled(index, frame, after, mask, large_mask(fill.invented, size) & mask)

    def _filled_samples(self, run: RunContext, start: int, stop: int) -> Generator[DeepFilled]:
        """Fill frames `[start, stop)` and paste the fill into the samples of the source."""
        coding = coding_of(self.video)
        read = partial(read_codes, run, coding) if self.deep else partial(read_inputs, run)
        with closing(self.fill(read, run.frames, start, stop)) as fills:
            yield from pasted_samples(run, coding, fills, start, stop)

    def fit(self, choice: Choice, budget: Budget, device: str) -> tuple[Choice, Cost]:
        """Decide the work size, and return the cost of decoders, encoder and filling at that size."""
        video, most = self.video, choice.number("max_side_px")
        width, height = work_size((video.width, video.height), self.settings, most)
        values = {"work_width": width, "work_height": height, **choice.values}
        around, load = self.around(), self.load
        per_pixel = around.per_pixel + load.per_pixel * width * height / (video.width * video.height)
        cost = Cost(host=replace(around, fixed=around.fixed + load.fixed, per_pixel=per_pixel))
        return replace(choice, values=values), cost
