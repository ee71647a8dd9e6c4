"""The report of a removal as HTML."""

from typing import Any

from ui.reports.parts import listed, lost_stretches, percent, section


def describe(report: dict[str, Any]) -> str:
    """How much was filled, how much of that was invented, and where the object was lost."""
    summary, lost = report["summary"], report["lost"]
    frames = sum(stop - start for start, stop in lost)
    figures = [
        ("report.frames_filled", f"{summary['frames_filled']:,} <small>/ {summary['frames']:,}</small>"),
        ("report.filled", percent(summary["mean_hole_share"])),
        ("report.invented", percent(summary["mean_invented_share"])),
        ("report.lost", f"{frames:,}"),
    ]
    return section(listed(figures), lost_stretches(lost, report["video"]["name"]))
