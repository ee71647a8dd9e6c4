"""The list of jobs as HTML. Names come from outside and are escaped."""

import time
from collections.abc import Sequence
from html import escape
from typing import Protocol

from pipelines.spec import tasks
from ui.i18n.texts import both, spans
from ui.i18n.units import size
from ui.jobs.service import Entry

_GOES_ON = ("interrupted", "paused", "cancelled", "failed")


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


def jobs(entries: Sequence[Entry], removed: Sequence[Removed], *, named: bool) -> str:
    """The list of jobs, each a link, then the jobs removed to free disk space; their names only where `named`."""
    notice = _removed(removed, named)
    if not entries:
        return no_jobs() + notice
    return f'<section class="lt-card lt-jobs"><ul>{"".join(map(_row, entries))}</ul></section>{notice}'


def _row(entry: Entry) -> str:
    position = f" · {entry.position} {both('ahead')}" if entry.position else ""
    action = both("jobs.resume" if entry.state in _GOES_ON else "jobs.open")
    # The job's task may belong to a plug-in that is no longer there.
    task = spans(*tasks()[entry.task].title) if entry.task in tasks() else escape(entry.task)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
    return (
        f'<li data-job="{escape(entry.job, quote=True)}" data-state="{entry.state}">'
        f'<a href="?job={escape(entry.job, quote=True)}&amp;key={escape(entry.view, quote=True)}">'
        f'<span class="lt-badge lt-badge-{entry.state}">{both(f"state.{entry.state}")}</span>'
        f'<span class="lt-name">{escape(entry.name)}</span>'
        f"<small>{task} · {when}{position}</small>"
        f'<span class="lt-go">{action}</span></a></li>'
    )


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
