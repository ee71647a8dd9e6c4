"""Pictures and videos of a job as HTML. Paths are those of the page's cache, from which the browser fetches them."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from pipelines.spec import tasks
from pipelines.video.clock.time_code import time_code
from ui.i18n.texts import both, filled, label
from ui.jobs.view import JobView

_CHOOSE = (
    "const field = document.querySelector('#animate-chosen input, #animate-chosen textarea');"
    "field.value = '{field} {number}'; field.dispatchEvent(new Event('input', {{bubbles: true}}))"
)
"""Writes the face that was clicked into a hidden field of the tab."""
_MOVE_BORDER = "this.parentNode.style.setProperty('--cut', this.value + '%')"


def latest(view: JobView) -> str:
    """The latest frame, embedded in the HTML: as files, a picture a second would fill the cache within hours."""
    if view.preview is None or (data := _read(view.preview.path)) is None:
        return ""
    source = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    number = f"{view.preview.frame:,}"
    alt = f"{label('latest')} {number}"
    picture = (_before_and_after if _is_pair(view, data) else _whole)(source, alt)
    return f'<figure class="lt-latest lt-big">{picture}<figcaption>{both("latest")} · {number}</figcaption></figure>'


def _is_pair(view: JobView, jpeg: bytes) -> bool:
    """Whether a preview is two pictures side by side, before and after: of such a task, and about twice as wide.

    The passes before the last one have pictures of their own.
    """
    task = view.status.task
    if view.planned is None or task not in tasks() or not tasks()[task].before_and_after:
        return False
    try:
        width, height = Image.open(BytesIO(jpeg)).size
    except OSError:
        return False
    return width / height > 1.5 * view.planned.facts.width / view.planned.facts.height


def _whole(source: str, alt: str) -> str:
    return f'<img src="{source}" alt="{alt}">'


def _before_and_after(source: str, alt: str) -> str:
    """A picture whose left half is the frame before and whose right half is the frame after, with a slider."""
    return (
        f'<div class="lt-compare"><div><img src="{source}" alt="{alt}"></div>'
        f'<div><img src="{source}" alt=""></div><input type="range" min="0" max="100" value="50" '
        f'aria-label="{label("compare")}" oninput="{_MOVE_BORDER}"></div>'
    )


def faces(
    path: str, positions: Sequence[Mapping[str, Any]], missing: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Source and driving side by side, with the faces that will be used; `path` is the picture in the page's cache.

    `positions` are the faces on it (fields of `FacePlace`): where a side has several, a click chooses one. `missing`
    are the sides without one (fields of `MissingFace`), each with a sentence that says what to do.
    """
    sides = Counter(position["side"] for position in positions)
    buttons = "".join(_face_button(position) for position in positions if sides[position["side"]] > 1)
    key = "faces_choose" if buttons else "faces_meant"
    caption = f"<figcaption>{both(key)}</figcaption>" if positions else ""
    notes = "".join(_note(_missing_face(side)) for side in missing)
    return (
        f'<figure class="lt-latest lt-faces"><div><img src="{address(path)}" alt="{label("faces_meant")}">{buttons}'
        f"</div>{caption}</figure>{notes}"
    )


def missing_source(side: Mapping[str, Any], *, blocks: bool) -> str:
    """A note that the portrait lacks the selected face (fields of `MissingFace`), and whether that rules out a run."""
    return _note(_missing_face(side, "_blocks" if blocks else ""))


def _note(sentence: str) -> str:
    return f'<p class="lt-note" role="alert">{sentence}</p>'


def _missing_face(side: Mapping[str, Any], blocks: str = "") -> str:
    """Say that a side has no face, or too few, how small one may be, and which field to fill in."""
    where, smallest, faces = f"{side['side']}{blocks}", side["smallest_px"], int(side.get("faces", 0))
    if faces:
        return filled(f"face_number.{where}", faces=str(faces))
    if smallest is None:
        return filled(f"face_missing.{where}")
    return filled(f"small_face_missing.{where}", px=str(int(smallest)))


def _face_button(position: Mapping[str, Any]) -> str:
    field = "face" if position["side"] == "source" else "driving_face"
    number = int(position["number"])
    style = ";".join(
        f"{name}:{100 * float(position[name]):.2f}%" for name in ("left", "top", "width", "height")
    )
    return (
        f'<button type="button" style="{style}" onclick="{_CHOOSE.format(field=field, number=number)}" '
        f'aria-label="{label("face_number")} {number}"></button>'
    )


def posed(path: str, background: str = "") -> str:
    """A posed portrait, which is a link to download it; `background` is the colour that its transparent parts show."""
    note = f'<p class="lt-note">{filled("pose.transparent", colour=background)}</p>' if background else ""
    return (
        f'<figure class="lt-latest"><a href="{address(path)}" download="posed.jpg">'
        f'<img src="{address(path)}" alt="{label("pose.shown")}"></a>'
        f"<figcaption>{both('pose.shown')}</figcaption></figure>{note}"
    )


def segment(path: str, start: int, stop: int) -> str:
    """A link that plays the newest finished part of a video by itself; `path` is in the page's cache."""
    return (
        f'<p class="lt-part"><a href="{address(path)}" target="_blank" rel="noopener">{both("segment")}</a> '
        f"<small>{both('frames')} {start:,} – {stop - 1:,}</small></p>"
    )


def waiting(path: str) -> str:
    """The input of a job of which no frame is done yet; `path` is in the page's cache."""
    return (
        f'<figure class="lt-latest lt-big lt-waiting"><img src="{address(path)}" alt="{label("input")}">'
        f"<figcaption>{both('input')}</figcaption></figure>"
    )


def pictures(
    paths: Sequence[str],
    times: Mapping[int, float] | None = None,
    *,
    is_drawn: bool = False,
    words: str = "chart",
) -> str:
    """Pictures of a result, each a link to its full size: the chart, and frames captioned with number and time.

    `times` are the seconds of frames, as far as they are known; `words` is the key of what the chart shows. A chart
    that `is_drawn`, without a photograph in it, is shown in the colours of the theme.
    """
    frames = [path for path in paths if "worst-" in Path(path).name]
    charts = [path for path in paths if path not in frames]
    kind = "lt-chart lt-drawn" if is_drawn else "lt-chart"
    shown = "".join(
        f'<a class="{kind}" href="{address(path)}" target="_blank"><img src="{address(path)}" '
        f'alt="{label(words)}"></a>'
        for path in charts
    )
    return shown + (_worst(frames, times or {}) if frames else "")


def _worst(paths: Sequence[str], times: Mapping[int, float]) -> str:
    rows = "".join(
        f'<a href="{address(path)}" target="_blank"><figure><img src="{address(path)}" loading="lazy" '
        f'alt="{label("frame")} {caption}"><figcaption>{both("frame")} {caption}</figcaption></figure></a>'
        for path in paths
        for frame in [int(Path(path).stem.split("-")[-1])]
        for caption in [f"{frame:,} · {time_code(times[frame])}" if frame in times else f"{frame:,}"]
    )
    return f'<section class="lt-card lt-worst"><h3>{both("worst")}</h3><div>{rows}</div></section>'


def address(path: str) -> str:
    """The URL, relative and escaped, of a file in the page's cache."""
    return escape(quote(f"gradio_api/file={path}", safe="/="))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
