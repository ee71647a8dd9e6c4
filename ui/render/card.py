"""The card of a file before a run, as HTML: what people ask of a video first, and the rest folded."""

from collections.abc import Sequence
from html import escape

from pipelines.example.faults import FAULTS
from pipelines.jobs.events import Facts, Planned
from pipelines.video.clock.time_code import time_range
from ui.i18n.messages import damage_in
from ui.i18n.texts import both, choice_name, engine_name, filled, spans, spans_of
from ui.i18n.units import clock, size
from ui.jobs.uploads import EXAMPLE_NAME
from ui.render.engines import expected
from ui.render.media import address

_CODEC_NAMES = {
    "h264": "H.264",
    "hevc": "H.265 (HEVC)",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "prores": "ProRes",
    "dnxhd": "DNxHD",
    "rawvideo": "RAW",
    "mjpeg": "Motion JPEG",
    "qtrle": "QuickTime Animation",
    "vorbis": "Vorbis",
    "opus": "Opus",
}
"""Names of codecs that are more than FFmpeg's in capitals."""


def card(plan: Planned, video_path: str, *, is_made: bool = False) -> str:
    """The player, facts of a file and the costs of a run.

    `video_path` is the file in the page's cache, for the player; `is_made`: it is a version for viewing.
    """
    facts = plan.facts
    rate = float(_ratio(facts.frame_rate))
    rows = [
        ("size", f"{facts.width} × {facts.height}"),
        ("length", f"{clock(facts.seconds)} · {facts.frames:,} {both('frames')}"),
        ("rate", f"{rate:.3f}".rstrip("0").rstrip(".") + " fps" + _variable(facts.variable_frame_rate)),
        ("sound", codec_name(facts.sound) if facts.sound else both("none")),
    ]
    folded = [
        ("codec", codec_name(facts.codec) + _depth(facts)),
        ("engine", f"{engine_name(plan.engine)} <code>{escape(plan.engine)}</code>"),
        ("preset", choice_name("preset", plan.preset)),
        ("memory", _memory(plan)),
        ("disk", f"{size(plan.disk_bytes)}"),
    ]
    if plan.predicted_seconds is not None:
        rows.append(("time", expected(plan.predicted_seconds)))
    if plan.gpu_seconds is not None:
        rows.append(("gpu_time", filled("gpu_time.needs", number=f"{plan.gpu_seconds:,}")))
    if facts.damage:
        rows.append(("damage", spans_of(lambda catalogue: damage_in(catalogue, facts))))
    # Where the browser cannot play a file, the player is hidden, and a version for viewing is offered.
    player = (
        f'<video src="{address(video_path)}" controls muted playsinline '
        f'preload="metadata" onerror="this.hidden=true" aria-label="{escape(facts.name)}"></video>'
    )
    note = f'<p class="lt-note">{both("viewing.upload")}</p>' if is_made else ""
    return (
        f'<section class="lt-card"><h3 class="lt-name">{escape(facts.name)}</h3><div class="lt-split">{player}'
        f"{_listed(rows)}</div>{note}<p>{_needs(plan)} {_risk(plan)}</p>"
        f'<details class="lt-more"><summary>{both("more")}</summary>{_listed(folded)}</details>'
        f"{_faults() if facts.name == EXAMPLE_NAME else ''}</section>"
    )


def _listed(rows: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<div><dt>{both(key)}</dt><dd>{text}</dd></div>' for key, text in rows)}</dl>"


def codec_name(codec: str) -> str:
    """What people call a codec, by its name in FFmpeg; escapes."""
    base = codec.lower()
    if base.startswith("pcm_"):
        return "PCM"
    return _CODEC_NAMES.get(base, escape(codec.upper() if len(base) <= 5 else codec))


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


def _needs(plan: Planned) -> str:
    """What a run needs in one sentence, or why it does not fit and what helps; the details are in the job's log."""
    pairs = [
        (plan.predicted_host_bytes, plan.budget_host_bytes),
        (plan.predicted_device_bytes, plan.budget_device_bytes),
    ]
    short = next((pair for pair in pairs if pair[0] > pair[1]), None)
    if plan.risk != "cannot":
        return filled("plan.fits", memory=size(plan.predicted_host_bytes), disk=size(plan.disk_bytes))
    if short:
        return filled("plan.memory_short", memory=size(short[0]), available=size(short[1]))
    return filled("plan.disk_short", disk=size(plan.disk_bytes))


def _memory(plan: Planned) -> str:
    device = f" + {size(plan.predicted_device_bytes)} GPU" if plan.predicted_device_bytes else ""
    return f"{size(plan.predicted_host_bytes)}{device} {both('of')} {size(plan.budget_host_bytes)}"


def _risk(plan: Planned) -> str:
    return f'<span class="lt-risk lt-risk-{plan.risk}">{both(f"risk.{plan.risk}")}</span>'
