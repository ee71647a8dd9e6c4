"""The report of a score as HTML."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pipelines.scoring.report.stretches import KINDS, Stretch, left_out, stretches
from ui.i18n.catalogue import Catalogue
from ui.i18n.texts import both, filled, spans_of
from ui.reports import score_chart
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
    said = spans_of(partial(verdict, summary))
    return section(f"<p>{said}</p>", listed(figures), _stretches(summary))


def charts(report: dict[str, Any]) -> str:
    """The curves of the report; empty where it has none."""
    return score_chart.charts(report)


def verdict(summary: Mapping[str, Any], catalogue: Catalogue) -> str:
    """How many frames are blurred and frozen, and in how many stretches, in the language of `catalogue`."""
    text = partial(catalogue.text, "live")
    sentences = []
    if not any(summary[kind]["frames"] for kind in KINDS):
        sentences.append(text("verdict.faultless"))
    else:
        for kind, (_, count) in KINDS.items():
            found, said = summary[kind], text("verdict.none")
            if found["frames"]:
                said = text("verdict.found").format(
                    frames=_count(catalogue, found["frames"], "frame"),
                    share=f"{100 * found['ratio']:.1f} %",
                    stretches=_count(catalogue, found[count], "stretch"),
                )
            sentences.append(text(f"verdict.{kind}").format(found=said))
    # Reports of earlier versions have neither.
    for key, frames in (
        ("blank", summary.get("blank", {}).get("frames", 0)),
        ("cadence", summary.get("cadence", {}).get("repeated_frames", 0)),
    ):
        if frames:
            sentences.append(text(f"verdict.{key}").format(frames=_count(catalogue, frames, "frame")))
    return catalogue.text("joints", "between").join(sentences)


def words(stretch: Stretch, catalogue: Catalogue) -> str:
    """Kind, length and severity of a stretch in the language of `catalogue`."""
    said = catalogue.text("live", f"stretch.{stretch.kind}")
    said = said.format(frames=_count(catalogue, len(stretch), "frame"))
    if stretch.severity is None or stretch.drop is None:
        return said
    lost = f"−{100 * stretch.drop:.1f} %"
    return catalogue.text("live", f"stretch.{stretch.severity}").format(stretch=said, lost=lost)


def _count(catalogue: Catalogue, count: int, thing: str) -> str:
    key = f"count.{thing}.one" if count == 1 else f"count.{thing}"
    return catalogue.text("live", key).format(number=f"{count:,}")


def _stretches(summary: dict[str, Any]) -> str:
    """The longest stretches of each kind, in the order of the video."""
    rows = "".join(map(_row, stretches(summary)))
    more = left_out(summary)
    note = f"<p>{filled('report.more_stretches', more=f'{more:,}')}</p>" if more else ""
    return f'<h3>{both("report.stretches")}</h3><ul class="lt-faults">{rows}</ul>{note}' if rows else ""


def _row(stretch: Stretch) -> str:
    return f"<li><time>{stretch.times}</time>{spans_of(partial(words, stretch))}</li>"
