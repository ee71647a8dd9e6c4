from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.video.clock.timeline import constant
from pipelines.video.frame import YuvPicture, shrink
from pipelines.video.info import ColourTags, VideoInfo
from pipelines.video.samples.layout import SampleLayout, Subsampling
from pipelines.video.samples.planes import Planes, frame_of


@pytest.mark.parametrize("size", [(640, 360), (320, 180), (427, 240), (1280, 720), (64, 36)])
def test_shrinking_gives_the_size_that_was_asked_for_and_keeps_the_mean(size: tuple[int, int]) -> None:
    ramp = np.tile(np.linspace(0, 255, 1280).astype(np.uint8), (720, 1))
    small = shrink(ramp, *size)
    assert small.shape == size[::-1] and small.dtype == np.uint8
    assert abs(float(small.mean()) - float(ramp.mean())) < 2


def test_shrinking_leaves_nothing_out() -> None:
    dots = np.zeros((256, 256), np.uint8)
    dots[1::4, 2::4] = 255
    assert np.ptp(shrink(dots, 64, 64)) == 0, "each small pixel saw its dot"


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
@pytest.mark.parametrize("signal_range", ["tv", "pc"])
def test_white_of_deep_sdr_is_white(signal_range: str, subsampling: Subsampling, bits: int) -> None:
    layout, step = SampleLayout(bits, subsampling), 2 ** (bits - 8)
    black, white = (0, 2**bits - 1) if signal_range == "pc" else (16 * step, 235 * step)
    luma = np.repeat(np.linspace(black, white, 32).round().astype(np.uint16)[None], 16, axis=0)
    across, down = layout.chroma_size(32, 16)
    chroma = np.full((down, across), 128 * step, np.uint16)
    colour = ColourTags(signal_range, "bt2020nc", "bt2020", "bt2020-10")
    frame = frame_of(Planes((luma, chroma, chroma), bits, subsampling), colour.matrix, colour.range)
    info = VideoInfo(
        *(Path("clip.mkv"), "matroska", "ffv1", 32, 16, constant(1, Fraction(25))),
        **{"pixel_format": layout.pixel_format, "bit_depth": bits, "colour": colour},
    )
    seen = YuvPicture(frame, info).rgb()
    assert np.abs(seen - np.linspace(0, 255, 32)[:, None]).max() <= 0.6
    assert seen[:, 0].max() == 0 and seen[:, -1].min() == 255
