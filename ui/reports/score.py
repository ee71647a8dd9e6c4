"""The report of a score as HTML."""

from typing import Any

from pipelines.scoring.report.stretches import Stretch, left_out, stretches, verdict
from ui.i18n.texts import both, filled, spans
from ui.reports.parts import listed, number, percent, section


def describe(report: dict[str, Any]) -> str:
    """A verdict in a sentence, the numbers, and the longest blurred and frozen stretches."""
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
    return section(f"<p>{spans(*verdict(summary))}</p>", listed(figures), _stretches(summary))


def _stretches(summary: dict[str, Any]) -> str:
    """The longest stretches of each kind, in the order of the video."""
    rows = "".join(map(_row, stretches(summary)))
    more = left_out(summary)
    note = f"<p>{filled('report.more_stretches', more=f'{more:,}')}</p>" if more else ""
    return f'<h3>{both("report.stretches")}</h3><ul class="lt-faults">{rows}</ul>{note}' if rows else ""


def _row(stretch: Stretch) -> str:
    return f"<li><time>{stretch.times}</time>{spans(*stretch.words)}</li>"
