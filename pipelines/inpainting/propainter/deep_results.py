"""Frames of deep video as samples: filled in place, on a larger canvas, or at the size of the published output."""

from collections.abc import Generator, Iterable
from contextlib import closing, nullcontext
from typing import cast

import cv2
import numpy as np
from PIL import Image

from pipelines.inpainting.deep.filled import DeepFilled
from pipelines.inpainting.deep.reading import read_planes
from pipelines.inpainting.propainter.canvas import Canvas, CanvasPlacement
from pipelines.inpainting.propainter.inputs import read_result_masks
from pipelines.inpainting.propainter.streaming import Painted
from pipelines.stages import RunContext
from pipelines.video.colour.coding import Coding, coding_of
from pipelines.video.colour.paste import paste_samples
from pipelines.video.colour.samples import chroma_steps, from_signal
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.types import Deep, Floats, Size


def deep_frames(
    run: RunContext, canvas: Canvas, painted: Iterable[Painted], start: int, stop: int
) -> Generator[DeepFilled]:
    """Yield frames `[start, stop)` with what was painted, without padding, pasted into the samples of the source.

    Those of the published output are first brought to its size, as samples of the source's depth.
    """
    coding = coding_of(run.video)
    masks = nullcontext() if canvas.published else closing(read_result_masks(run, start, stop))
    with closing(read_planes(run, start, stop)) as frames, masks as known:
        for index, (fill, planes) in enumerate(zip(painted, frames, strict=True), start):
            if known is None:
                source, mask = published(planes, canvas, coding, index), canvas.large(fill.mask)
            else:
                source, mask = placed(planes, canvas.result, coding), canvas.result.hole(next(known))
            pixels = canvas.resized(fill.after) if canvas.published else fill.after
            after, chroma = paste_samples(source, pixels, mask, coding, index)
            yield DeepFilled(index, source, after, mask, canvas.large(fill.invented) & mask, chroma, coding)


def placed(planes: Planes, placement: CanvasPlacement, coding: Coding) -> Planes:
    """Place the samples of a picture, unchanged, on a black canvas; its corner lies on a sample of chroma."""
    if placement.picture == placement.whole:
        return planes
    width, height = placement.whole
    black = from_signal(np.zeros((2, 2, 3), np.float32), planes.layout, coding.tags)
    found = []
    for number, (plane, code) in enumerate(zip(planes.colours, black, strict=True)):
        down, across = chroma_steps(planes.layout) if number else (1, 1)
        whole = np.full((-(-height // down), -(-width // across)), np.rint(code[0, 0]), plane.dtype)
        top, left = placement.top // down, placement.left // across
        whole[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
        found.append(cast(Plane, whole))
    return Planes(tuple(found), planes.bits, planes.subsampling)


def published(planes: Planes, canvas: Canvas, coding: Coding, index: int) -> Planes:
    """Bring frame `index` to the size of the published output, as it does: to the work size, and from there on."""
    size = planes.width, planes.height
    if size == canvas.work.picture == canvas.work.whole == canvas.output:
        return planes
    codes = canvas.work.put(_resampled(coding.codes(planes), canvas.work.picture), coding.black)
    return coding.planes(canvas.resized(codes), index)


def _resampled(codes: Deep, size: Size) -> Deep:
    """Resize (H, W, 3) as Pillow does pictures of 8 bits: bicubic, with as much smoothing as it needs."""
    if codes.shape[1::-1] == size:
        return codes
    channels = (Image.fromarray(channel.astype(np.float32)) for channel in cv2.split(codes))
    resized = [np.asarray(channel.resize(size, Image.Resampling.BICUBIC)) for channel in channels]
    merged = cast(Floats, cv2.merge(resized))
    return cast(Deep, np.clip(merged + np.float32(0.5), 0, 65535).astype(np.uint16))
