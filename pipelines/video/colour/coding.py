"""R'G'B' codes of 16 bits for computing with pictures in the source's own values, and what they look like in SDR."""

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from pipelines.video.colour.dither import dither
from pipelines.video.colour.proxy import proxy_rgb
from pipelines.video.colour.samples import from_signal, full_range, of_size, raised_to_rgb
from pipelines.video.info import ColourTags, VideoInfo
from pipelines.video.samples.layout import SampleLayout
from pipelines.video.samples.planes import Planes
from pipelines.vision.types import Deep, Floats, Pixels, Size

_TOP = 65535


@dataclass(frozen=True)
class Coding:
    """How the samples of a video stand for colours: their layout, and the video's colour tags.

    Its R'G'B' codes are uint16, with black and white where luma has them: limited range keeps what lies below black and
    above white. Of a video of 10 bits, they have 6 bits more than its samples.
    """

    layout: SampleLayout
    tags: ColourTags

    @property
    def black(self) -> int:
        """The code of black."""
        return 0 if full_range(self.layout, self.tags) else 16 << 8

    @property
    def span(self) -> int:
        """Codes from black to nominal white."""
        return _TOP if full_range(self.layout, self.tags) else 219 << 8

    def codes(self, planes: Planes, size: Size | None = None) -> Deep:
        """Return the R'G'B' codes (H, W, 3) uint16 of `planes`, reduced to `size` by averaging."""
        matrix = raised_to_rgb(planes.layout, self.tags) * self.span
        matrix[:, 3] += self.black
        return cast(
            Deep,
            cv2.transform(
                cv2.merge(of_size(planes, size or (planes.width, planes.height))), matrix.astype(np.float32)
            ),
        )

    def planes(self, codes: Deep, index: int) -> Planes:
        """Return opaque samples of frame `index` for `codes` of any size, dithered."""
        layout = replace(self.layout, alpha=False)
        made = from_signal(self.signal(codes), layout, self.tags)
        return Planes(
            tuple(dither(plane, layout.bits, index) for plane in made), layout.bits, layout.subsampling
        )

    def signal(self, codes: Deep | Floats) -> Floats:
        """Return the signal (H, W, 3) float32 of `codes`."""
        return np.asarray((codes.astype(np.float32) - np.float32(self.black)) / np.float32(self.span))

    def proxy(self, codes: Deep) -> Pixels:
        """Return what `codes` look like in SDR, (H, W, 3) uint8; see `proxy_rgb`."""
        if self.black:
            matrix = np.eye(3, 4) * (_TOP / self.span)
            matrix[:, 3] = -self.black * (_TOP / self.span)
            codes = cast(Deep, cv2.transform(codes, matrix.astype(np.float32)))
        return proxy_rgb(codes, self.tags)


def coding_of(video: VideoInfo) -> Coding:
    """Return the coding of the samples that readers give of `video`.

    As in the RGB that frames give, SDR keeps its primaries, even wide ones, and HDR becomes BT.709.
    """
    return Coding(video.layout, video.colour if video.hdr else replace(video.colour, primaries=None))


def rounded(codes: Floats) -> Deep:
    """Round codes to uint16."""
    found: Deep = np.clip(codes + np.float32(0.5), 0, _TOP).astype(np.uint16)
    return found
