"""Samples of RGB and grey for encoders of YUV.

FFmpeg's scaler widens their codes by a shift, without repeating the high bits below: white of RGB with 10 bits would be
three codes too bright, and grey of full range would get a tint from chroma that is rounded down.
"""

from dataclasses import replace
from typing import cast

import numpy as np

from pipelines.video.colour.dither import dither
from pipelines.video.colour.samples import from_signal, full_range, to_signal
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Planes
from pipelines.vision.types import Floats

_PATTERN = 0
"""Frame whose pattern rounds all frames: it is too fine to be seen at 10 bits, and the same wherever a file begins."""


def as_yuv(planes: Planes, layout: SampleLayout, tags: ColourTags) -> Planes:
    """Convert `planes` of RGB or grey to `layout`, YUV in the matrix and range of `tags`; opaque if they have no alpha.

    Holds the picture in float32 twice.
    """
    colours = (
        _neutral(planes, layout, tags) if planes.subsampling == "gray" else _matrixed(planes, layout, tags)
    )
    made = [dither(plane, layout.bits, _PATTERN) for plane in colours]
    if layout.alpha:
        top = 2**layout.bits - 1
        opacity = np.full(planes.y.shape, top, np.float32)
        if planes.alpha is not None:
            opacity = planes.alpha * np.float32(top / (2**planes.bits - 1))
        made.append(dither(opacity, layout.bits, _PATTERN))
    return Planes.of_stored(tuple(made), layout)


def _matrixed(planes: Planes, layout: SampleLayout, tags: ColourTags) -> tuple[Floats, ...]:
    return from_signal(to_signal(planes, tags), replace(layout, alpha=False), tags)


def _neutral(planes: Planes, layout: SampleLayout, tags: ColourTags) -> tuple[Floats, ...]:
    """Bring grey to the range of luma, beside chroma without colour."""
    step, top = 2 ** (layout.bits - 8), 2**layout.bits - 1
    black, span = (0, top) if full_range(layout, tags) else (16 * step, 219 * step)
    luma = planes.y * np.float32(span / (2**planes.bits - 1)) + np.float32(black)
    across, down = layout.chroma_size(planes.width, planes.height)
    chroma = np.full((down, across), 128 * step, np.float32)
    return cast(Floats, luma), chroma, chroma
