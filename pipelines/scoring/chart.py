"""The report as one picture: sharpness over time with its faults, jumps between scores, memory."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipelines.scoring.summary import Run, Seconds, Summary

_INK, _BLUE, _RED, _AMBER, _GREY = "#22303c", "#1f6f9f", "#c8443c", "#d99a1c", "#9aa7b1"
_GIB = 2**30
_DPI = 110


def draw_report(path: Path, title: str, summary: Summary, seconds: Seconds, memory: Path | None) -> None:
    """Draw to `path` as PNG, 1320 pixels wide; holds the picture.

    Args:
        path: where to write.
        title: the video's name.
        summary: of all frames, at least one.
        seconds: time at which a frame begins; also of the frame after the last.
        memory: a CSV with columns `seconds`, `host_bytes`, `device_bytes`, or None.
    """
    readings = _readings(memory)
    heights = [3.0, 1.6] + [1.4] * (len(readings) > 0)
    figure = Figure(
        figsize=(12, 1.2 + 1.35 * sum(heights)), dpi=_DPI, layout="constrained", facecolor="white"
    )
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    figure.suptitle(f"{title}\n", x=0.012, ha="left", fontsize=15, fontweight="bold", color=_INK)
    figure.text(0.012, 0.955, _headline(summary), fontsize=10.5, color=_INK, va="top")
    _draw_sharpness(panels[0], summary, seconds)
    _draw_jumps(panels[1], summary, seconds)
    panels[1].sharex(panels[0])
    panels[1].set_xlabel("time in the video (s)")
    if readings:
        _draw_memory(panels[2], readings)
    for axes in panels:
        _dress(axes)
    # No date and no version inside: equal runs give equal bytes.
    figure.savefig(path, format="png", metadata={"Software": None})


def _headline(summary: Summary) -> str:
    share = 100 * summary.blurred.frames / summary.frames
    parts = [
        f"{summary.frames:,} frames",
        f"mean sharpness {summary.mean('sharpness') or 0:.2f}",
        f"{share:.1f} % blurred in {_count(summary.blurred.count, 'interval')}",
        f"{summary.frozen.frames:,} frozen",
        _count(summary.cut_count, "cut"),
        f"smoothness {summary.smoothness.score:.2f}",
    ]
    return "   ·   ".join(parts)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _draw_sharpness(axes: Axes, summary: Summary, seconds: Seconds) -> None:
    curve = summary.curve
    times = _times(summary, seconds)
    for run in summary.blurred.kept:
        _band(axes, run, seconds, _RED, 0.30 if run.severity == "severe" else 0.18)
    for run in summary.frozen.kept:
        _band(axes, run, seconds, _AMBER, 0.45)
    for cut in summary.cuts:
        axes.axvline(seconds(cut), color=_GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    if curve.step > 1:
        axes.fill_between(times, curve.lowest, curve.mean, color=_BLUE, alpha=0.25, linewidth=0)
    marker = "o" if len(times) < 4 else None
    axes.plot(times, curve.mean, color=_BLUE, linewidth=1.3, marker=marker, markersize=4)
    end = seconds(summary.start + summary.frames)
    axes.set_xlim(times[0], max(end, times[0] + 1e-3))
    axes.set_ylim(0, max(0.6, min(1.0, float(curve.mean.max()) * 1.15)))
    axes.set_ylabel("sharpness")
    handles = [
        Line2D([], [], color=_BLUE, label="sharpness"),
        Patch(color=_RED, alpha=0.25, label="blurred"),
        Patch(color=_AMBER, alpha=0.45, label="frozen"),
        Line2D([], [], color=_GREY, linestyle=(0, (4, 3)), label="cut"),
    ]
    axes.legend(handles=handles, loc="lower right", ncols=4, fontsize=9, framealpha=0.85, edgecolor="none")


def _draw_jumps(axes: Axes, summary: Summary, seconds: Seconds) -> None:
    times, jump, limit = _times(summary, seconds), summary.curve.jump, summary.smoothness.threshold
    axes.fill_between(times, jump, color=_BLUE, alpha=0.35, linewidth=0)
    axes.plot(times, jump, color=_BLUE, linewidth=0.9)
    axes.axhline(limit, color=_RED, linewidth=1.1, linestyle=(0, (5, 3)))
    axes.annotate(
        f"threshold {limit:g}",
        (1, limit),
        xycoords=("axes fraction", "data"),
        xytext=(-6, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=_RED,
    )
    axes.set_ylim(0, max(2 * limit, float(jump.max()) * 1.1))
    axes.set_ylabel("jump of\nwindow score")


def _draw_memory(axes: Axes, readings: list[tuple[float, float, float]]) -> None:
    times, host, device = np.array(readings).T
    axes.fill_between(times, host, color="#3d8b6e", alpha=0.25, linewidth=0)
    axes.plot(times, host, color="#3d8b6e", linewidth=1.2, label=f"host, peak {host.max():.2f} GiB")
    if device.any():
        axes.plot(times, device, color=_AMBER, linewidth=1.2, label=f"device, peak {device.max():.2f} GiB")
    axes.set_xlim(float(times[0]), max(float(times[-1]), float(times[0]) + 1e-3))
    axes.set_ylim(0, max(host.max(), device.max(), 0.01) * 1.25)
    axes.set_xlabel("time of the run (s)")
    axes.set_ylabel("memory (GiB)")
    axes.legend(loc="lower right", ncols=2, fontsize=9, framealpha=0.85, edgecolor="none")


def _band(axes: Axes, run: Run, seconds: Seconds, colour: str, alpha: float) -> None:
    axes.axvspan(seconds(run.start), seconds(run.stop), color=colour, alpha=alpha, linewidth=0)


def _times(summary: Summary, seconds: Seconds) -> list[float]:
    curve = summary.curve
    return [seconds(summary.start + i * curve.step) for i in range(len(curve.total))]


def _readings(table: Path | None) -> list[tuple[float, float, float]]:
    """(seconds, host GiB, device GiB) of each row; none where there is no table."""
    if table is None or not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return [
            (float(r["seconds"]), float(r["host_bytes"]) / _GIB, float(r["device_bytes"] or 0) / _GIB)
            for r in rows
        ]


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.label.set_color(_INK)
    axes.grid(axis="y", color="#e6eaed", linewidth=0.8)
    axes.set_axisbelow(True)
