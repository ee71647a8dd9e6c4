"""What a job gives an engine: frames and masks, at the size at which it computes."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import BadInput
from pipelines.inpainting.masks.mask_films import read_tracked
from pipelines.inpainting.masks.masks import Mask, Masks, dilate, open_masks
from pipelines.inpainting.scale import Pixels, Size, small_frame, small_mask, work_size
from pipelines.settings import InpaintSettings, MaskSettings
from pipelines.stages import Assignment
from pipelines.video.reader import choose_decoder, read_frames


def settings_of(job: Assignment) -> InpaintSettings:
    """The job's settings as those of filling."""
    if not isinstance(job.settings, InpaintSettings):
        raise TypeError(f"inpainting is asked with InpaintSettings, not with {type(job.settings).__name__}")
    return job.settings


def mask_settings_of(job: Assignment) -> MaskSettings:
    """The job's settings as those that say what to remove."""
    if not isinstance(job.settings, MaskSettings):
        raise TypeError(f"masks are asked for with MaskSettings, not with {type(job.settings).__name__}")
    return job.settings


def mask_path(job: Assignment) -> Path:
    """The mask that the job was given. Raises BadInput where there is none."""
    if len(job.inputs) < 2:
        raise BadInput(
            "Nothing says what to remove.",
            "Give --mask, or say where the object is with --box x,y,width,height@frame.",
        )
    return job.inputs[1]


def masks_given(job: Assignment) -> Masks:
    """The masks of a job whose mask is no hint. Raises as `open_masks` does."""
    return open_masks(mask_path(job), job.video, frames=job.frames, invert=mask_settings_of(job).invert)


def size_of(job: Assignment) -> Size:
    """Width and height at which the job computes."""
    video = job.video
    return work_size((video.width, video.height), settings_of(job), job.choice.number("max_side_px"))


def read_pixels(job: Assignment, start: int, stop: int) -> Generator[Pixels]:
    """Frames `[start, stop)` of the video as they are. Holds what the decoder holds.

    decord is left aside unless it is asked for: it decodes ahead of a slow consumer without limit.
    """
    video, settings = job.video, job.settings
    decoder = settings.decoder if settings.decoder != "auto" else choose_decoder(video, luma_only=True)
    with closing(
        read_frames(
            video, start, stop, decoder=decoder, salvage=settings.salvage, ahead=job.plan.window_frames
        )
    ) as frames:
        for frame in frames:
            yield frame.rgb()


class Hole(NamedTuple):
    """A frame's mask as it was marked, and dilated, as it is filled; both `(H, W)` at the video's size."""

    marked: Mask
    filled: Mask


def read_holes(job: Assignment, start: int, stop: int) -> Generator[Hole]:
    """The masks of frames `[start, stop)`. Holds one.

    What is followed and what a mask marks besides are both removed.
    """
    steps = mask_settings_of(job).mask_dilation
    hole = None
    with closing(_marked(job, start, stop)) as masks:
        for mask in masks:
            if hole is None or mask is not hole.marked:  # A still mask is one array for all frames.
                hole = Hole(mask, dilate(mask, steps))
            yield hole


def read_masks(job: Assignment, start: int, stop: int) -> Generator[Mask]:
    """The masks of frames `[start, stop)` as they are filled: dilated, at the video's size. Holds one."""
    with closing(read_holes(job, start, stop)) as holes:
        for hole in holes:
            yield hole.filled


def _marked(job: Assignment, start: int, stop: int) -> Generator[Mask]:
    settings = mask_settings_of(job)
    if not settings.follows:
        yield from masks_given(job).read(start, stop)
        return
    with closing(read_tracked(job, start, stop)) as tracked:
        if settings.track or len(job.inputs) < 2:
            yield from tracked
            return
        with closing(masks_given(job).read(start, stop)) as besides:
            for first, second in zip(tracked, besides, strict=True):
                yield first | second


def read_given(job: Assignment, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Frame `(h, w, 3)` and mask `(h, w)` of frames `[start, stop)`, at `size_of(job)`. Holds one of each."""
    size = size_of(job)
    with closing(read_pixels(job, start, stop)) as frames, closing(read_masks(job, start, stop)) as masks:
        for frame, mask in zip(frames, masks, strict=True):
            yield small_frame(frame, size), small_mask(mask, size)
