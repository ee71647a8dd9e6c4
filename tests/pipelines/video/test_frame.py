import numpy as np
import pytest

from pipelines.video.frame import shrink


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
