"""The time axis of a chart, from hundredths of a second to days, with ticks at round times."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

_STEPS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400),
)
_MOST_TICKS = 13
_LONG_SECONDS = 60
"""Above this ticks read 1:05 instead of 65 s."""


def span_time(axes: Axes, start: float, stop: float) -> None:
    """Set the axis from `start` to `stop` seconds, with ticks at round times."""
    stop = max(stop, start + 1e-3)
    least = (stop - start) / _MOST_TICKS
    step = next((s for s in _STEPS if s >= least), _STEPS[-1] * math.ceil(least / _STEPS[-1]))
    axes.set_xlim(start, stop)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: clock(time, long=stop > _LONG_SECONDS)))


def clock(time: float, *, long: bool) -> str:
    """Format a time for a tick: 0.2 s, 12 s; 1:05, 1:02:30 on a `long` axis."""
    if not long:
        return f"{time:g} s"
    minutes, rest = divmod(round(time, 2), 60)
    seconds = f"{rest:05.2f}".rstrip("0").rstrip(".")
    return (
        f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{seconds}" if minutes >= 60 else f"{minutes:.0f}:{seconds}"
    )
