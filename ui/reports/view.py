"""A job's `report.json` as HTML, by `ui.reports.<task>` where it exists, else as a list of its summary."""

import importlib
import json
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.jobs.events import Degraded, Warned
from ui.i18n.messages import warning_html
from ui.i18n.texts import label_en
from ui.reports.parts import section

Told = Warned | Degraded


def read_report(path: Path, told: Sequence[Told] = (), shown: Sequence[Told] = ()) -> str:
    """The report at `path` as HTML, with its warnings, except those `shown` beside it already.

    `told` are the warnings of the job, which have the keys by which the report's are said in each language. Raises
    OSError where the report is gone.
    """
    report = json.loads(path.read_text(encoding="utf-8"))
    module = f"ui.reports.{report['task']}"
    described = importlib.import_module(module).describe(report) if find_spec(module) else plain(report)
    known = {each.message: each for each in told}
    beside = {each.message for each in shown}
    sentences = [str(sentence) for sentence in report.get("warnings", ())]
    notes = [
        f'<p class="lt-note">{warning_html(known.get(sentence), sentence)}</p>'
        for sentence in sentences
        if sentence not in beside
    ]
    return "".join([described, *notes])


def charts(path: Path) -> str:
    """The curves of the report at `path`, where `ui.reports.<task>` draws them. Raises OSError where it is gone."""
    report = json.loads(path.read_text(encoding="utf-8"))
    name = f"ui.reports.{report['task']}"
    draw = getattr(importlib.import_module(name), "charts", None) if find_spec(name) else None
    return draw(report) if draw else ""


def frame_times(path: Path) -> dict[int, float]:
    """The seconds of the frames that the report at `path` shows as pictures. Raises OSError where it is gone."""
    report = json.loads(path.read_text(encoding="utf-8"))
    return {each["frame"]: each["seconds"] for each in report.get("worst", ())}


def shows_something(path: Path) -> bool:
    """Whether the pictures of the report at `path` show something: not where a removal invented nothing."""
    summary = json.loads(path.read_text(encoding="utf-8")).get("summary", {})
    return bool(summary.get("mean_invented_share", True))


def plain(report: dict[str, Any]) -> str:
    """The figures of a report's summary, labelled with their keys."""
    figures = {name: value for name, value in report.get("summary", {}).items() if _is_figure(value)}
    rows = "".join(
        f"<div><dt>{escape(label_en(name, ''))}</dt><dd>{_shown(value)}</dd></div>"
        for name, value in figures.items()
    )
    return section(f"<dl>{rows}</dl>")


def _is_figure(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _shown(value: Any) -> str:
    return (
        f"{value:,.6g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else escape(str(value))
    )
