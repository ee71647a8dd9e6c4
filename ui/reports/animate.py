"""The report of an animation as HTML."""

from html import escape
from typing import Any

from ui.reports.parts import listed, section


def describe(report: dict[str, Any]) -> str:
    """How much the driving head moved, how long it was out of sight, and the warnings."""
    summary, frames, warnings = report["summary"], report["frames"], report["warnings"]
    figures = [
        ("report.faces", f"{summary['faces']:,}"),
        ("report.at_rest", f"{summary['frames_at_rest']:,} <small>/ {frames:,}</small>"),
    ]
    if summary.get("frames_with_mouth_held"):
        figures.append(
            ("report.mouth_held", f"{summary['frames_with_mouth_held']:,} <small>/ {frames:,}</small>")
        )
    if "most_shift_eye_distances" in summary:
        figures += [
            ("report.shift", f"{summary['most_shift_eye_distances']:.2f}"),
            ("report.turn", f"{summary['most_turn_degrees']:.0f}°"),
        ]
    notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in warnings)
    return section(listed(figures), notes)
