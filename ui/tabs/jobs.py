"""The tab *Jobs*: what runs, waits and is kept; each row is a link that leads to the job, live."""

from typing import Any

import gradio as gr

from ui.components.run_view import PRIVATE
from ui.jobs.service import JobService
from ui.render import jobs

_REFRESH_SECONDS = 2.0


class JobsTab:
    """Lays out the tab where it is made; `notices` are the newest words of whoever keeps the disk."""

    def __init__(self, desk: JobService, notices: Any) -> None:
        self._desk = desk
        self._notices = notices
        self._list = gr.HTML(jobs.no_jobs(), elem_id="jobs")
        self._timer = gr.Timer(_REFRESH_SECONDS, active=False)
        self._timer.tick(self._refresh, None, [self._list], **PRIVATE, queue=False)

    def show_on(self, tab: gr.Tab, *others: gr.Tab) -> None:
        """Be kept fresh while `tab` is looked at, and no longer when one of the `others` is."""
        tab.select(self._refresh, None, [self._list], **PRIVATE, queue=False)
        watch_while_open(self._timer, tab, *others)

    def _refresh(self, request: gr.Request) -> str:
        return jobs.jobs(
            self._desk.jobs(self._desk.visitor(request)), self._notices(), named=self._desk.policy.local
        )


def watch_while_open(timer: gr.Timer, tab: gr.Tab, *others: gr.Tab) -> None:
    """Let `timer` tick while `tab` is open: pages that nobody looks at ask nothing."""
    tab.select(lambda: gr.Timer(active=True), None, [timer], **PRIVATE, queue=False)
    for other in others:
        other.select(lambda: gr.Timer(active=False), None, [timer], **PRIVATE, queue=False)
