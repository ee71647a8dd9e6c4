"""A job's view as HTML and plain values: pure functions, without Gradio.

Text that comes from outside (file names, messages) is escaped here. The two templates are JavaScript that the browser
fills in; their values are numbers only, so no outside text can become part of one.
"""

import time
from collections.abc import Sequence
from functools import partial
from html import escape
from itertools import zip_longest

from memory.units import GIB
from pipelines.errors import LongtakeError
from pipelines.jobs.events import Degraded, Warned
from pipelines.spec import Text, all_engines, tasks
from ui.i18n.catalogue import ENGLISH, Catalogue
from ui.i18n.messages import error_html, failure_html, sentence, warning_html
from ui.i18n.texts import (
    both,
    filled,
    in_language,
    page_words,
    script_label,
    script_text,
    spans,
    spans_of,
)
from ui.i18n.units import clock as clock
from ui.i18n.words import LIVE
from ui.jobs.view import JobView, LogLine, Status
from ui.render.card import card as card
from ui.render.engines import expected

_ACTIONS = {"queued": "stop", "running": "stop", "done": ""}
"""The buttons that apply to a job, by its state; the style sheet hides the others."""

GAUGE = f"""
${{(value?.bars ?? []).map(bar => `
<section class="lt-gauge">
  <h3>${{bar.device ? `{both("device_memory")}` : `{both("memory")}`}}</h3>
  <div class="lt-bar" role="meter"
    aria-label="${{bar.device ? {script_label("device_memory")} : {script_label("memory")}}}"
    aria-valuemin="0" aria-valuemax="${{bar.limit}}" aria-valuenow="${{bar.now}}"
    aria-valuetext="${{(bar.now / {GIB}).toFixed(2)}} GB">
    <i class="lt-now" ${{value.ended ? 'hidden' : ''}} style="width:${{100 * Math.min(1, bar.now / bar.scale)}}%"></i>
    <i class="lt-mark lt-predicted" style="left:${{100 * Math.min(1, bar.predicted / bar.scale)}}%"></i>
    <i class="lt-mark lt-peak" style="left:${{100 * Math.min(1, bar.peak / bar.scale)}}%"></i>
  </div>
  <dl>
    ${{[...(value.ended ? [] : [[`{both("now")}`, 'now', bar.now]]), [`{both("peak")}`, 'peak', bar.peak],
        [`{both("predicted")}`, 'predicted', bar.predicted], [`{both("limit")}`, 'limit', bar.limit]].map(row =>
      `<div><dt class="lt-key-${{row[1]}}">${{row[0]}}</dt>
        <dd>${{(row[2] / {GIB}).toFixed(2)}} <small>GB</small></dd></div>`
    ).join('')}}
  </dl>
</section>`).join('')}}
"""
"""A bar of memory for each of `value.bars`: bytes now (until it `ended`), peak, predicted, limit, its `scale`."""

CURVES: dict[str, Text] = {
    **{task.name: task.curve for task in tasks().values() if task.curve},
    **{f"{engine.task}/{engine.name}": engine.curve for engine in all_engines() if engine.curve},
}
"""What the live curve shows, by task, or by `task/engine` where an engine's curve differs."""


_SO_FAR = (" so far", "目前的")
"""What the captions of curves say of a job that runs, and not of one that has ended."""


def _captions() -> list[Text]:
    """The captions of curves by `value.kind`: of jobs that run, then of jobs that have ended."""
    running = list(CURVES.values())
    english, chinese = _SO_FAR
    return running + [(ours.replace(english, ""), theirs.removeprefix(chinese)) for ours, theirs in running]


_KIND = f"value.kind + (value.ended ? {len(CURVES)} : 0)"
_CURVE_TITLES = ", ".join(f"`{spans(*words)}`" for words in _captions())
_CURVE_LABELS = ", ".join(script_text(partial(in_language, words)) for words in _captions())


CURVE = f"""
${{value?.points === undefined || value.hidden ? '' : (() => {{
  const heading = [{_CURVE_TITLES}][{_KIND}];
  const points = value.points.split(' ').filter(Boolean).map(p => p.split(',').map(Number));
  if (points.length < 2)
    return `<section class="lt-curve"><h3>${{heading}}</h3><p class="lt-quiet">{both("curve_empty")}</p></section>`;
  const ys = points.map(p => p[1]), top = Math.max(...ys), bottom = Math.min(...ys);
  const room = Math.max(0, 0.1 * Math.abs(top) - (top - bottom)) / 2, low = bottom - room, high = top + room;
  const span = (high - low) || 1, first = points[0][0], wide = Math.max(1, value.last - first);
  const at = p => `${{(1000 * (p[0] - first) / wide).toFixed(1)}},${{(190 - 180 * (p[1] - low) / span).toFixed(1)}}`;
  return `<section class="lt-curve"><h3>${{heading}}</h3>
    <div class="lt-plot"><svg viewBox="0 0 1000 200" preserveAspectRatio="none" role="img"
    aria-label="${{[{_CURVE_LABELS}][{_KIND}]}}: ${{low.toFixed(2)}} - ${{high.toFixed(2)}}">
    <polyline points="${{points.map(at).join(' ')}}" vector-effect="non-scaling-stroke"></polyline></svg>
    <span class="lt-high">${{high.toFixed(2)}}</span><span class="lt-low">${{low.toFixed(2)}}</span></div>
    <p class="lt-axis"><span>${{first}}</span><span>{both("frames")}</span><span>${{value.last}}</span></p></section>`;
}})()}}
"""
"""A line through `value.points`; the axis ends at frame `value.last`. Folded away, it has no value yet.

The points are one string, `frame,value frame,value`: Gradio copies and compares a list point by point, several times an
update. The height is at least a tenth of the highest value, so that noise does not fill it. `hidden`: nothing is shown.
"""


def gauge(view: JobView) -> dict[str, object]:
    """The value of `GAUGE`: no bars before there is a plan, and one for the device only where the plan uses it."""
    s = view.status
    if not s.host_limit_bytes:
        return {"bars": [], "ended": view.ended}
    bars = [_bar(False, s.host_bytes, s.host_peak_bytes, s.host_predicted_bytes, s.host_limit_bytes)]
    if s.device_predicted_bytes:
        bars.append(
            _bar(True, s.device_bytes, s.device_peak_bytes, s.device_predicted_bytes, s.device_limit_bytes)
        )
    return {"bars": bars, "ended": view.ended}


def _bar(device: bool, now: int, peak: int, predicted: int, limit: int) -> dict[str, float | bool]:
    # Against the limit, a job that needs a hundredth of it would be invisible: the bar then ends below the limit.
    scale = max(1, now, peak, predicted, min(limit, 2 * max(peak, predicted)))
    return {
        "device": device,
        "now": now,
        "peak": peak,
        "predicted": predicted,
        "limit": limit,
        "scale": scale,
    }


def curve(view: JobView) -> dict[str, object]:
    """The value of `CURVE`."""
    points, s = view.curve.points, view.status
    last = points[-1][0] if points else 0
    if s.frame is not None:
        # A job may begin anywhere in the video: its last frame follows from the frames that are left.
        last = max(last, s.frame + s.total - s.done)
    names = list(CURVES)
    kind = next((names.index(name) for name in (f"{s.task}/{s.engine}", s.task) if name in CURVES), 0)
    has_curve = f"{s.task}/{s.engine}" in CURVES or s.task in CURVES
    says_nothing = view.ended and (len(points) < 2 or not any(value for _, value in points))
    return {
        "points": " ".join(f"{frame},{value}" for frame, value in points),
        "last": last,
        "kind": kind,
        "ended": view.ended,
        "hidden": says_nothing or not (has_curve or points),
    }


def strip(view: JobView) -> str:
    """State, progress and time left of the job, and the links to it that the visitor may have."""
    s = view.status
    share = f'<progress max="{s.total}" value="{s.done}"></progress>' if s.total else "<progress></progress>"
    if s.state not in ("queued", "running"):
        share = ""
    details = " · ".join(part for part in _details(view) if part)
    # Beside a result, what is said of it comes after it.
    said, ways = ("", "") if view.outputs else (notes(view), links(s))
    return (
        f'<section class="lt-strip lt-{s.state}" data-state="{s.state}" data-can="{_can(s)}" '
        f'data-job="{escape(s.job, quote=True)}" '
        f'data-task="{escape(s.task, quote=True)}"{" data-mine" if view.is_mine else ""}>'
        f'<p class="lt-split-line"><span><strong role="status">{both(f"state.{s.state}")}</strong> '
        f'<span class="lt-name">{escape(s.name)}</span>{_what(s)}</span>{ways}</p>'
        f'{share}<p class="lt-figures">{details}</p>{said}</section>'
    )


def notes(view: JobView) -> str:
    """The warnings of a job."""
    return "".join(
        f'<p class="lt-note">{warning_html(note, message)}</p>'
        for note, message in zip_longest(newest_notes(view), view.status.messages)
    )


def newest_notes(view: JobView) -> Sequence[Warned | Degraded]:
    """The warnings of the status, with their keys and values."""
    return view.notes[max(0, len(view.notes) - len(view.status.messages)) :]


def _what(s: Status) -> str:
    """The kind of the run and its length, as far as they are known."""
    parts = [both(f"kind.{s.kind}") if s.kind else "", clock(s.seconds) if s.seconds else ""]
    told = "".join(f" · {part}" for part in parts if part)
    return f'<span class="lt-kind">{told}</span>' if told else ""


def _can(s: Status) -> str:
    looks_only = s.view and not s.edit
    return "look" if looks_only else _ACTIONS.get(s.state, "go-on")


def links(s: Status) -> str:
    """The links to a job that the visitor may have."""
    job = escape(s.job, quote=True)
    links = [
        f'<a class="lt-link" href="?job={job}&amp;key={escape(key, quote=True)}">{both(words)}</a>'
        for key, words in ((s.view, "link"), (s.edit, "link.edit"))
        if key
    ]
    return f'<span class="lt-links">{"".join(links)}</span>' if links else ""


def _details(view: JobView) -> list[str]:
    s = view.status
    if s.state == "queued":
        next_ = both("waits_for_room" if s.waits_for == "room" else "next")
        return [
            f"{s.position} {both('ahead')}" if s.position else next_,
            f"{both('starts_in')} {clock(s.starts_in_seconds)}" if s.starts_in_seconds else "",
        ]
    if s.state == "failed":
        message = f"{s.message} {s.hint}".strip()
        return [failure_html(view.failed, message) if view.failed else page_words(message)]
    if s.state == "done":
        return []
    if s.state in ("paused", "cancelled", "interrupted"):
        why = both(view.paused_key) if view.paused_key in LIVE else escape(s.message)
        return [why if s.state == "paused" else "", both("resumable")]
    quiet = filled("quiet", seconds=str(s.silent_seconds)) if s.silent_seconds else ""
    workers = (
        filled("workers", count=str(s.workers), wanted=str(s.workers_wanted)) if s.workers_wanted else ""
    )
    if s.state == "running" and not s.stage:
        return [both("starting"), workers, _expected(view), quiet]
    return [
        quiet,
        stage_name(s.stage) if s.state == "running" else "",
        f"{s.done:,} / {s.total:,} {both('frames')}" if s.total else "",
        # What was true of the speed before the silence is no guide to the time left.
        f"{s.fps:,.1f} fps" if s.fps and s.state == "running" and not quiet else "",
        workers,
        f"{clock(s.eta_seconds)} {both('left')}" if s.eta_seconds is not None and not quiet else "",
        _expected(view) if s.eta_seconds is None and not quiet else "",
    ]


def _expected(view: JobView) -> str:
    """The time that was predicted before the run; empty where it goes on with what an earlier run has finished."""
    planned = view.planned
    if planned is None or planned.predicted_seconds is None or planned.frames_kept:
        return ""
    return expected(planned.predicted_seconds)


def stage_name(name: str) -> str:
    """The name of a stage as HTML."""
    return both(f"stage.{name}") if f"stage.{name}" in LIVE else escape(name)


def log_lines(view: JobView) -> str:
    """The log as an HTML list, the newest line first."""
    rows = "".join(
        f"<li><time>{time.strftime('%H:%M:%S', time.localtime(at))}</time> {_log_line(line)}</li>"
        for at, line in reversed(view.log)
    )
    return f'<ol class="lt-log">{rows}</ol>'


def _log_line(line: str) -> str:
    """A line of the log: in English as it is, in other languages by its key, where it has one."""
    if not isinstance(line, LogLine):
        return escape(line)
    return spans_of(lambda catalogue: _said(line, catalogue))


def _said(line: LogLine, catalogue: Catalogue) -> str:
    if catalogue.language == ENGLISH:
        return line
    return sentence(catalogue, line.table, line.keys, line.values, line)


def refusal(error: LongtakeError) -> str:
    """The card for a file that is refused."""
    return (
        f'<section class="lt-card lt-failed" role="alert" data-code="{escape(error.code, quote=True)}">'
        f"<p>{error_html(error)}</p></section>"
    )


def welcome(task: str) -> str:
    """The card before a file is chosen."""
    empty = f"empty.{task}" if f"empty.{task}" in LIVE else "empty"
    return f'<section class="lt-card lt-quiet"><p>{both(empty)}</p></section>'


def inspecting() -> str:
    """The card while a file is inspected."""
    return f'<section class="lt-card lt-quiet" role="status"><p>{both("looking")}</p></section>'
