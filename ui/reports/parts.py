"""Parts of reports: figures in a list, and stretches of frames that link to their first frame."""

from html import escape

from ui.i18n.texts import both

_STRETCHES = 24
"""The most stretches that are listed; the report's file has all."""


def section(*parts: str) -> str:
    """The report as a whole."""
    return f'<section class="lt-report"><h3>{both("report")}</h3>{"".join(parts)}</section>'


def listed(figures: list[tuple[str, str]]) -> str:
    """A list of (key of the label's live text, value as HTML)."""
    rows = "".join(f"<div><dt>{both(key)}</dt><dd>{value}</dd></div>" for key, value in figures)
    return f"<dl>{rows}</dl>"


def lost_stretches(stretches: list[list[int]], video: str) -> str:
    """The stretches in which the object was lost, each a button that shows its first frame on the pad."""
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


def number(value: float | None) -> str:
    """A figure with two decimals."""
    return "–" if value is None else f"{value:.2f}"


def percent(share: float | None) -> str:
    """A share in percent."""
    return "–" if share is None else f"{100 * share:.1f} %"
