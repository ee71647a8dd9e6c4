"""A job's `report.json` as HTML, by `ui.reports.<task>` where it exists, else as a list of its summary."""

import importlib
import json
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ui.i18n.texts import label_en
from ui.reports.parts import section


def read_report(path: Path) -> str:
    """The report at `path` as HTML. Raises OSError where it is gone."""
    report = json.loads(path.read_text(encoding="utf-8"))
    module = f"ui.reports.{report['task']}"
    if find_spec(module):
        described: str = importlib.import_module(module).describe(report)
        return described
    return plain(report)


def frame_times(path: Path) -> dict[int, float]:
    """The seconds of the frames that the report at `path` shows as pictures. Raises OSError where it is gone."""
    report = json.loads(path.read_text(encoding="utf-8"))
    return {each["frame"]: each["seconds"] for each in report.get("worst", ())}


def shows_something(path: Path) -> bool:
    """Whether the pictures of the report at `path` show something: not where a removal invented nothing."""
    summary = json.loads(path.read_text(encoding="utf-8")).get("summary", {})
    return bool(summary.get("mean_invented_share", True))


def plain(report: dict[str, Any]) -> str:
    """The figures of a report's summary, labelled with their keys, and its warnings."""
    figures = {name: value for name, value in report.get("summary", {}).items() if _is_figure(value)}
    rows = "".join(
        f"<div><dt>{escape(label_en(name, ''))}</dt><dd>{_shown(value)}</dd></div>"
        for name, value in figures.items()
    )
    notes = "".join(f"<p>{escape(str(sentence))}</p>" for sentence in report.get("warnings", ()))
    return section(f"<dl>{rows}</dl>", notes)


def _is_figure(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _shown(value: Any) -> str:
    return (
        f"{value:,.6g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else escape(str(value))
    )
