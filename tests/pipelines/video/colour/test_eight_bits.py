"""Deep YUV at 8 bits, without a way through R'G'B'."""

import numpy as np
import pytest

from pipelines.video.colour.eight_bits import eight_bit_planes
from pipelines.video.info import ColourTags
from pipelines.video.samples.planes import Planes


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signal_range", ["tv", "pc", None])
def test_black_white_and_grey_are_exact_and_others_are_mixed(bits: int, signal_range: str | None) -> None:
    step, full = 2 ** (bits - 8), signal_range == "pc"
    kind = np.uint8 if bits == 8 else np.uint16
    grey = np.full((32, 32), 128 * step, kind)
    for code, level in ((0, 0), (2**bits - 1, 255)) if full else ((16 * step, 16), (235 * step, 235)):
        planes = Planes((np.full((64, 64), code, kind), grey, grey), bits, "420")
        made = eight_bit_planes(planes, ColourTags(signal_range), 3)
        assert (made.bits, made.subsampling, made.alpha) == (8, "420", None)
        assert [np.unique(plane).tolist() for plane in made.colours] == [[level], [128], [128]]
    if bits == 10:
        code = 401
        planes = Planes((np.full((64, 64), code, kind), grey + kind(1), grey - kind(1)), bits, "420")
        made = eight_bit_planes(planes, ColourTags(signal_range), 3)
        scale = 255 / 1023 if full else 1 / 4
        means = [plane.mean() for plane in made.colours]
        assert means == pytest.approx([code * scale, 128 + scale, 128 - scale], abs=0.02)
