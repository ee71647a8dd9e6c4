"""What a job gives an engine: frames and masks, at the size at which it computes."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import BadInput
from pipelines.masks.mask_video import read_tracked
from pipelines.masks.resize import Pixels, Size, small_frame, small_mask, work_size
from pipelines.masks.sequence import Mask, Masks, dilate, open_masks
from pipelines.settings import InpaintSettings, MaskSettings
from pipelines.stages import RunContext
from pipelines.video.reader import choose_decoder, read_frames


def settings_of(run: RunContext) -> InpaintSettings:
    """The job's settings as those of filling."""
    if not isinstance(run.settings, InpaintSettings):
        raise TypeError(f"inpainting is asked with InpaintSettings, not with {type(run.settings).__name__}")
    return run.settings


def mask_settings_of(run: RunContext) -> MaskSettings:
    """The job's settings as those that say what to remove."""
    if not isinstance(run.settings, MaskSettings):
        raise TypeError(f"masks are asked for with MaskSettings, not with {type(run.settings).__name__}")
    return run.settings


def mask_path(run: RunContext) -> Path:
    """The mask that the job was given. Raises BadInput where there is none."""
    if len(run.inputs) < 2:
        raise BadInput(
            "Nothing says what to remove.",
            "Give --mask, or say where the object is with --box x,y,width,height@frame.",
        )
    return run.inputs[1]


def open_job_masks(run: RunContext) -> Masks:
    """The masks of a job whose mask is no hint. Raises as `open_masks` does."""
    return open_masks(mask_path(run), run.video, frames=run.frames, invert=mask_settings_of(run).invert)


def size_of(run: RunContext) -> Size:
    """Width and height at which the job computes."""
    video = run.video
    return work_size((video.width, video.height), settings_of(run), run.choice.number("max_side_px"))


def read_pixels(run: RunContext, start: int, stop: int) -> Generator[Pixels]:
    """Frames `[start, stop)` of the video as they are. Holds what the decoder holds.

    decord is left aside unless it is asked for: it decodes ahead of a slow consumer without limit.
    """
    video, settings = run.video, run.settings
    decoder = settings.decoder if settings.decoder != "auto" else choose_decoder(video, luma_only=True)
    with closing(
        read_frames(
            video, start, stop, decoder=decoder, salvage=settings.salvage, ahead=run.plan.window_frames
        )
    ) as frames:
        for frame in frames:
            yield frame.rgb()


class FrameMask(NamedTuple):
    """A frame's mask as it was marked, and dilated, as it is filled; both `(H, W)` at the video's size."""

    marked: Mask
    filled: Mask


def read_holes(run: RunContext, start: int, stop: int) -> Generator[FrameMask]:
    """The masks of frames `[start, stop)`. Holds one.

    What is followed and what a mask marks besides are both removed.
    """
    steps = mask_settings_of(run).mask_dilation
    hole = None
    with closing(_read_marked(run, start, stop)) as masks:
        for mask in masks:
            if hole is None or mask is not hole.marked:  # A still mask is one array for all frames.
                hole = FrameMask(mask, dilate(mask, steps))
            yield hole


def read_masks(run: RunContext, start: int, stop: int) -> Generator[Mask]:
    """The masks of frames `[start, stop)` as they are filled: dilated, at the video's size. Holds one."""
    with closing(read_holes(run, start, stop)) as holes:
        for hole in holes:
            yield hole.filled


def _read_marked(run: RunContext, start: int, stop: int) -> Generator[Mask]:
    settings = mask_settings_of(run)
    if not settings.follows:
        yield from open_job_masks(run).read(start, stop)
        return
    with closing(read_tracked(run, start, stop)) as tracked:
        if settings.track or len(run.inputs) < 2:
            yield from tracked
            return
        with closing(open_job_masks(run).read(start, stop)) as besides:
            for first, second in zip(tracked, besides, strict=True):
                yield first | second


def read_inputs(run: RunContext, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Frame `(h, w, 3)` and mask `(h, w)` of frames `[start, stop)`, at `size_of(job)`. Holds one of each."""
    size = size_of(run)
    with closing(read_pixels(run, start, stop)) as frames, closing(read_masks(run, start, stop)) as masks:
        for frame, mask in zip(frames, masks, strict=True):
            yield small_frame(frame, size), small_mask(mask, size)
