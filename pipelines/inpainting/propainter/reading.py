"""What a job gives the chain: frames and holes as they are computed, by the task's rules or by the published ones."""

from collections.abc import Generator
from contextlib import closing

import numpy as np
from PIL import Image

from pipelines.inpainting.given import mask_path, read_holes, read_masks, read_pixels, settings_of
from pipelines.inpainting.masks.mask_bundles import Bundle, most_pixels, open_bundle
from pipelines.inpainting.masks.mask_pictures import Mask, open_picture
from pipelines.inpainting.masks.masks import dilate
from pipelines.inpainting.propainter.canvas import Canvas
from pipelines.inpainting.scale import Pixels, Size
from pipelines.stages import Assignment


def read_work(job: Assignment, canvas: Canvas, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Frames (H, W, 3) and holes (H, W) of frames `[start, stop)`, as they are computed. Holds one of each."""
    with (
        closing(read_pixels(job, start, stop)) as frames,
        closing(_small_masks(job, canvas, start, stop)) as masks,
    ):
        for frame, mask in zip(frames, masks, strict=True):
            yield canvas.small_frame(frame), canvas.small_hole(mask)


def read_results(job: Assignment, canvas: Canvas, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Frames as the source has them, and holes (H, W) at the result's size. Holds one of each."""
    with closing(read_pixels(job, start, stop)) as frames, closing(_masks(job, start, stop)) as masks:
        for frame, mask in zip(frames, masks, strict=True):
            yield frame, canvas.result.hole(mask)


def marks_nothing(job: Assignment) -> bool:
    """Whether there are no masks, as there need not be where the picture only becomes larger."""
    settings = settings_of(job)
    return settings.outpaints and not settings.follows and len(job.inputs) < 2


def _masks(job: Assignment, start: int, stop: int) -> Generator[Mask | None]:
    """Masks as they are filled, at the source's size."""
    if marks_nothing(job):
        yield from (None for _ in range(start, stop))
    else:
        yield from read_masks(job, start, stop)


def _small_masks(job: Assignment, canvas: Canvas, start: int, stop: int) -> Generator[Mask | None]:
    if not canvas.published or marks_nothing(job):
        yield from _masks(job, start, stop)
        return
    steps = settings_of(job).mask_dilation
    with closing(_published_masks(job, canvas.work.picture, start, stop)) as masks:
        for mask in masks:
            yield dilate(mask, steps)


def _published_masks(job: Assignment, size: Size, start: int, stop: int) -> Generator[Mask]:
    """Masks resized before they grow, to the nearest pixel; of pictures, whatever is not black."""
    settings = settings_of(job)
    path = None if settings.follows else mask_path(job).expanduser()
    bundle = open_bundle(path, job.video.frames, most_pixels(job.video)) if path else None
    if bundle is None:
        with closing(read_holes(job, start, stop)) as holes:
            for hole in holes:
                yield np.asarray(Image.fromarray(hole.marked).resize(size, Image.Resampling.NEAREST))
        return
    still, first = len(bundle.names) == 1, 0 if len(bundle.names) == job.video.frames else job.frames.start
    for mask in _pictures(job, bundle, size, (0,) if still else range(start - first, stop - first)):
        yield from [mask ^ settings.invert] * (stop - start if still else 1)


def _pictures(
    job: Assignment, bundle: Bundle, size: Size, members: "range | tuple[int, ...]"
) -> Generator[Mask]:
    with closing(bundle.files(members)) as files:
        for name, file in files:
            picture = open_picture(file, name, most_pixels(job.video))
            small = picture.resize(size, Image.Resampling.NEAREST).convert("L")
            yield np.asarray(small) != 0
