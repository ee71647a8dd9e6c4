"""A finished job's result as HTML: its video with a player, its files with their names, and how its versions come."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ui.i18n.texts import both, filled, label
from ui.render.media import address


@dataclass(frozen=True)
class Wipe:
    """The version of a result with its source; `path` is in the page's cache, the shares are of the stacked picture."""

    path: str
    across: float
    down: float


@dataclass(frozen=True)
class Film:
    """A result to play. `path` is in the page's cache; `rate` is a fraction such as `30000/1001`, or empty.

    `first` is the frame of the source that the first one was made of. `is_made`: it is a version for viewing.
    """

    path: str
    rate: str = ""
    first: int = 0
    is_variable: bool = False
    is_made: bool = False
    wipe: Wipe | None = None
    shows_wipe: bool = False


def player(film: Film) -> str:
    """The player; where the browser cannot play the result, a sentence. `scripts/player.js` is its behaviour."""
    wipe = film.wipe
    data = {
        "mode": "wipe" if wipe and film.shows_wipe else "plain",
        "rate": film.rate,
        "first": str(film.first),
        "variable": "yes" if film.is_variable else "",
        "across": f"{wipe.across:.6f}" if wipe else "",
        "down": f"{wipe.down:.6f}" if wipe else "",
    }
    attributes = "".join(f' data-{name}="{escape(value, quote=True)}"' for name, value in data.items())
    said = "viewing.made" if film.is_made else "viewing.cannot"
    return (
        f'<section class="lt-card lt-film lt-loop"{attributes}><div class="lt-screen">'
        f'<video class="lt-plain" src="{address(film.path)}" controls loop playsinline preload="auto" '
        f'aria-label="{label("result")}"></video>{_wipe(wipe) if wipe else ""}</div>'
        f'<div class="lt-film-tools">{_tools(film)}</div>'
        f'<p class="{"lt-note" if film.is_made else "lt-note lt-cannot"}">{both(said)}</p></section>'
    )


def _wipe(wipe: Wipe) -> str:
    return (
        f'<div class="lt-stack"><canvas role="img" aria-label="{label("compare")}"></canvas>'
        f'<video class="lt-stacked" src="{address(wipe.path)}" loop playsinline preload="auto"></video>'
        f'<span class="lt-side">{both("film.before")}</span><span class="lt-side">{both("film.after")}</span>'
        f'<input type="range" data-film="border" min="0" max="100" step="0.1" value="50" '
        f'aria-label="{label("compare")}"></div>'
        f'<input type="range" data-film="seek" min="0" max="1000" step="any" value="0" '
        f'aria-label="{label("film.seek")}">'
    )


def _tools(film: Film) -> str:
    buttons = [_button("play", "▶"), _button("back", "◂|"), _button("on", "|▸")]
    toggles = [_toggle("loop", True), _toggle("natural", False)]
    if film.wipe:
        toggles.append(_toggle("wipe", film.shows_wipe))
    return f'{"".join(buttons)}<output data-film="at"></output>{"".join(toggles)}'


def _button(name: str, sign: str) -> str:
    said = label(f"film.{name}")
    return f'<button type="button" data-film="{name}" aria-label="{said}" title="{said}">{sign}</button>'


def _toggle(name: str, pressed: bool) -> str:
    return (
        f'<button type="button" data-film="{name}" aria-pressed="{str(pressed).lower()}">'
        f"{both(f'film.{name}')}</button>"
    )


def picture(path: str) -> str:
    """A result that is one picture."""
    return (
        f'<section class="lt-card lt-film"><div class="lt-screen">'
        f'<img src="{address(path)}" alt="{label("result")}"></div></section>'
    )


def making(key: str, done: int, total: int) -> str:
    """How far a version is; `key` says which."""
    share = f"{100 * done // max(total, 1)} %"
    return f'<section class="lt-card"><p role="status">{filled(key, share=share)}</p></section>'


def not_made(message: str) -> str:
    """Why there is no version."""
    return (
        f'<section class="lt-card"><p role="alert">{both("viewing.not_made")} {escape(message)}</p></section>'
    )


def take(path: str, links: str) -> str:
    """The button that downloads a job's main file, which has its name, and the `links` to the job as HTML."""
    name = escape(Path(path).name, quote=True)
    return (
        f'<p class="lt-take"><a class="lt-download" href="{address(path)}" download="{name}">'
        f'{both("download")}</a> <span class="lt-name">{name}</span>{links}</p>'
    )


def files(paths: Sequence[str], zip_address: str, record: tuple[str, str] | None = None) -> str:
    """A job's files with their sizes, and all of them as a zip. Raises OSError where one is gone.

    `record` are name and text of its `job.json`, which is in the link itself: no address of it can be passed on.
    """
    rows = "".join(
        f'<li><a href="{address(path)}" download="{name}">{name}</a> <small>{bytes_of}</small></li>'
        for path in paths
        for name, bytes_of in [(escape(Path(path).name, quote=True), size(Path(path).stat().st_size))]
    )
    if record:
        name, text = record
        data = f"data:application/json;base64,{base64.b64encode(text.encode()).decode()}"
        rows += (
            f'<li><a class="lt-record" href="{data}" download="{escape(name, quote=True)}">{escape(name)}</a> '
            f"<small>{both('files.record')}</small></li>"
        )
    link = f'<a href="{escape(zip_address, quote=True)}" download>{both("download.all")}</a>'
    return f'<section class="lt-card lt-files"><h3>{both("files")}</h3><ul>{rows}</ul><p>{link}</p></section>'


def size(size_bytes: int) -> str:
    """The size of a file for people, in decimal units as browsers and file managers give it."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes / 1e3:.1f} kB"


def question(
    thumbnail: str, marks: str, files: Sequence[str], settings: Mapping[str, str], *, note: str = ""
) -> str:
    """What a job was asked: its first input as a picture with the `marks`, its files, and its settings.

    `thumbnail` is a path in the page's cache, or empty; `marks` and the labels and values of `settings` are HTML.
    """
    shown = (
        f'<div class="lt-thumbnail"><img src="{address(thumbnail)}" alt="{label("input")}">{marks}</div>'
        if thumbnail
        else ""
    )
    names = "".join(f'<li class="lt-name">{escape(name)}</li>' for name in files)
    rows = "".join(f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in settings.items())
    return (
        f'<section class="lt-card lt-input"><h3>{both("input")}</h3><div class="lt-split">{shown}'
        f"<div><ul>{names}</ul><dl>{rows}</dl>{note}</div></div></section>"
    )
