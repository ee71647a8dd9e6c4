"""The report of a mask check as HTML."""

from typing import Any

from ui.reports.parts import listed, lost_stretches, percent, section


def describe(report: dict[str, Any]) -> str:
    """How much is masked, and where the object was lost."""
    summary = report["summary"]
    figures = [
        ("report.frames_marked", f"{summary['frames_marked']:,} <small>/ {summary['frames']:,}</small>"),
        ("report.masked", percent(summary["mean_area_share"])),
        ("report.lost", f"{summary['frames_lost']:,}"),
    ]
    return section(listed(figures), lost_stretches(report["lost"], report["video"]["name"]))
