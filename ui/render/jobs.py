"""The list of jobs as HTML. Names come from outside and are escaped."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Protocol

from pipelines.spec import tasks
from ui.i18n.texts import both, named, task_title
from ui.i18n.units import size
from ui.jobs.listing import Entry
from ui.render.job import clock
from ui.render.media import address

_GOES_ON = ("interrupted", "paused", "cancelled", "failed")
_FILTERS = {
    "state": ("jobs.all", "jobs.active", "jobs.ended", "jobs.stopped"),
    "kind": ("jobs.all_kinds", "kind.full", "kind.part", "kind.preview", "kind.mask_check"),
}
"""The choices of each filter, by their words."""
_VALUES = {
    "jobs.active": "queued running",
    "jobs.ended": "done",
    "jobs.stopped": " ".join(_GOES_ON),
    "kind.full": "full",
    "kind.part": "part",
    "kind.preview": "preview",
    "kind.mask_check": "mask_check",
}
"""What a row has to be for each choice, one of the words; for the others it is anything."""


class Removed(Protocol):
    """A job that was removed to free disk space."""

    @property
    def time(self) -> float: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def freed_bytes(self) -> int: ...  # noqa: D102


def no_jobs() -> str:
    """The list before there is a job."""
    return f'<section class="lt-card lt-quiet"><p>{both("jobs.none")}</p></section>'


def notify_button() -> str:
    """The button that asks the browser for notifications; a script shows it where a job runs and one may ask."""
    return f'<button type="button" class="lt-notify" hidden>{both("notify.ask")}</button>'


def jobs(
    entries: Sequence[Entry],
    removed: Sequence[Removed],
    *,
    named: bool,
    pictures: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The list of jobs, each a link, then the jobs removed to free disk space; their names only where `named`.

    `pictures` are the thumbnails, in the page's cache, by the ids of their jobs.
    """
    notice = _removed(removed, named)
    if not entries:
        return no_jobs() + notice
    rows = "".join(_row(entry, pictures.get(entry.job, "")) for entry in entries)
    return (
        f'<section class="lt-card lt-jobs"><ul>{rows}</ul>'
        f'<p class="lt-quiet lt-no-match" hidden>{both("jobs.no_match")}</p></section>{notice}'
    )


def filters() -> str:
    """What chooses the rows that are shown, and the dialogs that ask before a job is removed; a script shows them."""
    groups = "".join(_choices(name, words) for name, words in _FILTERS.items())
    dialogs = "".join(
        f'<dialog class="lt-ask-first" data-asks="{what}" aria-labelledby="lt-ask-{what}"><p id="lt-ask-{what}">'
        f'{both(f"jobs.ask.{what}")}</p><p class="lt-name"></p><form method="dialog">'
        f'<button value="">{both("jobs.keep")}</button><button value="yes" class="lt-danger">'
        f"{both(f'jobs.{what}')}</button></form></dialog>"
        for what in ("delete", "remove")
    )
    search = f'<label class="lt-search">{both("jobs.search")} <input type="search" maxlength="200"></label>'
    return f'<div class="lt-filters">{groups}{search}</div>{dialogs}'


def _choices(name: str, words: Sequence[str]) -> str:
    choices = "".join(
        f'<label><input type="radio" name="lt-filter-{name}" value="{value}"{" checked" if not value else ""}>'
        f"<span>{both(key)}</span></label>"
        for key in words
        for value in [_VALUES.get(key, "")]
    )
    return f'<div role="radiogroup" {named(f"jobs.filter.{name}")} data-filter="{name}">{choices}</div>'


def _row(entry: Entry, picture: str) -> str:
    job, name = escape(entry.job, quote=True), escape(entry.name)
    action = both("jobs.resume" if entry.state in _GOES_ON else "jobs.open")
    image = f'<img src="{address(picture)}" alt="" loading="lazy">' if picture else ""
    return (
        f'<li data-job="{job}" data-state="{entry.state}" data-kind="{entry.kind}" '
        f'data-name="{escape(entry.name, quote=True)}" data-link="?job={job}&amp;key={escape(entry.edit, quote=True)}">'
        f'<a href="?job={job}&amp;key={escape(entry.view, quote=True)}"><span class="lt-thumb">{image}</span>'
        f'<span class="lt-badge lt-badge-{entry.state}">{both(f"state.{entry.state}")}</span>'
        f'<span class="lt-name">{name}</span><small>{" · ".join(filter(None, _details(entry)))}</small>'
        f'<span class="lt-go">{action}</span></a><span class="lt-row-buttons">{_buttons(entry)}</span></li>'
    )


def _details(entry: Entry) -> list[str]:
    # The job's task may belong to a plug-in that is no longer there.
    task = task_title(tasks()[entry.task]) if entry.task in tasks() else escape(entry.task)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.created))
    return [
        # A mask check is a task of its own, whose title says so.
        task,
        "" if entry.kind == "mask_check" else both(f"kind.{entry.kind}"),
        "" if entry.seconds is None else f"<span>{clock(entry.seconds)}</span>",
        f'<time datetime="{stamp}">{when}</time>',
        f"{entry.position} {both('ahead')}" if entry.position else "",
    ]


def _buttons(entry: Entry) -> str:
    """The buttons of a row; a script sends what they ask for to the server."""
    if entry.state == "running":
        return ""
    moves = ("earlier", "later") if entry.movable else ()
    signs = {"earlier": "↑", "later": "↓"}
    shown = "".join(
        f'<button type="button" data-act="{act}"><span aria-hidden="true">{signs[act]}</span>'
        f'<span class="lt-unseen">{both(f"jobs.{act}")}</span></button>'
        for act in moves
    )
    removal = "remove" if entry.state == "queued" else "delete"
    return f'{shown}<button type="button" data-act="{removal}">{both(f"jobs.{removal}")}</button>'


def _removed(removed: Sequence[Removed], named: bool) -> str:
    if not removed:
        return ""
    if not named:  # they may be other visitors' files
        freed = size(sum(r.freed_bytes for r in removed))
        words = f"{both('jobs.tidied')} {len(removed)} · {freed}"
        return f'<section class="lt-card lt-quiet"><p>{words}</p></section>'
    rows = "".join(
        f"<li>{time.strftime('%H:%M', time.localtime(r.time))} · {escape(r.name)} · {size(r.freed_bytes)}</li>"
        for r in removed
    )
    return f'<section class="lt-card lt-quiet"><p>{both("jobs.tidied")}:</p><ul>{rows}</ul></section>'
