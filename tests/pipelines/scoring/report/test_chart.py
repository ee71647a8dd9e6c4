"""The chart: whatever a file is called, however long it is, what is marked is seen and said."""

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.drawing.chart import Box, Chart, Words
from pipelines.drawing.panel import GREEN, Panel
from pipelines.scoring.metrics.verdicts import VERDICT
from pipelines.scoring.report.chart import (
    _MOST_SHADED,
    WIDTH,
    _shown,
    bands,
    draw_report,
    drawn,
    tick,
    time_ticks,
)
from pipelines.scoring.report.stretches import stretches
from pipelines.scoring.report.summary import Summary

from .shading import PLACE, shaded


def summary(frames: int, blurred: Any = (), frozen: Any = (), cuts: Any = ()) -> Summary:
    block = np.zeros(frames, VERDICT)
    block["sharpness"] = block["baseline"] = block["window_score"] = 0.6
    block["difference"] = 3
    for start, stop in blurred:
        block["blurred"][start:stop] = True
        block["sharpness"][start:stop] = 0.3
    for start, stop in frozen:
        block["frozen"][start:stop] = True
    block["cut"][list(cuts)] = True
    made = Summary(0, frames)
    assert sum(map(len, made.collect([block]))) == frames
    return made


def seconds(frame: int) -> float:
    return frame / 25


def picture(found: Summary, readings: Any = (), rater: str = "") -> Chart:
    return drawn("clip.mp4", found, seconds, readings, rater)


def words(chart: Chart) -> list[str]:
    return [each.text for each in chart.words]


def labels(chart: Chart) -> list[Words]:
    return [each for each in chart.words if "\n" in each.text]


@pytest.mark.parametrize("name", [r"a$\foo$.mp4", "$5 to $10.mp4", "two\nlines\x07.mp4", "x" * 200 + ".mp4"])
def test_a_name_is_a_name_whatever_is_in_it(name: str, tmp_path: Path) -> None:
    draw_report(tmp_path / "report.png", name, summary(9), seconds, None)
    title = drawn(name, summary(9), seconds, []).words[0]
    assert title.text.endswith(".mp4")
    assert "\n" not in title.text
    assert title.box.right < WIDTH


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert _shown("short.mp4") == "short.mp4"
    assert _shown("begin" + "x" * 200 + "end.mp4").startswith("begin")
    assert _shown("begin" + "x" * 200 + "end.mp4").endswith("end.mp4")


def test_stretches_say_what_they_are_and_when() -> None:
    chart = picture(summary(300, [(40, 60), (100, 110)], [(200, 216)]))
    assert [each.text for each in labels(chart)] == [
        "blurred\n0:01.600\n0:02.400",
        "frozen\n0:08.000\n0:08.640",
        "blurred\n0:04.000\n0:04.400",
    ]
    assert {"sharpness", "blurred", "frozen", "cut"} < set(words(chart))
    assert np.allclose(
        shaded(chart), [(40 / 300, 60 / 300), (100 / 300, 110 / 300), (200 / 300, 216 / 300)], atol=0.002
    )


def test_a_cut_is_a_line_and_a_film_without_faults_has_no_shading() -> None:
    plain, cut = picture(summary(300)), picture(summary(300, cuts=[150]))
    assert shaded(plain) == shaded(cut) == []
    rows = slice(int(PLACE.top), int(PLACE.bottom))
    changed = np.flatnonzero((plain.pixels[rows] != cut.pixels[rows]).any(axis=(0, 2)))
    assert changed.size and np.abs(changed - (PLACE.left + PLACE.right) / 2).max() <= 2


def test_scores_of_a_network_are_drawn_beside_the_sharpness() -> None:
    found = summary(300)
    with_scores = picture(found, rater="Some Net")
    assert "Some Net, on the right" in words(with_scores)
    assert "Some Net, on the right" not in words(picture(found))
    green = np.frombuffer(bytes.fromhex(GREEN[1:]), np.uint8)
    rows, columns = np.nonzero((with_scores.pixels[: int(PLACE.bottom)] == green).all(axis=2))
    inside = (rows > PLACE.top) & (columns < PLACE.right - 40)
    scale = float(found.curve.mean_score.max()) * 1.28
    expected = PLACE.bottom - float(found.curve.mean_score[0]) / scale * PLACE.height
    assert np.abs(rows[inside] - expected).max() < 4 and inside.sum() > 1000


def test_words_never_run_into_each_other() -> None:
    chart = picture(summary(300, [(40, 45), (50, 54), (60, 64), (297, 300)], [(46, 48)]))
    boxes = sorted((each.box for each in labels(chart)), key=lambda box: box.left)
    assert len(boxes) == 2
    assert "0:01.600" in labels(chart)[0].text, "of the stretches that are close, the longest is labelled"
    assert boxes[0].right < boxes[1].left
    assert boxes[1].right < WIDTH


def test_of_many_stretches_the_longest_are_shown_and_what_is_left_out_is_said() -> None:
    runs = [(start, start + 8) for start in range(0, 30_000, 100)]
    found = summary(30_000, [*runs, (29_940, 29_960)], [(50, 60)])
    chart = picture(found)
    assert f"blurred (the longest {_MOST_SHADED} of 301)" in words(chart) and "frozen" in words(chart)
    assert len(bands(stretches(found.describe(seconds), _MOST_SHADED), 0, 1200)) == _MOST_SHADED + 1
    assert labels(chart)[0].text == "blurred\n19:57.600\n19:58.400"


def test_two_frames_of_an_hour_are_seen() -> None:
    chart = picture(summary(90_000, [(45_000, 45_002)], [(60_000, 60_001)]))
    width = [(stop - start) * PLACE.width for start, stop in shaded(chart)]
    assert [each >= 2 for each in width] == [True, True]


def test_frozen_is_told_from_blurred_without_its_colour() -> None:
    chart = picture(summary(300, [(40, 60)], [(200, 216)]))
    rows = slice(int(PLACE.bottom) - 30, int(PLACE.bottom) - 5)

    def shades(frame: int) -> int:
        column = int(PLACE.left + frame / 300 * PLACE.width)
        return len(np.unique(chart.pixels[rows, column], axis=0))

    assert (shades(50), shades(208)) == (1, 2)


def test_device_memory_is_shown_where_there_was_any() -> None:
    def held(*readings: tuple[float, float, float]) -> list[str]:
        return [each for each in words(picture(summary(9), readings)) if "peak" in each]

    assert held((0.0, 0.1, 0.0), (1.0, 0.2, 0.0)) == ["host, peak 0.20 GiB"]
    assert held((0.0, 0.1, 0.0), (1.0, 0.2, 3.0)) == ["host, peak 0.20 GiB", "device, peak 3.00 GiB"]


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (0, "0:00"),
        (0.2, "0:00.2"),
        (10, "0:10"),
        (0.1 + 0.2, "0:00.3"),
        (70, "1:10"),
        (119.9999, "2:00"),
        (3600, "1:00:00"),
        (3725.5, "1:02:05.5"),
    ],
)
def test_ticks_are_short_time_codes(time: float, said: str) -> None:
    assert tick(time) == said


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 0.04), (0, 1), (0, 12), (0, 61), (3599, 3605), (0, 5400), (0, 90_000), (0, 3e6), (5, 5)],
)
def test_an_axis_has_room_for_its_times(start: float, stop: float) -> None:
    chart = Chart(WIDTH, 200)
    panel = Panel(chart, Box(70, 20, 1280, 140), start, stop, 1.0)
    panel.scales(found := time_ticks(start, stop))
    assert 1 <= len(found) <= 14
    assert all(start <= time <= max(stop, start + 1e-3) + 1e-9 for time, _ in found)
    boxes = [each.box for each in chart.words if each.box.top > 140]
    assert len(boxes) == len(found)
    assert all(a.right < b.left for a, b in pairwise(boxes))


@pytest.mark.parametrize("frames", [3, 40, 25 * 60, 25 * 3600])
@pytest.mark.parametrize("rater", ["", "Q-Align"])
def test_nothing_is_cut_off_and_no_words_touch(frames: int, rater: str) -> None:
    """Scales, times and titles fit in their margins, at any length."""
    chart = picture(summary(frames), [(0, 0.125, 0), (36000, 123.4, 11.9)], rater)
    height = chart.pixels.shape[0]
    for each in chart.words:
        assert each.box.left >= 0 and each.box.right <= WIDTH, each
        assert each.box.top >= 0 and each.box.bottom <= height, each
    for one, other in combinations((each.box for each in chart.words), 2):
        apart = one.right <= other.left or other.right <= one.left
        assert apart or one.bottom <= other.top + 5 or other.bottom <= one.top + 5
