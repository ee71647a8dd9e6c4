"""Reading a job's frames and masks, at the video's size or at the size at which an engine computes."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import BadInput
from pipelines.masks.mask_video import read_tracked
from pipelines.masks.resize import small_frame, small_mask, work_size
from pipelines.masks.sequence import Masks, dilate, open_masks
from pipelines.settings import InpaintSettings, MaskSettings
from pipelines.stages import RunContext
from pipelines.video.reader import bounded_decoder, read_frames
from pipelines.vision.types import Mask, Pixels, Size


def settings_of(run: RunContext) -> InpaintSettings:
    """Return the job's settings as `InpaintSettings`. Raises TypeError for those of another task."""
    if not isinstance(run.settings, InpaintSettings):
        raise TypeError(f"inpainting needs InpaintSettings, not {type(run.settings).__name__}")
    return run.settings


def mask_settings_of(run: RunContext) -> MaskSettings:
    """Return the job's settings as `MaskSettings`. Raises TypeError for those of another task."""
    if not isinstance(run.settings, MaskSettings):
        raise TypeError(f"masks need MaskSettings, not {type(run.settings).__name__}")
    return run.settings


def mask_path(run: RunContext) -> Path:
    """Return the path of the job's mask. Raises BadInput if it has none."""
    if len(run.inputs) < 2:
        raise BadInput(
            "Nothing says what to remove.",
            "Give --mask, or mark the object with --box x,y,width,height@frame.",
            "mask.nothing",
        )
    return run.inputs[1]


def open_job_masks(run: RunContext) -> Masks:
    """Open the masks of a job whose mask input is not a set of prompts. Raises the errors of `open_masks`."""
    settings = mask_settings_of(run)
    return open_masks(
        mask_path(run), run.video, frames=run.frames, invert=settings.invert, scale=settings.scale_mask
    )


def size_of(run: RunContext) -> Size:
    """Return the width and height at which the job's engine computes."""
    video = run.video
    return work_size((video.width, video.height), settings_of(run), run.choice.number("max_side_px"))


def read_pixels(run: RunContext, start: int, stop: int) -> Generator[Pixels]:
    """Yield frames `[start, stop)` of the video, `(H, W, 3)` uint8 RGB. Holds what the decoder holds.

    decord is used only on request: it decodes ahead of a slow consumer without limit.
    """
    video, settings = run.video, run.settings
    decoder = bounded_decoder(video, settings.decoder)
    with closing(
        read_frames(
            video, start, stop, decoder=decoder, salvage=settings.salvage, ahead=run.plan.window_frames
        )
    ) as frames:
        for frame in frames:
            yield frame.rgb()


class FrameMask(NamedTuple):
    """A frame's mask as `marked`, and dilated, as it is `filled`; both `(H, W)` bool at the video's size."""

    marked: Mask
    filled: Mask


def read_holes(run: RunContext, start: int, stop: int) -> Generator[FrameMask]:
    """Yield the masks of frames `[start, stop)`. Holds one.

    Where an object is tracked and a mask is given as well, both are removed.
    """
    steps = mask_settings_of(run).mask_dilation
    hole = None
    with closing(_read_marked(run, start, stop)) as masks:
        for mask in masks:
            if hole is None or mask is not hole.marked:  # A still mask is the same array for all frames.
                hole = FrameMask(mask, dilate(mask, steps))
            yield hole


def read_masks(run: RunContext, start: int, stop: int) -> Generator[Mask]:
    """Yield the dilated masks `(H, W)` of frames `[start, stop)`, at the video's size. Holds one."""
    with closing(read_holes(run, start, stop)) as holes:
        for hole in holes:
            yield hole.filled


def _read_marked(run: RunContext, start: int, stop: int) -> Generator[Mask]:
    """Yield masks as marked: tracked, given, or the union of both."""
    settings = mask_settings_of(run)
    if not settings.follows:
        yield from open_job_masks(run).read(start, stop)
        return
    with closing(read_tracked(run, start, stop)) as tracked:
        if settings.track or len(run.inputs) < 2:
            yield from tracked
            return
        with closing(open_job_masks(run).read(start, stop)) as given:
            for first, second in zip(tracked, given, strict=True):
                yield first | second


def read_inputs(run: RunContext, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Yield frame `(h, w, 3)` and mask `(h, w)` of frames `[start, stop)`, at `size_of(run)`. Holds one of each."""
    size = size_of(run)
    with closing(read_pixels(run, start, stop)) as frames, closing(read_masks(run, start, stop)) as masks:
        for frame, mask in zip(frames, masks, strict=True):
            yield small_frame(frame, size), small_mask(mask, size)
