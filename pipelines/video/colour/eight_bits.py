"""Deep frames for codecs that keep less: 8 bits and standard dynamic range, or no transparency."""

from dataclasses import replace
from typing import cast

import numpy as np

from pipelines.video.colour.dither import dither
from pipelines.video.colour.proxy import dithered, undo_proxy
from pipelines.video.colour.samples import chroma_steps, from_signal, full_range, reduced_chroma, rgb16_strips
from pipelines.video.colour.tags import hdr_kind
from pipelines.video.info import ColourTags
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Plane, Planes
from pipelines.vision.types import Colour, Floats, Pixels


def eight_bit_planes(planes: Planes, tags: ColourTags, index: int) -> Planes:
    """Return opaque YUV of frame `index` at 8 bits, in its own matrix, range and chroma; rounded as `eight_bits` does.

    Not by way of R'G'B', which would cost chroma twice: where it is enlarged, and where it is reduced again.
    """
    step = np.float32(2 ** (planes.bits - 8))
    full = full_range(planes.layout, tags)
    scale = np.float32(255 / (2**planes.bits - 1)) if full else 1 / step
    neutral = np.float32(128)
    luma, *chroma = (plane.astype(np.float32) for plane in planes.colours)
    codes = [luma * scale, *((plane - neutral * step) * scale + neutral for plane in chroma)]
    return Planes(tuple(dither(plane, 8, index) for plane in codes), 8, planes.subsampling)


def eight_bits(planes: Planes, tags: ColourTags, index: int) -> Pixels:
    """Return R'G'B' (H, W, 3) uint8 of frame `index`, rounded with a pattern so that gradients show no bands.

    HDR is tone-mapped to SDR in BT.709; SDR keeps its primaries and transfer. Transparency is not looked at.
    """
    shown = tags if hdr_kind(tags) else replace(tags, primaries=None)
    return np.concatenate(
        [dithered(strip, shown, index, top=row) for row, strip in rgb16_strips(planes, tags)]
    )


def laid_over(planes: Planes, background: Colour, tags: ColourTags) -> Planes:
    """Lay transparent `planes` over a background, an SDR colour, in their own code values; opaque ones stay."""
    if planes.alpha is None:
        return planes
    layout = SampleLayout(planes.bits, planes.subsampling)
    share = planes.alpha.astype(np.float32) / np.float32(2**planes.bits - 1)
    if share.min() == 1:
        return replace(planes, alpha=None)
    signal = undo_proxy(np.full((2, 2, 3), background, np.float32), tags)
    behind = [float(plane[0, 0]) for plane in from_signal(signal, layout, tags)]
    chroma_share = reduced_chroma(share, *chroma_steps(layout))
    shares = [share if plane.shape == share.shape else chroma_share for plane in planes.colours]
    blended = (_blend(*parts) for parts in zip(planes.colours, shares, behind, strict=True))
    return Planes(tuple(blended), planes.bits, planes.subsampling)


def _blend(plane: Plane, share: Floats, behind: float) -> Plane:
    return cast(Plane, np.rint(plane * share + behind * (1 - share)).astype(plane.dtype))
