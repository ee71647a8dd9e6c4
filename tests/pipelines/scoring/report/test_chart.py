"""The chart: whatever a file is called, however long it is, what is marked is seen and said."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipelines.scoring.metrics.verdicts import VERDICT
from pipelines.scoring.report.chart import _MOST_SHADED, _figure, _shown, draw_report, span_time, tick
from pipelines.scoring.report.summary import Summary


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


def drawn(found: Summary, **more: Any) -> Figure:
    return _figure("clip.mp4", found, seconds, more.get("readings", []))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize("name", [r"a$\foo$.mp4", "$5 to $10.mp4", "two\nlines\x07.mp4", "x" * 200 + ".mp4"])
def test_a_name_is_a_name_whatever_is_in_it(name: str, tmp_path: Path) -> None:
    draw_report(tmp_path / "report.png", name, summary(9), seconds, None)
    title = _figure(name, summary(9), seconds, []).texts[0]
    assert title.get_text().endswith(".mp4")
    assert "\n" not in title.get_text()
    assert title.get_window_extent().x1 < 1320


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert _shown("short.mp4") == "short.mp4"
    assert _shown("begin" + "x" * 200 + "end.mp4").startswith("begin")
    assert _shown("begin" + "x" * 200 + "end.mp4").endswith("end.mp4")


def test_stretches_say_what_they_are_and_when() -> None:
    figure = drawn(summary(300, [(40, 60), (100, 110)], [(200, 216)]))
    assert words(figure)[:3] == [
        "blurred\n0:01.600\n0:02.400",
        "frozen\n0:08.000\n0:08.640",
        "blurred\n0:04.000\n0:04.400",
    ]
    assert legend(figure) == ["sharpness", "blurred", "frozen", "cut"]


def test_scores_of_a_network_are_drawn_beside_the_sharpness() -> None:
    found = summary(300)
    figure = _figure("clip.mp4", found, seconds, [], "Some Net")
    assert legend(figure)[:2] == ["sharpness", "Some Net, on the right"]
    scores = figure.axes[-1].lines[0]
    assert np.array_equal(scores.get_ydata(), found.curve.mean_score)
    assert "Some Net, on the right" not in legend(drawn(found))


def test_words_never_run_into_each_other() -> None:
    figure = drawn(summary(300, [(40, 45), (50, 54), (60, 64), (297, 300)], [(46, 48)]))
    figure.canvas.draw()
    boxes = sorted(
        (t.get_window_extent() for t in figure.axes[0].texts if "\n" in t.get_text()), key=lambda b: b.x0
    )
    assert len(boxes) == 2
    assert "0:01.600" in words(figure)[0], "of the stretches that are close, the longest is labelled"
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[1].x1 < 1320


def test_of_many_stretches_the_longest_are_shown_and_what_is_left_out_is_said() -> None:
    runs = [(start, start + 8) for start in range(0, 30_000, 100)]
    figure = drawn(summary(30_000, [*runs, (29_940, 29_960)], [(50, 60)]))
    assert legend(figure)[1:3] == [f"blurred (the longest {_MOST_SHADED} of 301)", "frozen"]
    assert len(figure.axes[0].patches) == _MOST_SHADED + 1
    assert words(figure)[0] == "blurred\n19:57.600\n19:58.400"


def test_two_frames_of_an_hour_are_seen() -> None:
    figure = drawn(summary(90_000, [(45_000, 45_002)], [(60_000, 60_001)]))
    figure.canvas.draw()
    bands = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [band.get_window_extent().width >= 2 for band in bands] == [True, True]


def test_frozen_is_told_from_blurred_without_its_colour() -> None:
    blurred, frozen = drawn(summary(300, [(40, 60)], [(200, 216)])).axes[0].patches
    assert (blurred.get_hatch(), frozen.get_hatch()) == (None, "///")


def test_device_memory_is_shown_where_there_was_any() -> None:
    def held(*readings: tuple[float, float, float]) -> list[str]:
        axes = drawn(summary(9), readings=readings).axes[2]
        return [text.get_text() for text in axes.get_legend().get_texts()]

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
    figure = Figure(figsize=(12, 2), dpi=110)
    axes = figure.add_subplot()
    span_time(axes, start, stop)
    figure.canvas.draw()
    left, right = axes.get_xlim()
    assert (left, right) == (start, max(stop, start + 1e-3))
    shown = [label for label in axes.get_xticklabels() if left <= label.get_position()[0] <= right]
    boxes = [label.get_window_extent() for label in shown]
    assert 1 <= len(boxes) <= 14
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


@pytest.mark.parametrize("frames", [3, 40, 25 * 60, 25 * 3600])
@pytest.mark.parametrize("rater", ["", "Q-Align"])
def test_nothing_is_cut_off(frames: int, rater: str) -> None:
    """The margins are fixed: scales, times and titles fit in them, at any length."""
    figure = _figure("clip.mp4", summary(frames), seconds, [(0, 0.125, 0), (36000, 123.4, 11.9)], rater)
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
        assert figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1)
    tops = [axes.get_tightbbox() for axes in figure.axes if axes.get_title(loc="left")]
    assert all(above.y0 >= below.y1 for above, below in pairwise(tops))
