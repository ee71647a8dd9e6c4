"""Reading a job's frames and holes for the chain, by the task's rules or by those of the published system."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from pipelines.inpainting.propainter.canvas import Canvas
from pipelines.masks.bundle import Bundle, max_pixels, open_bundle
from pipelines.masks.decode import open_image
from pipelines.masks.reading import mask_path, read_holes, read_masks, read_pixels, settings_of
from pipelines.masks.sequence import dilate
from pipelines.stages import RunContext
from pipelines.vision.types import Mask, Pixels, Size


def read_work(run: RunContext, canvas: Canvas, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Yield frames `(H, W, 3)` and holes `(H, W)` of `[start, stop)` on the computed canvas. Holds one of each."""
    with (
        closing(read_pixels(run, start, stop)) as frames,
        closing(_small_masks(run, canvas, start, stop)) as masks,
    ):
        for frame, mask in zip(frames, masks, strict=True):
            yield canvas.small_frame(frame), canvas.small_hole(mask)


def read_results(run: RunContext, canvas: Canvas, start: int, stop: int) -> Generator[tuple[Pixels, Mask]]:
    """Yield source frames and holes `(H, W)` at the size of the result. Holds one of each."""
    with (
        closing(read_pixels(run, start, stop)) as frames,
        closing(read_result_masks(run, start, stop)) as masks,
    ):
        for frame, mask in zip(frames, masks, strict=True):
            yield frame, canvas.result.hole(mask)


def marks_nothing(run: RunContext) -> bool:
    """Whether there are no masks, which outpainting does not need."""
    settings = settings_of(run)
    return settings.outpaints and not settings.follows and len(run.inputs) < 2


def read_result_masks(run: RunContext, start: int, stop: int) -> Generator[Mask | None]:
    """Yield dilated masks at the source's size; None for outpainting without masks."""
    if marks_nothing(run):
        yield from (None for _ in range(start, stop))
    else:
        yield from read_masks(run, start, stop)


def _small_masks(run: RunContext, canvas: Canvas, start: int, stop: int) -> Generator[Mask | None]:
    if not canvas.published or marks_nothing(run):
        yield from read_result_masks(run, start, stop)
        return
    steps = settings_of(run).mask_dilation
    with closing(_published_masks(run, canvas.work.picture, start, stop)) as masks:
        for mask in masks:
            yield dilate(mask, steps)


def _published_masks(run: RunContext, size: Size, start: int, stop: int) -> Generator[Mask]:
    """Yield masks by the published rules: resized to the nearest pixel before dilation; all but black is masked."""
    settings = settings_of(run)
    path = None if settings.follows else mask_path(run).expanduser()
    bundle = open_bundle(path, run.video.frames, max_pixels(run.video)) if path else None
    if bundle is None:
        with closing(read_holes(run, start, stop)) as holes:
            for hole in holes:
                yield np.asarray(Image.fromarray(hole.marked).resize(size, Image.Resampling.NEAREST))
        return
    still, first = len(bundle.names) == 1, 0 if len(bundle.names) == run.video.frames else run.frames.start
    for mask in _images(run, bundle, size, (0,) if still else range(start - first, stop - first)):
        yield from [mask ^ settings.invert] * (stop - start if still else 1)


def _images(
    run: RunContext, bundle: Bundle, size: Size, members: "range | tuple[int, ...]"
) -> Generator[Mask]:
    with closing(bundle.files(members)) as files:
        for name, file in files:
            yield _small_image(file, name, max_pixels(run.video), size)


def _small_image(file: Path | IO[bytes], name: str, most_pixels: int, size: Size) -> Mask:
    with open_image(file, name, most_pixels) as image:
        ImageOps.exif_transpose(image, in_place=True)
        small = np.asarray(image.resize(size, Image.Resampling.NEAREST).convert("L"))
    return np.asarray(small != 0)
