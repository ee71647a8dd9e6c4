"""A score over time as lines in the page's colours and the visitor's language, from the curves of the report.

The report's own picture, which is made before there is a visitor, is among the files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from typing import Any

from pipelines.scoring.report.stretches import Stretch, stretches
from pipelines.spec import all_engines
from pipelines.video.clock.time_code import time_code
from ui.i18n.texts import attribute_of, both

_WIDTH, _HEIGHT = 1000, 200
_MOST_SHADED = 200
"""Stretches of each kind that are drawn, the longest ones, as in the report's picture."""
_LEAST_WIDTH = 2.0
"""Smallest width of a stretch or cut, of 1,000: two frames of an hour stay visible."""
_ROOM = 1.12
"""Height of a plot by its highest value."""


@dataclass(frozen=True)
class _Axis:
    """Frames `first` to `first + frames` from left to right, which last from `start` to `stop` seconds."""

    first: int
    frames: int
    start: float
    stop: float

    def x(self, frame: float) -> float:
        return _WIDTH * (frame - self.first) / self.frames


def charts(report: Mapping[str, Any]) -> str:
    """Sharpness with its faults, a network's window scores where there are any, and the jumps of the window score.

    Empty where the report has no curves.
    """
    summary = report["summary"]
    curve = summary.get("curve")
    if not curve or not curve["mean"]:
        return ""
    axis, step = _axis(report), curve["frames_a_point"]
    rater = next((each for each in all_engines() if each.name == report.get("engine") and each.network), None)
    parts = [_sharpness(axis, summary)]
    if rater:
        scores = curve["window_score"]
        parts.append(_plot("plot.scores", axis, scores, step, _ROOM * max(scores), name=rater.title))
    parts.append(_jumps(axis, summary))
    return "".join(parts)


def _axis(report: Mapping[str, Any]) -> _Axis:
    summary, start = report["summary"], report.get("settings", {}).get("start") or 0.0
    rate = Fraction(str(report.get("video", {}).get("frame_rate", 0)))
    return _Axis(round(start * rate), summary["frames"], start, start + summary["duration_seconds"])


def _sharpness(axis: _Axis, summary: Mapping[str, Any]) -> str:
    curve, cuts = summary["curve"], summary["cuts"]["frames"]
    found = stretches(summary, _MOST_SHADED)
    top = max(0.6, _ROOM * max(curve["mean"]))
    drawn = "".join(_shade(axis, stretch) for stretch in found)
    drawn += "".join(_rect("lt-cut", axis.x(cut) - _LEAST_WIDTH / 2, _LEAST_WIDTH) for cut in cuts)
    if curve["frames_a_point"] > 1:
        across = _across(axis, len(curve["mean"]), curve["frames_a_point"])
        edge = [
            *zip(across, curve["mean"], strict=True),
            *reversed([*zip(across, curve["lowest"], strict=True)]),
        ]
        drawn += f'<polygon points="{_points(edge, top)}"></polygon>'
    kinds = [kind for kind in ("blurred", "frozen") if any(stretch.kind == kind for stretch in found)]
    return _plot(
        "plot.sharpness",
        axis,
        curve["mean"],
        curve["frames_a_point"],
        top,
        drawn,
        [*kinds, *["cut"] * bool(cuts)],
    )


def _jumps(axis: _Axis, summary: Mapping[str, Any]) -> str:
    curve, limit = summary["curve"], summary["smoothness"]["threshold"]
    top = max(2 * limit, _ROOM * max(curve["jump"])) or 1.0
    y = _HEIGHT * (1 - limit / top)
    line = f'<line class="lt-limit" x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"></line>'
    return _plot("plot.jumps", axis, curve["jump"], curve["frames_a_point"], top, line, ["limit"])


def _plot(
    key: str,
    axis: _Axis,
    values: Sequence[float],
    step: int,
    top: float,
    marks: str = "",
    legend: Sequence[str] = (),
    name: str = "",
) -> str:
    """A line through `values`, one each `step` frames, over `marks`; `legend` names those that are drawn."""
    top = top or 1.0
    pairs = zip(_across(axis, len(values), step), values, strict=True)
    heading = f"{escape(name)}: {both(key)}" if name else both(key)
    keys = "".join(f'<li><i class="lt-key lt-{each}"></i>{both(f"plot.{each}")}</li>' for each in legend)
    said = attribute_of(lambda catalogue: catalogue.text("live", key))
    return (
        f'<section class="lt-curve lt-scores"><h3>{heading}</h3>{f"<ul>{keys}</ul>" if keys else ""}'
        f'<div class="lt-plot"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{said}: {min(values):.2f} – {max(values):.2f}">{marks}'
        f'<polyline points="{_points(pairs, top)}"></polyline></svg>'
        f'<span class="lt-high">{top:.2g}</span><span class="lt-low">0</span></div>'
        f'<p class="lt-axis"><span>{time_code(axis.start)}</span><span>{time_code(axis.stop)}</span></p></section>'
    )


def _across(axis: _Axis, count: int, step: int) -> list[float]:
    """Where the points of a curve lie; one point is drawn over the whole width as well as it can be."""
    return [axis.x(axis.first + number * step) for number in range(count)]


def _points(pairs: Iterable[tuple[float, float]], top: float) -> str:
    found = [f"{x:.1f},{_HEIGHT * (1 - value / top):.1f}" for x, value in pairs]
    if len(found) == 1:
        found.append(f"{_WIDTH},{found[0].partition(',')[2]}")
    return " ".join(found)


def _shade(axis: _Axis, stretch: Stretch) -> str:
    left, right = axis.x(stretch.start), axis.x(stretch.stop)
    severity = f" lt-{stretch.severity}" if stretch.severity else ""
    return _rect(f"lt-{stretch.kind}{severity}", left, max(_LEAST_WIDTH, right - left))


def _rect(name: str, left: float, width: float) -> str:
    return f'<rect class="{name}" x="{left:.1f}" width="{width:.1f}" y="0" height="{_HEIGHT}"></rect>'
