"""A chart for charts: what is drawn is where it was asked for, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.drawing import fonts
from pipelines.drawing.chart import Box, Chart, width_of
from pipelines.drawing.panel import Panel, ticks_of, values_of

INK = "#000000"
WHOLE = Box(0, 0, 100, 60)


def ink(chart: Chart) -> np.ndarray:
    """How much ink lies on each pixel, in [0, 1]."""
    return 1 - chart.pixels[..., 0] / 255


def test_a_rectangle_covers_its_box_with_its_opacity() -> None:
    chart = Chart(100, 60)
    chart.rectangle(Box(10, 20, 30, 50), INK, 0.5)
    drawn = ink(chart)
    assert np.allclose(drawn[22:48, 12:28], 0.5, atol=0.01)
    drawn[19:51, 9:31] = 0
    assert not drawn.any()


def test_a_line_goes_from_point_to_point_and_not_beyond_its_box() -> None:
    chart = Chart(100, 60)
    points = np.array([(-500.0, 30.5), (1e9, 30.5)])
    chart.line(points, INK, Box(20, 10, 60, 50), width_px=1)
    drawn = ink(chart)
    assert (drawn[30, 21:59] > 0.9).all()
    assert not drawn[:, :19].any() and not drawn[:, 61:].any()
    assert np.abs(np.flatnonzero(drawn.any(axis=1)) - 30).max() <= 1


def test_dashes_have_gaps() -> None:
    chart = Chart(100, 60)
    chart.line(np.array([(0.0, 30.5), (100.0, 30.5)]), INK, WHOLE, dash=(6, 4))
    on = ink(chart)[30] > 0.5
    assert 0.5 < on.mean() < 0.8 and np.count_nonzero(np.diff(on.astype(int))) >= 18


def test_what_lies_outside_the_picture_is_left_out() -> None:
    chart = Chart(100, 60)
    chart.rectangle(Box(90, 50, 300, 200), INK)
    chart.text("far to the left", -30, 30, INK)
    chart.text("far away", 500, 500, INK)
    assert chart.pixels.shape == (60, 100, 3)
    assert ink(chart)[55, 95] == 1


@pytest.mark.parametrize("anchor", ["la", "ma", "ra", "lm", "mm", "rm", "ls", "ms", "rs"])
def test_words_are_where_their_anchor_says(anchor: str) -> None:
    chart = Chart(300, 100)
    box = chart.text("Words\nin two lines", 150, 50, INK, anchor=anchor)
    rows, columns = np.nonzero(ink(chart))
    assert box.left <= columns.min() and columns.max() < box.right
    assert box.top <= rows.min() and rows.max() < box.bottom
    assert abs({"l": box.left, "m": (box.left + box.right) / 2, "r": box.right}[anchor[0]] - 150) <= 1
    if anchor[1] != "s":
        assert abs({"a": box.top, "m": (box.top + box.bottom) / 2}[anchor[1]] - 50) <= 1


def test_turned_words_stand_upright() -> None:
    chart = Chart(100, 300)
    box = chart.text("turned words", 50, 150, INK, anchor="mm", turned=True)
    assert box.height > 2 * box.width
    assert width_of("turned words") == box.height


def test_equal_calls_give_equal_bytes_and_the_file_is_what_was_drawn(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        chart = Chart(100, 60)
        chart.text("same", 10, 30, INK, bold=True)
        chart.save(tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "one.png")), chart.pixels)


def test_letters_that_no_font_has_are_drawn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_wide_files", lambda: ())
    fonts._font_of.cache_clear(), fonts._of_the_system.cache_clear()
    assert [words for words, _ in fonts.runs("a\u0436\u4e2d", 14.5)] == ["a\u0436\u4e2d"]
    fonts._font_of.cache_clear(), fonts._of_the_system.cache_clear()


def test_a_font_of_the_system_lends_its_letters_and_a_damaged_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dejavu = next(Path("/usr/share/fonts").rglob("DejaVuSans.ttf"), None)
    if dejavu is None:
        pytest.skip("this system has no DejaVu Sans")
    (tmp_path / "FreeSans.ttf").write_bytes(b"no font")
    (tmp_path / "DejaVuSans.ttf").symlink_to(dejavu)
    monkeypatch.setattr(fonts, "_FOLDERS", (str(tmp_path),))
    for cached in (fonts._font_of, fonts._of_the_system, fonts._wide_files):
        cached.cache_clear()
    parts = [(words, font.getname()[0]) for words, font in fonts.runs("a\u0436 b", 14.5)]
    for cached in (fonts._font_of, fonts._of_the_system, fonts._wide_files):
        cached.cache_clear()
    assert parts == [("a", "Aileron"), ("\u0436", "DejaVu Sans"), (" b", "Aileron")]


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0123, ["0.0000", "0.0025", "0.0050", "0.0075", "0.0100"]),
        (154.0, ["0", "50", "100", "150"]),
        (12_345.0, ["0", "2,500", "5,000", "7,500", "10,000"]),
    ],
)
def test_scales_name_round_values(top: float, said: list[str]) -> None:
    assert [words for _, words in values_of(top)] == said


def test_times_are_round_and_within_the_axis() -> None:
    assert ticks_of(0.3, 4.2) == [(0.5 * i, f"{0.5 * i:g}") for i in range(1, 9)]
    assert ticks_of(7.001, 7.002) != []
    assert len(ticks_of(0, 3e9)) <= 11


def test_values_are_drawn_to_scale() -> None:
    chart = Chart(200, 120)
    panel = Panel(chart, Box(20, 10, 180, 110), 0, 16, 10)
    panel.curve([0, 8, 8, 16], [0, 0, 5, 5], INK, width_px=1)
    drawn = ink(chart)
    assert drawn[59:61, 150].sum() > 0.9 and drawn[109, 50] > 0.4
    assert drawn[80, 99:101].max() > 0.4
    panel.area([0, 16], [10, 10], "#ff0000", 1.0, floor=[5, 5])
    assert tuple(chart.pixels[30, 100]) == (255, 0, 0) and tuple(chart.pixels[85, 50]) == (255, 255, 255)
