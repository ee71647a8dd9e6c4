"""A panel of a chart: scales, a grid, a legend, and what is drawn to scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.drawing.chart import Box, Chart, Points, width_of

INK, SOFT_INK, GREY, PALE = "#22303c", "#5d6c78", "#9aa7b1", "#e6eaed"
BLUE, RED, AMBER, GREEN = "#1f6f9f", "#c8443c", "#d99a1c", "#3d8b6e"
SMALL_PX, TITLE_PX = 14.5, 17.5
DASH = (6.0, 4.5)
_MOST_VALUES = 6
"""Most values that a scale at the side names."""
_ROUND = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, *(n * 10**power for power in range(7) for n in (1, 2, 5)))


@dataclass(frozen=True)
class Key:
    """An entry of a legend: its words, and how what it stands for is drawn."""

    words: str
    colour: str
    shape: Literal["line", "dash", "patch", "hatched"] = "line"
    opacity: float = 1.0


class Panel:
    """A panel at `box` of a chart, with the times from `start` to `stop` and values from 0 to `top`."""

    def __init__(self, chart: Chart, box: Box, start: float, stop: float, top: float) -> None:
        self.chart, self.box = chart, box
        self.start, self.stop, self.top = start, max(stop, start + 1e-3), top

    def x(self, times: ArrayLike) -> NDArray[np.float64]:
        """Return the columns of these times, in pixels."""
        share = (np.asarray(times, np.float64) - self.start) / (self.stop - self.start)
        return self.box.left + share * self.box.width

    def y(self, values: ArrayLike, top: float | None = None) -> NDArray[np.float64]:
        """Return the rows of these values, in pixels; `top` is that of another scale."""
        return self.box.bottom - np.asarray(values, np.float64) / (top or self.top) * self.box.height

    # -- what is drawn to scale ------------------------------------------------------------------------------

    def curve(
        self,
        times: ArrayLike,
        values: ArrayLike,
        colour: str,
        *,
        width_px: int = 2,
        top: float | None = None,
        dotted: bool = False,
    ) -> None:
        """Draw values over times; with dots where there are so few that a line would hardly be seen."""
        points = np.stack([self.x(times), self.y(values, top)], axis=1)
        self.chart.line(points, colour, self.box, width_px=width_px)
        if dotted:
            self.chart.dots(points, colour, self.box, radius_px=3)

    def area(
        self, times: ArrayLike, values: ArrayLike, colour: str, opacity: float, *, floor: ArrayLike = 0.0
    ) -> None:
        """Fill what lies between two curves, or below one."""
        x = self.x(times)
        below = np.broadcast_to(self.y(floor), x.shape)
        upper, lower = np.stack([x, self.y(values)], axis=1), np.stack([x, below], axis=1)
        self.chart.area(np.concatenate([upper, lower[::-1]]), colour, opacity, self.box)

    def level(self, value: float, colour: str, *, dash: tuple[float, float] | None = DASH) -> None:
        """Draw a line across the panel."""
        y = float(self.y(value))
        ends = np.array([(self.box.left, y), (self.box.right, y)])
        self.chart.line(ends, colour, self.box, dash=dash)

    def moment(self, time: float, colour: str) -> None:
        """Draw a dashed line from top to bottom."""
        x = float(self.x(time))
        self.chart.line(np.array([(x, self.box.bottom), (x, self.box.top)]), colour, self.box, dash=DASH)

    # -- around it -------------------------------------------------------------------------------------------

    def scales(self, ticks: Sequence[tuple[float, str]], below: str = "") -> None:
        """Draw the grid, the values on the left, and the named times below, with what they are."""
        box, chart = self.box, self.chart
        for value, words in values_of(self.top):
            y = float(self.y(value))
            if value:
                chart.line(_row(box.left, box.right, y), PALE, box)
            chart.line(_row(box.left - 5, box.left, y), GREY, _around(box))
            chart.text(words, box.left - 9, y, INK, anchor="rm")
        for time, words in ticks:
            x = float(self.x(time))
            chart.line(np.array([(x, box.bottom), (x, box.bottom + 5)]), GREY, _around(box))
            chart.text(words, x, box.bottom + 9, INK, anchor="ma")
        corner = np.array([(box.left, box.top), (box.left, box.bottom), (box.right, box.bottom)])
        chart.line(corner, GREY, _around(box))
        if below:
            chart.text(below, (box.left + box.right) / 2, box.bottom + 28, INK, anchor="ma")

    def scale_on_the_right(self, top: float, colour: str) -> None:
        """Name the values of another scale, from 0 to `top`."""
        for value, words in values_of(top):
            self.chart.text(words, self.box.right + 9, float(self.y(value, top)), colour, anchor="lm")

    def heading(self, title: str, remark: str = "") -> None:
        """Write title and remark above the panel, on the left."""
        y = self.box.top - 14
        box = self.chart.text(title, self.box.left, y, INK, size_px=TITLE_PX, bold=True)
        if remark:
            self.chart.text(remark, box.right + 12, y, SOFT_INK)

    def legend(self, keys: Sequence[Key]) -> None:
        """Explain colours above the panel, on the right, where they cover nothing."""
        handle, gap, y = 28, 18, self.box.top - 14
        x = self.box.right - sum(handle + 6 + width_of(key.words) + gap for key in keys) + gap
        for key in keys:
            self._sample(key, Box(x, y - 11, x + handle, y + 1))
            x = self.chart.text(key.words, x + handle + 6, y, INK).right + gap

    def _sample(self, key: Key, box: Box) -> None:
        if key.shape in ("patch", "hatched"):
            self.chart.rectangle(box, key.colour, key.opacity)
            if key.shape == "hatched":
                self.chart.hatching(box, "#ffffff", 0.8)
            return
        row = _row(box.left, box.right, (box.top + box.bottom) / 2)
        self.chart.line(row, key.colour, _around(box), width_px=2, dash=DASH if key.shape == "dash" else None)


def values_of(top: float) -> list[tuple[float, str]]:
    """Return round values from 0 to `top`, above 0, each with its words; all have as many decimals."""
    least = top / _MOST_VALUES
    power = 10.0 ** math.floor(math.log10(least))
    step = power * next(each for each in (1, 2, 2.5, 5, 10) if each * power >= least * (1 - 1e-9))
    count = math.floor(top / step * (1 + 1e-9))
    decimals = next(n for n in range(16) if n == 15 or math.isclose(round(step, n), step, rel_tol=1e-9))
    return [(step * i, f"{step * i:,.{decimals}f}") for i in range(count + 1)]


def ticks_of(
    start: float,
    stop: float,
    steps: Sequence[float] = _ROUND,
    most: int = 10,
    words: Callable[[float], str] = "{:g}".format,
) -> list[tuple[float, str]]:
    """Return round times from `start` to `stop`, at most `most` and one, each with its words.

    Their distance is the first of `steps` that is large enough, or a multiple of the last.
    """
    stop = max(stop, start + 1e-3)
    least = (stop - start) / most
    step = next((each for each in steps if each >= least), steps[-1] * math.ceil(least / steps[-1]))
    first, last = math.ceil(start / step - 1e-9), math.floor(stop / step + 1e-9)
    return [(step * i, words(step * i)) for i in range(first, last + 1)] or [(start, words(start))]


def _row(left: float, right: float, y: float) -> Points:
    return np.array([(left, y), (right, y)])


def _around(box: Box) -> Box:
    """A box with room for what is drawn beside it."""
    return Box(box.left - 8, box.top - 8, box.right + 8, box.bottom + 8)
