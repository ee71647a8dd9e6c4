"""The HTML of the pad, a still frame of a video on which visitors mark objects; `scripts/pad.js` is its behaviour."""

from html import escape

from ui.i18n.texts import both, label, template_label
from ui.render.media import address

_TOOLS = ("paint", "wipe", "box", "on", "off")
_ACTIONS = ("undo", "clear", "clear-all")
_BRUSH = 'min="4" max="120" value="40"'
"""Width of the brush, in thousandths of the picture's width."""


def tools() -> str:
    """The toolbar: tools, width of the brush, and buttons that take marks back."""
    kinds = "".join(
        f'<label><input type="radio" name="lt-tool" value="{name}"{" checked" * (name == "paint")}>'
        f"<span>{both('tool.' + name)}</span></label>"
        for name in _TOOLS
    )
    actions = "".join(
        f'<button type="button" data-mark="{name}">{both("tool." + name)}</button>' for name in _ACTIONS
    )
    return (
        f'<div class="lt-tools"><div role="radiogroup" aria-label="{template_label("tool")}">{kinds}</div>'
        f'<input type="range" {_BRUSH} aria-label="{template_label("tool.width")}">'
        f'<div class="lt-tool-ends">{actions}</div></div>'
    )


def sheet(picture: str, frame: int, size: tuple[int, int], video: str) -> str:
    """Frame `frame` of `video` to mark on; `picture` is its path in the page's cache, `size` the video's size."""
    width, height = size
    return (
        f'<div class="lt-pad" data-width="{width}" data-height="{height}" data-frame="{frame}" '
        f'data-video="{escape(video, quote=True)}" style="--ratio:{width / height:.4f}">'
        f'<img src="{address(picture)}" alt="{label("frame")} {frame:,}" draggable="false">'
        f'<canvas tabindex="0" role="application" aria-label="{label("pad")}"></canvas></div>'
    )


def marked() -> str:
    """The list of marked frames, which the script fills in."""
    return (
        f'<p class="lt-quiet lt-marked" data-frames=""><span class="lt-some">{both("marked")}: '
        f'<span class="lt-frames"></span></span><span class="lt-none">{both("mark_here")}</span></p>'
    )


def fold() -> str:
    """The fold over the marks as text; the style sheet hides what follows it while it is closed."""
    return f"<details><summary>{both('marks_as_text')}</summary></details>"
