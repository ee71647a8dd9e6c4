"""The report as one picture: sharpness over time with its faults, jumps of the window score, memory."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from memory.units import GIB
from pipelines.scoring.report.stretches import Kind, Stretch, stretches
from pipelines.scoring.report.summary import Runs, Seconds, Summary
from pipelines.video.clock.time_code import time_code

Reading = tuple[float, float, float]
"""Seconds, host GiB, device GiB."""

_INK, _SOFT_INK, _GREY, _PALE = "#22303c", "#5d6c78", "#9aa7b1", "#e6eaed"
_BLUE, _RED, _AMBER, _GREEN = "#1f6f9f", "#c8443c", "#d99a1c", "#3d8b6e"
_DPI = 110
_WIDTH_INCHES, _HEAD_INCHES = 12.0, 0.95
_PANEL_INCHES = (4.0, 2.1, 1.9)
_AROUND_INCHES = (0.62, 0.36, 0.40, 0.52)
"""Room left of a panel for its scale, right of it, above it for the title, below it for times and their label."""
_MARGIN = 0.012
_LONGEST_TITLE = 80
"""Characters of the title that fit the width."""
_HAN_FONTS = ("Noto Sans CJK", "Source Han Sans", "WenQuanYi", "PingFang", "Microsoft YaHei", "SimHei")
_SHADE = {"mild": 0.16, "moderate": 0.26, "severe": 0.38}
_FROZEN_SHADE, _HATCH = 0.42, "///"
_MOST_SHADED = 200
"""Stretches of each kind that are drawn, the longest ones: more would be a pattern, and take seconds to draw."""
_LEAST_WIDTH = 0.002
"""Smallest width of a drawn stretch, as a share of the chart: two frames of an hour stay visible."""
_LABEL_SPACING = 0.075
"""Smallest distance of two labels, as a share of the chart; of closer ones, that of the longer stretch stays.

A time code of an hour (`1:02:03.500`) is 0.07 wide.
"""
_TICK_STEPS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400),
)
_MOST_TICKS = 13


def draw_report(
    path: Path, title: str, summary: Summary, seconds: Seconds, memory: Path | None, rater: str = ""
) -> None:
    """Draw the report to `path` as a PNG 1320 pixels wide; holds the picture.

    Args:
        path: output file.
        title: the video's name.
        summary: summary of all frames, at least one.
        seconds: start of a frame in seconds; also of the frame after the last.
        memory: a CSV with columns `seconds`, `host_bytes`, `device_bytes`, or None.
        rater: name of the network whose window scores are drawn beside the sharpness; empty if there is none.
    """
    # Without date and version in the file, equal runs give equal bytes.
    _figure(title, summary, seconds, _readings(memory), rater).savefig(
        path, format="png", metadata={"Software": None}
    )


def _figure(
    title: str, summary: Summary, seconds: Seconds, readings: Sequence[Reading], rater: str = ""
) -> Figure:
    inches = _PANEL_INCHES if readings else _PANEL_INCHES[:-1]
    height = _HEAD_INCHES + sum(inches)
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI, facecolor="white")
    _draw_head(figure, title, summary)
    panels = [_panel(figure, sum(inches[place:]), inches[place], bool(rater)) for place in range(len(inches))]
    _draw_sharpness(panels[0], summary, seconds, rater)
    _draw_jumps(panels[1], summary, seconds)
    if readings:
        _draw_memory(panels[2], readings)
    return figure


def _panel(figure: Figure, top: float, height: float, has_scale_on_the_right: bool) -> Axes:
    """Add axes that begin `top` inches above the bottom of the picture and take `height` inches, words included.

    Their margins are fixed: a layout engine would draw everything two more times.
    """
    left, right, above, below = _AROUND_INCHES
    right = left if has_scale_on_the_right else right
    bottom = top - height + below
    whole = figure.get_figheight()
    width = _WIDTH_INCHES - left - right
    return figure.add_axes(
        (left / _WIDTH_INCHES, bottom / whole, width / _WIDTH_INCHES, (height - above - below) / whole)
    )


def _draw_head(figure: Figure, title: str, summary: Summary) -> None:
    height = figure.get_figheight()
    name = figure.text(
        _MARGIN, 1 - 0.16 / height, _shown(title), fontsize=16, fontweight="bold", color=_INK, va="top"
    )
    name.set_parse_math(False)  # otherwise matplotlib reads text between two `$` as a formula
    name.set_fontfamily(
        ["DejaVu Sans", *sorted(f for f in font_manager.get_font_names() if f.startswith(_HAN_FONTS))]
    )
    figure.text(_MARGIN, 1 - 0.56 / height, _headline(summary), fontsize=11, color=_SOFT_INK, va="top")


def _shown(title: str) -> str:
    """Return the title as one line, with its middle left out if it is too long."""
    line = "".join(char if char.isprintable() else " " for char in title)
    half = _LONGEST_TITLE // 2
    return line if len(line) <= _LONGEST_TITLE else f"{line[:half]} … {line[-half:]}"


def _headline(summary: Summary) -> str:
    parts = [
        _count(summary.frames, "frame", "frames"),
        f"mean sharpness {summary.mean('sharpness') or 0:.2f}",
        _share("blurred", summary.blurred, summary.frames),
        _share("frozen", summary.frozen, summary.frames),
        _count(summary.cut_count, "cut", "cuts"),
        f"motion smoothness {summary.smoothness.score:.2f}",
    ]
    return "   ·   ".join(parts)


def _share(kind: Kind, runs: Runs, frames: int) -> str:
    if not runs.count:
        return f"none {kind}"
    return f"{100 * runs.frames / frames:.1f} % {kind} in {_count(runs.count, 'stretch', 'stretches')}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _draw_sharpness(axes: Axes, summary: Summary, seconds: Seconds, rater: str) -> None:
    curve = summary.curve
    times = _time_axis(axes, summary, seconds)
    _mark(axes, stretches(summary.describe(seconds), _MOST_SHADED))
    for cut in summary.cuts:
        axes.axvline(seconds(cut), color=_SOFT_INK, linewidth=1.1, linestyle=(0, (4, 3)))
    if curve.step > 1:
        axes.fill_between(times, curve.lowest, curve.mean, color=_BLUE, alpha=0.25, linewidth=0)
    marker = "o" if len(times) < 4 else None
    axes.plot(times, curve.mean, color=_BLUE, linewidth=1.5, marker=marker, markersize=4)
    # Leaves room above the curve for the labels of the stretches.
    axes.set_ylim(0, max(0.6, float(curve.mean.max()) * 1.28))
    handles = [
        Line2D([], [], color=_BLUE, label="sharpness"),
        Patch(color=_RED, alpha=_SHADE["moderate"], label=_kind("blurred", summary.blurred)),
        _hatched(Patch(label=_kind("frozen", summary.frozen))),
        Line2D([], [], color=_SOFT_INK, linestyle=(0, (4, 3)), label="cut"),
    ]
    if rater:
        _draw_scores(axes, times, curve.mean_score, marker)
        handles.insert(1, Line2D([], [], color=_GREEN, label=f"{rater}, on the right"))
    _dress(axes, "Sharpness of each frame", "higher is sharper", handles)


def _draw_scores(axes: Axes, times: Sequence[float], scores: NDArray[np.float64], marker: str | None) -> None:
    """Draw window scores on a second axis, since each network has its own scale."""
    right = axes.twinx()
    right.plot(times, scores, color=_GREEN, linewidth=1.5, marker=marker, markersize=4)
    right.set_ylim(0, float(scores.max()) * 1.28 or 1)
    right.spines[["top", "left", "bottom", "right"]].set_visible(False)
    right.tick_params(colors=_GREEN, labelsize=9.5)


def _kind(kind: Kind, runs: Runs) -> str:
    """Return the legend of a kind of stretch, with the number shown if that is not all of them."""
    return kind if runs.count <= _MOST_SHADED else f"{kind} (the longest {_MOST_SHADED:,} of {runs.count:,})"


def _mark(axes: Axes, found: Sequence[Stretch]) -> None:
    """Shade each stretch, and label the longest ones with kind, start and end, as many as do not touch."""
    left, right = axes.get_xlim()
    labelled: list[float] = []
    for stretch in sorted(found, key=lambda each: -round(each.seconds, 4)):
        middle = (stretch.start_seconds + stretch.stop_seconds) / 2
        half = max(stretch.seconds, _LEAST_WIDTH * (right - left)) / 2
        if stretch.severity:
            axes.axvspan(
                middle - half, middle + half, color=_RED, alpha=_SHADE[stretch.severity], linewidth=0
            )
        else:
            _hatched(axes.axvspan(middle - half, middle + half))
        x = (middle - left) / (right - left)
        x = min(max(x, _LABEL_SPACING / 2), 1 - _LABEL_SPACING / 2)
        if all(abs(x - other) >= _LABEL_SPACING for other in labelled):
            axes.text(
                x,
                0.97,
                f"{stretch.kind}\n{time_code(stretch.start_seconds)}\n{time_code(stretch.stop_seconds)}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=9.5,
                color=_INK,
                bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 1.5},
            )
            labelled.append(x)


def _hatched(patch: Patch) -> Patch:
    """Hatch frozen stretches, so that they differ from blurred ones in more than colour."""
    patch.set(facecolor=_AMBER, edgecolor="white", alpha=_FROZEN_SHADE, linewidth=0, hatch=_HATCH)
    return patch


def _draw_jumps(axes: Axes, summary: Summary, seconds: Seconds) -> None:
    jump, limit = summary.curve.jump, summary.smoothness.threshold
    times = _time_axis(axes, summary, seconds)
    axes.fill_between(times, jump, color=_BLUE, alpha=0.35, linewidth=0)
    axes.plot(times, jump, color=_BLUE, linewidth=0.9)
    axes.axhline(limit, color=_RED, linewidth=1.1, linestyle=(0, (5, 3)))
    axes.set_ylim(0, max(2 * limit, float(jump.max()) * 1.1))
    axes.set_xlabel("time in the video")
    handles = [Line2D([], [], color=_RED, linestyle=(0, (5, 3)), label=f"threshold {limit:g}")]
    _dress(axes, "Jumps of the window score", "published rule: below the threshold counts as smooth", handles)


def _draw_memory(axes: Axes, readings: Sequence[Reading]) -> None:
    times, host, device = np.array(readings).T
    axes.fill_between(times, host, color=_GREEN, alpha=0.25, linewidth=0)
    handles = axes.plot(times, host, color=_GREEN, linewidth=1.2, label=f"host, peak {host.max():.2f} GiB")
    if device.any():
        label = f"device, peak {device.max():.2f} GiB"
        handles += axes.plot(times, device, color=_AMBER, linewidth=1.2, label=label)
    span_time(axes, float(times[0]), float(times[-1]))
    axes.set_ylim(0, max(host.max(), device.max(), 0.01) * 1.25)
    axes.set_xlabel("time of the run")
    _dress(axes, "Memory held", "GiB, all processes together", handles)


def _time_axis(axes: Axes, summary: Summary, seconds: Seconds) -> list[float]:
    """Set the axis to the whole video; return the time of each point of the curve."""
    curve = summary.curve
    times = [seconds(summary.start + i * curve.step) for i in range(len(curve.total))]
    span_time(axes, times[0], seconds(summary.start + summary.frames))
    return times


def _readings(table: Path | None) -> list[Reading]:
    """Read the memory table; empty if there is none."""
    if table is None or not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [
            (float(r["seconds"]), float(r["host_bytes"]) / GIB, float(r["device_bytes"] or 0) / GIB)
            for r in rows
        ]


def _dress(axes: Axes, title: str, remark: str, handles: Sequence[Artist]) -> None:
    """Put title and remark on the left and the legend on the right above the panel, where they cover nothing."""
    heading = axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=_INK, pad=9)
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(handles),
        fontsize=9.5,
        frameon=False,
    )
    axes.annotate(
        remark,
        (1, 0),
        xycoords=heading,
        xytext=(8, 0),
        textcoords="offset points",
        va="bottom",
        color=_SOFT_INK,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_INK, labelsize=9.5)
    axes.xaxis.label.set_color(_INK)
    axes.grid(axis="y", color=_PALE, linewidth=0.8)
    axes.set_axisbelow(True)


def span_time(axes: Axes, start: float, stop: float) -> None:
    """Set the axis from `start` to `stop` seconds, with ticks at round times."""
    stop = max(stop, start + 1e-3)
    least = (stop - start) / _MOST_TICKS
    step = next((s for s in _TICK_STEPS if s >= least), _TICK_STEPS[-1] * math.ceil(least / _TICK_STEPS[-1]))
    axes.set_xlim(start, stop)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: tick(time)))


def tick(time: float) -> str:
    """Format a time for a tick: a time code without the zeros at its end, such as 0:00.2, 1:05, 1:02:30."""
    return time_code(time).rstrip("0").rstrip(".")
