"""A job's view as HTML and plain values: pure functions, without Gradio.

Text that comes from outside (file names, messages) is escaped here. The two templates are JavaScript that the browser
fills in; their values are numbers only, so no outside text can become part of one.
"""

import time
from collections.abc import Callable
from html import escape

from memory.units import GIB, MIB
from pipelines.errors import LongtakeError
from pipelines.example.faults import FAULTS
from pipelines.jobs.events import Facts, Planned
from pipelines.spec import Text, all_engines, tasks
from pipelines.video.clock.time_code import time_range
from ui.i18n.texts import attribute, both, filled, label, page_words, spans
from ui.i18n.words import ERRORS_ZH, LIVE
from ui.jobs.uploads import EXAMPLE_NAME
from ui.jobs.view import JobView, Status
from ui.render.engines import expected
from ui.render.media import address

_ACTIONS = {"queued": "stop", "running": "stop", "done": ""}
"""The buttons that apply to a job, by its state; the style sheet hides the others."""

GAUGE = f"""
${{value.bars.map(bar => `
<section class="lt-gauge">
  <h3>${{bar.device ? `{both("device_memory")}` : `{both("memory")}`}}</h3>
  <div class="lt-bar" role="meter" aria-label="${{bar.device ? '{label("device_memory")}' : '{label("memory")}'}}"
    aria-valuemin="0" aria-valuemax="${{bar.limit}}" aria-valuenow="${{bar.now}}"
    aria-valuetext="${{(bar.now / {GIB}).toFixed(2)}} GiB">
    <i class="lt-now" style="width:${{100 * Math.min(1, bar.now / bar.scale)}}%"></i>
    <i class="lt-mark lt-predicted" style="left:${{100 * Math.min(1, bar.predicted / bar.scale)}}%"></i>
    <i class="lt-mark lt-peak" style="left:${{100 * Math.min(1, bar.peak / bar.scale)}}%"></i>
  </div>
  <dl>
    ${{[[`{both("now")}`, 'now', bar.now], [`{both("peak")}`, 'peak', bar.peak],
        [`{both("predicted")}`, 'predicted', bar.predicted], [`{both("limit")}`, 'limit', bar.limit]].map(row =>
      `<div><dt class="lt-key-${{row[1]}}">${{row[0]}}</dt>
        <dd>${{(row[2] / {GIB}).toFixed(2)}} <small>GiB</small></dd></div>`
    ).join('')}}
  </dl>
</section>`).join('')}}
"""
"""A bar of memory for each of `value.bars`: bytes now, peak, predicted, limit; `scale` is the bar's length."""

CURVES: dict[str, Text] = {
    **{task.name: task.curve for task in tasks().values() if task.curve},
    **{f"{engine.task}/{engine.name}": engine.curve for engine in all_engines() if engine.curve},
}
"""What the live curve shows, by task, or by `task/engine` where an engine's curve differs."""


def _by_kind(text: Callable[[str, str], str]) -> str:
    words = (text(english, chinese).replace("`", "") for english, chinese in CURVES.values())
    return "[" + ", ".join(f"`{each}`" for each in words) + "][value.kind]"


CURVE = f"""
<section class="lt-curve">
  <h3>${{{_by_kind(spans)}}}</h3>
  ${{value.points.length < 2 ? `<p class="lt-quiet">{both("curve_empty")}</p>` : (() => {{
    const ys = value.points.map(p => p[1]), top = Math.max(...ys), bottom = Math.min(...ys);
    const room = Math.max(0, 0.1 * Math.abs(top) - (top - bottom)) / 2, low = bottom - room, high = top + room;
    const span = (high - low) || 1, first = value.points[0][0], wide = Math.max(1, value.last - first);
    const at = p => `${{(1000 * (p[0] - first) / wide).toFixed(1)}},${{(190 - 180 * (p[1] - low) / span).toFixed(1)}}`;
    return `<div class="lt-plot"><svg viewBox="0 0 1000 200" preserveAspectRatio="none" role="img"
      aria-label="${{{_by_kind(attribute)}}}: ${{low.toFixed(2)}} - ${{high.toFixed(2)}}">
      <polyline points="${{value.points.map(at).join(' ')}}" vector-effect="non-scaling-stroke"></polyline></svg>
      <span class="lt-high">${{high.toFixed(2)}}</span><span class="lt-low">${{low.toFixed(2)}}</span></div>
      <p class="lt-axis"><span>${{first}}</span><span>{both("frames")}</span><span>${{value.last}}</span></p>`;
  }})()}}
</section>
"""
"""A line through `value.points` (frame, value); the axis ends at frame `value.last`.

The height is at least a tenth of the highest value, so that noise does not fill it.
"""


def gauge(view: JobView) -> dict[str, list[dict[str, float | bool]]]:
    """The value of `GAUGE`: no bars before there is a plan, and one for the device only where the plan uses it."""
    s = view.status
    if not s.host_limit_bytes:
        return {"bars": []}
    bars = [_bar(False, s.host_bytes, s.host_peak_bytes, s.host_predicted_bytes, s.host_limit_bytes)]
    if s.device_predicted_bytes:
        bars.append(
            _bar(True, s.device_bytes, s.device_peak_bytes, s.device_predicted_bytes, s.device_limit_bytes)
        )
    return {"bars": bars}


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
    return {"points": [list(point) for point in points], "last": last, "kind": kind}


def strip(view: JobView) -> str:
    """State, progress and time left of the job, and the links to it that the visitor may have."""
    s = view.status
    share = f'<progress max="{s.total}" value="{s.done}"></progress>' if s.total else "<progress></progress>"
    if s.state not in ("queued", "running"):
        share = ""
    details = " · ".join(part for part in _details(s) if part)
    notes = "".join(f'<p class="lt-note">{page_words(message)}</p>' for message in s.messages)
    return (
        f'<section class="lt-strip lt-{s.state}" data-state="{s.state}" data-can="{_can(s)}">'
        f'<p class="lt-split-line"><span><strong role="status">{both(f"state.{s.state}")}</strong> '
        f'<span class="lt-name">{escape(s.name)}</span></span>{_links(s)}</p>'
        f'{share}<p class="lt-figures">{details}</p>{notes}</section>'
    )


def _can(s: Status) -> str:
    looks_only = s.view and not s.edit
    return "look" if looks_only else _ACTIONS.get(s.state, "go-on")


def _links(s: Status) -> str:
    job = escape(s.job, quote=True)
    links = [
        f'<a class="lt-link" href="?job={job}&amp;key={escape(key, quote=True)}">{both(words)}</a>'
        for key, words in ((s.view, "link"), (s.edit, "link.edit"))
        if key
    ]
    return f'<span class="lt-links">{"".join(links)}</span>' if links else ""


def _details(s: Status) -> list[str]:
    if s.state == "queued":
        return [
            f"{s.position} {both('ahead')}" if s.position else both("next"),
            f"{both('starts_in')} {clock(s.starts_in_seconds)}" if s.starts_in_seconds else "",
        ]
    if s.state == "failed":
        return [failure(s.code, f"{s.message} {s.hint}")]
    if s.state in ("paused", "cancelled", "interrupted"):
        return [escape(s.message), both("resumable")]
    quiet = filled("quiet", seconds=str(s.silent_seconds)) if s.silent_seconds else ""
    if s.state == "running" and not s.stage:
        return [both("starting"), quiet]
    return [
        quiet,
        _stage(s.stage) if s.state == "running" else "",
        f"{s.done:,} / {s.total:,} {both('frames')}" if s.total else "",
        # What was true of the speed before the silence is no guide to the time left.
        f"{s.fps:,.1f} fps" if s.fps and s.state == "running" and not quiet else "",
        f"{clock(s.eta_seconds)} {both('left')}" if s.eta_seconds is not None and not quiet else "",
    ]


def _stage(name: str) -> str:
    return both(f"stage.{name}") if f"stage.{name}" in LIVE else escape(name)


def failure(code: str, message: str) -> str:
    """An error as HTML: a Chinese sentence, which an English page hides, then the English message and the code."""
    chinese = ERRORS_ZH.get(code, ERRORS_ZH["internal"])
    return (
        f'<span lang="zh">{escape(chinese)} </span>{page_words(message.strip())} <code>{escape(code)}</code>'
    )


def log_lines(view: JobView) -> str:
    """The log as an HTML list, the newest line first."""
    rows = "".join(
        f"<li><time>{time.strftime('%H:%M:%S', time.localtime(at))}</time> {escape(line)}</li>"
        for at, line in reversed(view.log)
    )
    return f'<ol class="lt-log">{rows}</ol>'


def refusal(error: LongtakeError) -> str:
    """The card for a file that is refused."""
    return (
        f'<section class="lt-card lt-failed" role="alert"><p>{failure(error.code, str(error))}</p></section>'
    )


def welcome(task: str) -> str:
    """The card before a file is chosen."""
    empty = f"empty.{task}" if f"empty.{task}" in LIVE else "empty"
    return f'<section class="lt-card lt-quiet"><p>{both(empty)}</p></section>'


def inspecting() -> str:
    """The card while a file is inspected."""
    return f'<section class="lt-card lt-quiet" role="status"><p>{both("looking")}</p></section>'


def card(plan: Planned, video_path: str) -> str:
    """Facts of a file and the costs of a run; `video_path` is the file in the page's cache, for the player."""
    facts = plan.facts
    rate = float(_ratio(facts.frame_rate))
    rows = [
        ("size", f"{facts.width} × {facts.height}"),
        ("length", f"{clock(facts.seconds)} · {facts.frames:,} {both('frames')}"),
        ("rate", f"{rate:.3f}".rstrip("0").rstrip(".") + " fps" + _variable(facts.variable_frame_rate)),
        ("codec", escape(facts.codec) + _depth(facts)),
        ("sound", escape(facts.sound) if facts.sound else both("none")),
        ("preset", f"{escape(plan.preset)} · {both('engine')} {escape(plan.engine)}"),
        ("memory", _memory(plan)),
        ("disk", f"{_size(plan.disk_bytes)}"),
    ]
    if plan.predicted_seconds is not None:
        rows.append(("time", expected(plan.predicted_seconds)))
    if facts.damage:
        rows.append(("damage", escape(facts.damage)))
    listed = "".join(f"<div><dt>{both(key)}</dt><dd>{text}</dd></div>" for key, text in rows)
    # Files are not converted for the browser: where it cannot play one, the player is hidden.
    player = (
        f'<video src="{address(video_path)}" controls muted playsinline '
        f'preload="metadata" onerror="this.hidden=true" aria-label="{escape(facts.name)}"></video>'
    )
    return (
        f'<section class="lt-card"><h3 class="lt-name">{escape(facts.name)}</h3><div class="lt-split">{player}'
        f"<dl>{listed}</dl></div><p>{escape(plan.preset_reason)}</p><p>{escape(plan.reason)}</p>"
        f"{_faults() if facts.name == EXAMPLE_NAME else ''}</section>"
    )


def _faults() -> str:
    rows = "".join(
        f"<li><time>{time_range(*fault.seconds)}</time>{spans(fault.english, fault.chinese)}</li>"
        for fault in FAULTS
    )
    return f'<h3>{both("faults")}</h3><ul class="lt-faults">{rows}</ul>'


def _depth(facts: Facts) -> str:
    """What the video has beyond 8 bits and SDR: ` · 10 bit · HDR10`."""
    bits = f" · {facts.bit_depth} bit" if facts.bit_depth > 8 else ""
    return bits + (f" · {facts.dynamic_range}" if facts.dynamic_range != "SDR" else "")


def _variable(variable: bool) -> str:
    return f" · {both('variable')}" if variable else ""


def _ratio(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


def _memory(plan: Planned) -> str:
    device = f" + {_size(plan.predicted_device_bytes)} GPU" if plan.predicted_device_bytes else ""
    badge = f'<span class="lt-risk lt-risk-{plan.risk}">{both(f"risk.{plan.risk}")}</span>'
    return f"{_size(plan.predicted_host_bytes)}{device} {both('of')} {_size(plan.budget_host_bytes)} {badge}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB" if size_bytes >= GIB / 10 else f"{size_bytes / MIB:.1f} MiB"


def clock(seconds: float) -> str:
    """Seconds for people: `0:07`, `12:30`, `1:02:03`; below ten seconds with tenths: `3.2 s`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
