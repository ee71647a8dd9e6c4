"""Times on an axis: even, as people say them, and never over each other."""

from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from pipelines.scoring.report.time_axis import clock, span_time


@pytest.mark.parametrize(
    ("time", "long", "said"),
    [
        (0, False, "0 s"),
        (0.2, False, "0.2 s"),
        (60, False, "60 s"),
        (0, True, "0:00"),
        (70, True, "1:10"),
        (119.999, True, "2:00"),
        (3600, True, "1:00:00"),
        (3725.5, True, "1:02:05.5"),
    ],
)
def test_times_are_said_as_people_do(time: float, long: bool, said: str) -> None:
    assert clock(time, long=long) == said


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
