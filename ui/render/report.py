"""A job's report in plain words: the summary of `report.json` as HTML."""

import json
from html import escape
from pathlib import Path
from typing import Any

from ui.i18n.texts import both, spans
from ui.render.job import moment

_INTERVALS = 5
_STRETCHES = 24


def read_report(path: Path) -> str:
    """The report at `path` as HTML. Raises OSError where it is gone."""
    report = json.loads(path.read_text(encoding="utf-8"))
    if report["task"] == "inpaint":
        return describe_fill(report["summary"], report["lost"], report["video"]["name"])
    if report["task"] == "track":
        return describe_masks(report["summary"], report["lost"], report["video"]["name"])
    if report["task"] == "animate":
        return describe_motion(report["summary"], report["frames"], report["warnings"])
    return describe_score(report["summary"])


def describe_motion(summary: dict[str, Any], frames: int, warnings: list[str]) -> str:
    """How much the driving head moved, where it was gone, and what is to be known of the result."""
    figures = [
        ("report.faces", f"{summary['faces']:,}"),
        ("report.at_rest", f"{summary['frames_at_rest']:,} <small>/ {frames:,}</small>"),
    ]
    if "most_shift_eye_distances" in summary:
        figures += [
            ("report.shift", f"{summary['most_shift_eye_distances']:.2f}"),
            ("report.turn", f"{summary['most_turn_degrees']:.0f}°"),
        ]
    notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in warnings)
    return f'<section class="lt-report"><h3>{both("report")}</h3>{_listed(figures)}{notes}</section>'


def describe_masks(summary: dict[str, Any], lost: list[list[int]], video: str) -> str:
    """How much is masked, and where the object was lost."""
    figures = [
        ("report.frames_marked", f"{summary['frames_marked']:,} <small>/ {summary['frames']:,}</small>"),
        ("report.masked", _percent(summary["mean_area_share"])),
        ("report.lost", f"{summary['frames_lost']:,}"),
    ]
    return f'<section class="lt-report"><h3>{both("report")}</h3>{_listed(figures)}{_lost(lost, video)}</section>'


def describe_fill(summary: dict[str, Any], lost: list[list[int]], video: str) -> str:
    """How much was filled, how much of that was invented, and where the object was lost."""
    frames = sum(stop - start for start, stop in lost)
    figures = [
        ("report.frames_filled", f"{summary['frames_filled']:,} <small>/ {summary['frames']:,}</small>"),
        ("report.filled", _percent(summary["mean_hole_share"])),
        ("report.invented", _percent(summary["mean_invented_share"])),
        ("report.lost", f"{frames:,}"),
    ]
    return f'<section class="lt-report"><h3>{both("report")}</h3>{_listed(figures)}{_lost(lost, video)}</section>'


def _lost(stretches: list[list[int]], video: str) -> str:
    """Where the object was lost; each stretch leads to its first frame on the pad."""
    if not stretches:
        return ""
    ways = "".join(
        f'<button type="button" class="lt-turn" data-turn="{start}" data-video="{escape(video, quote=True)}">'
        f"{_stretch(start, stop)}</button>"
        for start, stop in stretches[:_STRETCHES]
    )
    return f"<h3>{both('report.lost_at')}</h3><p>{ways}</p><p>{both('report.lost_hint')}</p>"


def _stretch(start: int, stop: int) -> str:
    return f"{start:,}" if stop - start == 1 else f"{start:,} – {stop - 1:,}"


def describe_score(summary: dict[str, Any]) -> str:
    """A verdict in a sentence, the numbers, and the blurred stretches that lose most."""
    blurred, frozen = summary["blurred"], summary["frozen"]
    figures = [
        ("report.sharpness", _number(summary["mean_sharpness"])),
        ("report.blurred", f"{blurred['frames']:,} <small>{_percent(blurred['ratio'])}</small>"),
        ("report.frozen", f"{frozen['frames']:,} <small>{_percent(frozen['ratio'])}</small>"),
        ("report.cuts", f"{summary['cuts']['count']:,}"),
        ("report.smoothness", _number(summary["smoothness"]["score"])),
        ("report.jerkiness", _number(summary["motion"]["jerkiness"])),
        ("report.dark", _percent(summary["exposure"]["under"])),
        ("report.bright", _percent(summary["exposure"]["over"])),
    ]
    return (
        f'<section class="lt-report"><h3>{both("report")}</h3><p>{_verdict(summary)}</p>'
        f"{_listed(figures)}{_stretches(blurred['intervals'])}</section>"
    )


def _listed(figures: list[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{both(key)}</dt><dd>{value}</dd></div>" for key, value in figures)
    return f"<dl>{rows}</dl>"


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
        f"−{_percent(i['drop'])}</li>"
        for i in sorted(worst, key=lambda i: int(i["start"]))
    )
    return f"<h3>{both('report.stretches')}</h3><ul>{rows}</ul>" if rows else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
