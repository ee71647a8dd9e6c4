"""The last hour of the server as lines over time: an inline picture, without a library and without a script."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape

from memory.units import GIB, MIB
from ui.i18n.catalogue import CATALOGUES, Catalogue, current
from ui.i18n.texts import both, filled
from ui.i18n.units import size
from ui.server.monitor import Sample

POINTS = 360
"""The most points of a line."""

_WINDOWS_MINUTES = (4, 10, 20, 30, 40, 60)
_WIDTH, _HEIGHT = 1000, 200


def last_hour(samples: Sequence[Sample]) -> str:
    """The last hour as lines over time: an SVG of at most `POINTS` points a line, described for screen readers."""
    title = f"<h3>{both('system.hour')}</h3>"
    if len(samples) < 2:
        return (
            f'<section class="lt-tile">{title}<p class="lt-quiet">{both("system.hour_empty")}</p></section>'
        )
    now = samples[-1].seconds
    age = (now - samples[0].seconds) / 60
    minutes = next((window for window in _WINDOWS_MINUTES if age <= window), _WINDOWS_MINUTES[-1])
    shown = [sample for sample in samples if now - sample.seconds <= 60 * minutes]
    lines = {
        "host": [sample.host_used_bytes for sample in shown],
        "ours": [sample.ours_bytes for sample in shown],
    }
    if shown[-1].device_total_bytes:
        lines["device"] = [sample.device_used_bytes for sample in shown]
    top = _round_up(max(map(max, lines.values())))
    across = [_WIDTH * (1 - (now - sample.seconds) / (60 * minutes)) for sample in shown]
    drawn = "".join(_line(name, across, values, top) for name, values in lines.items())
    grid = "".join(
        f'<line x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"></line>' for y in (0, _HEIGHT // 2, _HEIGHT)
    )
    heights = "".join(f"<span>{_short(top * part)}</span>" for part in (1, 0.5)) + "<span>0</span>"
    ago = [filled("system.minutes_ago", minutes=f"{minutes * part:g}") for part in (1, 0.5)]
    return (
        f'<section class="lt-tile lt-hour">{title}{_legend(lines)}<div class="lt-plane">'
        f'<div class="lt-heights" aria-hidden="true">{heights}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{_description(lines, minutes)}">{grid}{drawn}</svg></div>'
        f'<p class="lt-axis"><span>{ago[0]}</span><span>{ago[1]}</span>'
        f"<span>{both('system.just_now')}</span></p></section>"
    )


def _line(name: str, across: Sequence[float], values: Sequence[int], top: int) -> str:
    """A line, for the host with the area below it; of each group of samples only the highest is kept."""
    group = math.ceil(len(values) / POINTS)
    starts = range(0, len(values), group)
    highest = [max(values[start : start + group]) for start in starts]
    # Each group is drawn at its last sample, so that the line ends at the present.
    xs = [across[min(start + group, len(across)) - 1] for start in starts]
    points = " ".join(f"{x:.1f},{_HEIGHT * (1 - y / top):.1f}" for x, y in zip(xs, highest, strict=True))
    area = (
        f'<polygon points="{xs[0]:.1f},{_HEIGHT} {points} {xs[-1]:.1f},{_HEIGHT}"></polygon>'
        if name == "host"
        else ""
    )
    return f'{area}<polyline class="lt-line-{name}" points="{points}" vector-effect="non-scaling-stroke"></polyline>'


def _legend(lines: Mapping[str, Sequence[int]]) -> str:
    listed = "".join(
        f'<li><svg viewBox="0 0 26 8" aria-hidden="true"><polyline class="lt-line-{name}" points="1,4 25,4"></polyline>'
        f"</svg>{both(f'system.line.{name}')} <b>{size(values[-1])}</b></li>"
        for name, values in lines.items()
    )
    return f'<ul class="lt-legend">{listed}</ul>'


def _description(lines: Mapping[str, Sequence[int]], minutes: int) -> str:
    """The plot in words, for an attribute: in the visitor's language, in each where several visitors get it."""
    told = partial(_told, lines, minutes)
    return escape(
        told(only) if (only := current()) else " / ".join(map(told, CATALOGUES.values())), quote=True
    )


def _told(lines: Mapping[str, Sequence[int]], minutes: int, catalogue: Catalogue) -> str:
    each = (
        catalogue.text("live", "system.hour_line").format(
            name=catalogue.text("live", f"system.line.{name}"), low=size(min(values)), high=size(max(values))
        )
        for name, values in lines.items()
    )
    listed = catalogue.text("joints", "comma").join(each)
    return catalogue.text("live", "system.hour_told").format(minutes=minutes, lines=listed)


def _round_up(size_bytes: int) -> int:
    """The next size whose half is a round number too: 1, 2, 4, 6, 8 times a power of ten, of MiB or GiB."""
    unit = GIB if size_bytes > GIB else MIB
    power = 10 ** math.floor(math.log10(max(1.0, size_bytes / unit)))
    steps = (step * power * unit for step in (1, 2, 4, 6, 8, 10))
    return next(int(step) for step in steps if step >= size_bytes)


def _short(size_bytes: float) -> str:
    return f"{size_bytes / GIB:g} GB" if size_bytes >= GIB else f"{size_bytes / MIB:g} MB"
