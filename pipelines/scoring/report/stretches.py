"""Blurred and frozen stretches in words, for the command line, the page and the chart alike.

Everything here is read from the summary of a report, so that nothing can be told that the report does not say.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.spec import Text
from pipelines.video.clock.time_code import time_range

Kind = Literal["blurred", "frozen"]
KINDS: dict[Kind, tuple[str, str]] = {
    "blurred": ("intervals", "interval_count"),
    "frozen": ("runs", "run_count"),
}
"""Kinds of faulty stretches, each with the keys of its list and of its count in the summary."""

MOST_TOLD = 10
"""Stretches of each kind that the page and the command line list, the longest ones; `report.json` has all."""

_KINDS_ZH: dict[Kind, str] = {"blurred": "模糊", "frozen": "卡顿"}
_SEVERITY_ZH = {"mild": "轻微", "moderate": "中等", "severe": "严重"}


@dataclass(frozen=True)
class Stretch:
    """Frames `[start, stop)` with one fault. `severity` and `drop` (lost share of the sharpness) are those of blur."""

    kind: Kind
    start: int
    stop: int
    start_seconds: float
    stop_seconds: float
    severity: str | None = None
    drop: float | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.stop_seconds - self.start_seconds

    @property
    def times(self) -> str:
        """Start and end as time codes."""
        return time_range(self.start_seconds, self.stop_seconds)

    @property
    def words(self) -> Text:
        """Kind, length and severity, in English and Chinese."""
        english = f"{self.kind}, {_count(len(self), 'frame')}"
        chinese = f"{_KINDS_ZH[self.kind]}，{len(self):,} 帧"
        if self.severity is None or self.drop is None:
            return english, chinese
        lost = f"−{100 * self.drop:.1f} %"
        return (
            f"{english}, {self.severity} ({lost} sharpness)",
            f"{chinese}，{_SEVERITY_ZH[self.severity]}（清晰度 {lost}）",
        )


def stretches(summary: Mapping[str, Any], most: int = MOST_TOLD) -> list[Stretch]:
    """Return the `most` longest stretches of each kind, in the order of the video."""
    found = []
    for kind, (runs, _) in KINDS.items():
        each = [_stretch(kind, run) for run in summary[kind][runs]]
        # The report rounds times to microseconds, so that equal stretches differ by one.
        found += sorted(each, key=lambda stretch: (-round(stretch.seconds, 4), stretch.start))[:most]
    return sorted(found, key=lambda stretch: stretch.start)


def _stretch(kind: Kind, run: Mapping[str, Any]) -> Stretch:
    times = run["start_seconds"], run["stop_seconds"]
    return Stretch(kind, run["start"], run["stop"], *times, run.get("severity"), run.get("drop"))


def verdict(summary: Mapping[str, Any]) -> Text:
    """Say in English and Chinese how many frames are blurred and frozen, and in how many stretches."""
    rest, rest_zh = _no_faults(summary)
    if not any(summary[kind]["frames"] for kind in KINDS):
        return " ".join(["No blurred or frozen frames.", *rest]), "".join(["没有模糊或卡顿的帧。", *rest_zh])
    english, chinese = [], []
    for kind, (_, count) in KINDS.items():
        frames, number, share = (
            summary[kind]["frames"],
            summary[kind][count],
            f"{100 * summary[kind]['ratio']:.1f} %",
        )
        said = (
            f"{_count(frames, 'frame')} ({share}) in {_count(number, 'stretch', 'es')}" if frames else "none"
        )
        english.append(f"{kind.capitalize()}: {said}.")
        chinese.append(
            f"{_KINDS_ZH[kind]}：{f'{frames:,} 帧（{share}），{number:,} 处' if frames else '无'}。"
        )
    return " ".join([*english, *rest]), "".join([*chinese, *rest_zh])


def _no_faults(summary: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Say which frames are blank or repeat at a regular rhythm: no faults, but no ordinary frames either."""
    # Reports of earlier versions have neither.
    blank = summary.get("blank", {}).get("frames", 0)
    repeated = summary.get("cadence", {}).get("repeated_frames", 0)
    english, chinese = [], []
    if blank:
        english.append(f"Blank: {_count(blank, 'frame')}.")
        chinese.append(f"空白：{blank:,} 帧。")
    if repeated:
        english.append(f"Repeated at a regular rhythm (cadence): {_count(repeated, 'frame')}.")
        chinese.append(f"按固定节奏重复：{repeated:,} 帧。")
    return english, chinese


def left_out(summary: Mapping[str, Any], most: int = MOST_TOLD) -> int:
    """Count the stretches that `stretches` leaves out."""
    return sum(max(0, int(summary[kind][count]) - most) for kind, (_, count) in KINDS.items())


def _count(number: int, one: str, ending: str = "s") -> str:
    return f"{number:,} {one}{'' if number == 1 else ending}"


def report_lines(report: Path) -> list[str]:
    """Return a report's verdict and longest stretches as lines for a terminal. Raises OSError."""
    read = json.loads(report.read_text(encoding="utf-8"))
    summary = read["summary"]
    lines = [f"{read['video']['name']}: {verdict(summary)[0]} Cuts: {summary['cuts']['count']:,}."]
    lines += [f"{stretch.times:>24}  {stretch.words[0]}" for stretch in stretches(summary)]
    if more := left_out(summary):
        lines.append(f"{'':>24}  and {more:,} more: {report} lists all.")
    return lines
