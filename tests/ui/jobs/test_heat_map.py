"""The photograph of a removal's picture, without the chart below it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.inpainting.unseen import Invention, draw_invention
from ui.jobs.heat_map import heat_map


@pytest.mark.parametrize("size", [(160, 90), (90, 160)])
def test_the_photograph_alone_is_shown_whatever_its_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    path, (width, height) = tmp_path / "report.png", size
    frame = np.full((height, width, 3), (250, 200, 40), np.uint8)
    found = Invention(40, width * height)
    found.heat = np.zeros((height, width), np.float64)
    found.heat[20:60, 30:50] = 255 * 20
    draw_invention(path, "clip.mp4", frame, found, 0, lambda index: index / 25)
    found._curve[:] = 100, 90  # the area of the chart fills it
    shown = heat_map(path)
    assert shown != path and heat_map(path) == shown
    with Image.open(path) as whole, Image.open(shown) as part:
        assert part.width / part.height == pytest.approx(width / height, rel=0.05)
        pixels = np.asarray(part.convert("RGB")).astype(int)
        assert part.width < whole.width and part.height < whole.height
    assert not (pixels.min(axis=2) > 245).any(), "nothing of the paper is left"
    hot = pixels[int(part.height * 40 / height), int(part.width * 40 / width)]
    assert abs(hot - pixels[-3, -3]).max() > 30, "the map is on it"


def test_a_picture_without_a_photograph_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    Image.new("RGB", (64, 48), "white").save(path)
    assert heat_map(path) == path
