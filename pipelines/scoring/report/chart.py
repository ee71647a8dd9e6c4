"""The report as one picture: sharpness over time with its faults, jumps of the window score, memory."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from memory.units import GIB
from pipelines.drawing.chart import Box, Chart
from pipelines.drawing.panel import AMBER, BLUE, GREEN, INK, RED, SMALL_PX, SOFT_INK, Key, Panel, ticks_of
from pipelines.scoring.report.stretches import Kind, Stretch, stretches
from pipelines.scoring.report.summary import Runs, Seconds, Summary
from pipelines.video.clock.time_code import time_code

Reading = tuple[float, float, float]
"""Seconds, host GiB, device GiB."""

WIDTH = 1320
_HEAD = 104
_PANELS = (440, 231, 209)
_AROUND = (68, 40, 44, 57)
"""Room left of a panel for its scale, right of it, above it for the title, below it for times and their label."""
_MARGIN = 16
_LONGEST_TITLE = 80
"""Characters of the title that fit the width."""
_SHADE = {"mild": 0.16, "moderate": 0.26, "severe": 0.38}
_FROZEN_SHADE = 0.42
_MOST_SHADED = 200
"""Stretches of each kind that are drawn, the longest ones: more would be a pattern."""
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


@dataclass(frozen=True)
class Band:
    """A stretch as it is drawn: from `left` to `right`, shares of the chart, with a label where there is room."""

    stretch: Stretch
    left: float
    right: float
    label: str = ""

    @property
    def middle(self) -> float:
        """Where the label is centred, so that it stays within the chart."""
        half = _LABEL_SPACING / 2
        return min(max((self.left + self.right) / 2, half), 1 - half)


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
    drawn(title, summary, seconds, _readings(memory), rater).save(path)


def drawn(
    title: str, summary: Summary, seconds: Seconds, readings: Sequence[Reading], rater: str = ""
) -> Chart:
    """Return the report as a picture."""
    heights = _PANELS if readings else _PANELS[:-1]
    chart = Chart(WIDTH, _HEAD + sum(heights))
    chart.text(_shown(title), _MARGIN, 18, INK, size_px=24, bold=True, anchor="la")
    chart.text(_headline(summary), _MARGIN, 62, SOFT_INK, size_px=17, anchor="la")
    boxes = [_place(_HEAD + sum(heights[:place]), height, rater) for place, height in enumerate(heights)]
    _draw_sharpness(chart, boxes[0], summary, seconds, rater)
    _draw_jumps(chart, boxes[1], summary, seconds)
    if readings:
        _draw_memory(chart, boxes[2], readings)
    return chart


def _place(top: int, height: int, rater: str) -> Box:
    """Return where the panel of a strip of the picture is, between its words; a rater has a scale on the right."""
    left, right, above, below = _AROUND
    return Box(left, top + above, WIDTH - (left if rater else right), top + height - below)


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


def _draw_sharpness(chart: Chart, box: Box, summary: Summary, seconds: Seconds, rater: str) -> None:
    curve, times = summary.curve, _times(summary, seconds)
    # Leaves room above the curve for the labels of the stretches.
    top = max(0.6, float(curve.mean.max()) * 1.28)
    panel = Panel(chart, box, times[0], seconds(summary.start + summary.frames), top)
    panel.scales(_ticks(panel))
    found = bands(stretches(summary.describe(seconds), _MOST_SHADED), panel.start, panel.stop)
    for band in found:
        _shade(panel, band)
    for cut in summary.cuts:
        panel.moment(seconds(cut), SOFT_INK)
    if curve.step > 1:
        panel.area(times, curve.mean, BLUE, 0.25, floor=curve.lowest)
    dotted = len(times) < 4
    panel.curve(times, curve.mean, BLUE, dotted=dotted)
    keys = [
        Key("sharpness", BLUE),
        Key(_kind("blurred", summary.blurred), RED, "patch", _SHADE["moderate"]),
        Key(_kind("frozen", summary.frozen), AMBER, "hatched", _FROZEN_SHADE),
        Key("cut", SOFT_INK, "dash"),
    ]
    if rater:
        # On a scale of its own, since each network has another.
        scale = float(curve.mean_score.max()) * 1.28 or 1.0
        panel.curve(times, curve.mean_score, GREEN, top=scale, dotted=dotted)
        panel.scale_on_the_right(scale, GREEN)
        keys.insert(1, Key(f"{rater}, on the right", GREEN))
    for band in found:
        if band.label:
            x, y = box.left + band.middle * box.width, box.top + 4
            chart.text(band.label, x, y, INK, anchor="ma", board=0.6, size_px=SMALL_PX)
    panel.heading("Sharpness of each frame", "higher is sharper")
    panel.legend(keys)


def _kind(kind: Kind, runs: Runs) -> str:
    """Return the legend of a kind of stretch, with the number shown if that is not all of them."""
    return kind if runs.count <= _MOST_SHADED else f"{kind} (the longest {_MOST_SHADED:,} of {runs.count:,})"


def bands(found: Sequence[Stretch], start: float, stop: float) -> list[Band]:
    """Return each stretch as it is drawn from `start` to `stop` seconds, the longest first.

    The longest ones have labels with kind, start and end, as many as do not touch.
    """
    made: list[Band] = []
    for stretch in sorted(found, key=lambda each: -round(each.seconds, 4)):
        middle = ((stretch.start_seconds + stretch.stop_seconds) / 2 - start) / (stop - start)
        half = max(stretch.seconds / (stop - start), _LEAST_WIDTH) / 2
        label = f"{stretch.kind}\n{time_code(stretch.start_seconds)}\n{time_code(stretch.stop_seconds)}"
        band = Band(stretch, middle - half, middle + half, label)
        free = all(abs(band.middle - other.middle) >= _LABEL_SPACING for other in made if other.label)
        made.append(band if free else replace(band, label=""))
    return made


def _shade(panel: Panel, band: Band) -> None:
    """Shade a stretch; frozen ones are hatched, so that they differ from blurred ones in more than colour."""
    box = panel.box
    left, right = (box.left + each * box.width for each in (max(0.0, band.left), min(1.0, band.right)))
    place = Box(left, box.top, right, box.bottom)
    if band.stretch.severity:
        panel.chart.rectangle(place, RED, _SHADE[band.stretch.severity])
    else:
        panel.chart.rectangle(place, AMBER, _FROZEN_SHADE)
        panel.chart.hatching(place, "#ffffff", _FROZEN_SHADE)


def _draw_jumps(chart: Chart, box: Box, summary: Summary, seconds: Seconds) -> None:
    jump, limit, times = summary.curve.jump, summary.smoothness.threshold, _times(summary, seconds)
    top = max(2 * limit, float(jump.max()) * 1.1)
    panel = Panel(chart, box, times[0], seconds(summary.start + summary.frames), top)
    panel.scales(_ticks(panel), "time in the video")
    panel.area(times, jump, BLUE, 0.35)
    panel.curve(times, jump, BLUE, width_px=1)
    panel.level(limit, RED)
    panel.heading("Jumps of the window score", "published rule: below the threshold counts as smooth")
    panel.legend([Key(f"threshold {limit:g}", RED, "dash")])


def _draw_memory(chart: Chart, box: Box, readings: Sequence[Reading]) -> None:
    times, host, device = np.array(readings).T
    top = max(host.max(), device.max(), 0.01) * 1.25
    panel = Panel(chart, box, float(times[0]), float(times[-1]), top)
    panel.scales(_ticks(panel), "time of the run")
    panel.area(times, host, GREEN, 0.25)
    panel.curve(times, host, GREEN)
    keys = [Key(f"host, peak {host.max():.2f} GiB", GREEN)]
    if device.any():
        panel.curve(times, device, AMBER)
        keys.append(Key(f"device, peak {device.max():.2f} GiB", AMBER))
    panel.heading("Memory held", "GiB, all processes together")
    panel.legend(keys)


def _times(summary: Summary, seconds: Seconds) -> list[float]:
    """Return the time of each point of the curves."""
    curve = summary.curve
    return [seconds(summary.start + i * curve.step) for i in range(len(curve.total))]


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


def _ticks(panel: Panel) -> list[tuple[float, str]]:
    return time_ticks(panel.start, panel.stop)


def time_ticks(start: float, stop: float) -> list[tuple[float, str]]:
    """Return round times for an axis from `start` to `stop` seconds, each with its words."""
    return ticks_of(start, stop, _TICK_STEPS, _MOST_TICKS, tick)


def tick(time: float) -> str:
    """Format a time for a tick: a time code without the zeros at its end, such as 0:00.2, 1:05, 1:02:30."""
    return time_code(time).rstrip("0").rstrip(".")
