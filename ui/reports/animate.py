"""The report of an animation as HTML."""

from collections.abc import Sequence
from typing import Any

from pipelines.video.clock.time_code import time_code, time_range
from ui.i18n.texts import both
from ui.reports.parts import listed, section

_MOST_LISTED = 24
"""The most stretches at rest, and cuts, that are listed; the report's file has more."""


def describe(report: dict[str, Any]) -> str:
    """How much the driving head moved, where the portrait held still and why, and the driving's cuts."""
    summary, frames = report["summary"], report["frames"]
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
    if "most_growth_percent" in summary:
        figures.append(("report.growth", f"{summary['most_growth_percent']:.0f} %"))
    rests = _stretches(
        "report.rest_at", [_rest(each) for each in summary.get("rest", ())], "rest_count", summary
    )
    cuts = _stretches("report.cut_at", [_cut(each) for each in summary.get("cuts", ())], "cut_count", summary)
    return section(listed(figures), rests, cuts)


def _stretches(key: str, rows: Sequence[str], count: str, summary: dict[str, Any]) -> str:
    """A heading and a list; the number of those that are not listed."""
    if not rows:
        return ""
    more = summary.get(count, len(rows)) - len(rows[:_MOST_LISTED])
    last = f"<li>+ {more:,} {both('report.more')}</li>" if more > 0 else ""
    return f"<h3>{both(key)}</h3><ul>{''.join(f'<li>{row}</li>' for row in rows[:_MOST_LISTED])}{last}</ul>"


def _rest(rest: dict[str, Any]) -> str:
    """A stretch at rest: its times, frames and reason."""
    (start, stop), (begin, end) = rest["frames"], rest["seconds"]
    frames = f"{start:,}" if stop - start == 1 else f"{start:,} – {stop - 1:,}"
    key = f"rest.{rest['reason']}"
    return f"{time_range(begin, end)} · {both('frames')} {frames} · {both(key)}"


def _cut(cut: dict[str, Any]) -> str:
    return f"{time_code(cut['seconds'])} · {both('frames')} {cut['frame']:,}"
