"""The report of a score as HTML."""

from typing import Any

from ui.i18n.texts import both, spans
from ui.render.job import moment
from ui.reports.parts import listed, number, percent, section

_INTERVALS = 5
"""The most blurred stretches that are listed: those that lose most sharpness."""


def describe(report: dict[str, Any]) -> str:
    """A verdict in a sentence, the numbers, and the blurred stretches that lose most."""
    summary = report["summary"]
    blurred, frozen = summary["blurred"], summary["frozen"]
    figures = [
        ("report.sharpness", number(summary["mean_sharpness"])),
        ("report.blurred", f"{blurred['frames']:,} <small>{percent(blurred['ratio'])}</small>"),
        ("report.frozen", f"{frozen['frames']:,} <small>{percent(frozen['ratio'])}</small>"),
        ("report.cuts", f"{summary['cuts']['count']:,}"),
        ("report.smoothness", number(summary["smoothness"]["score"])),
        ("report.jerkiness", number(summary["motion"]["jerkiness"])),
        ("report.dark", percent(summary["exposure"]["under"])),
        ("report.bright", percent(summary["exposure"]["over"])),
    ]
    verdict = f"<p>{_verdict(summary)}</p>"
    return section(verdict, listed(figures), _stretches(blurred["intervals"]))


def _verdict(summary: dict[str, Any]) -> str:
    frames, blurred, frozen = summary["frames"], summary["blurred"], summary["frozen"]
    if not blurred["frames"] and not frozen["frames"]:
        return spans(
            f"None of the {frames:,} frames is blurred or frozen.", f"共 {frames:,} 帧，没有模糊或卡顿的帧。"
        )
    return spans(
        f"Of {frames:,} frames {_are(blurred['frames'])} blurred, in {_places(blurred['interval_count'])}, "
        f"and {_are(frozen['frames'])} frozen.",
        f"共 {frames:,} 帧，其中 {blurred['frames']:,} 帧模糊（{blurred['interval_count']:,} 处），"
        f"{frozen['frames']:,} 帧卡顿。",
    )


def _are(count: int) -> str:
    return "1 is" if count == 1 else f"{count:,} are"


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count:,} places"


def _stretches(intervals: list[dict[str, Any]]) -> str:
    """The blurred stretches that lose most sharpness, in the order of the video."""
    worst = sorted(intervals, key=lambda i: i["drop"] * (i["stop"] - i["start"]))[-_INTERVALS:]
    rows = "".join(
        f"<li>{moment(i['start_seconds'])} – {moment(i['stop_seconds'])} · {both('severity.' + i['severity'])} · "
        f"−{percent(i['drop'])}</li>"
        for i in sorted(worst, key=lambda i: int(i["start"]))
    )
    return f"<h3>{both('report.stretches')}</h3><ul>{rows}</ul>" if rows else ""
