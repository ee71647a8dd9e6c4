"""The tab *Jobs*: running, waiting and finished jobs; each row links to the job's live view."""

from typing import Any

import gradio as gr

from ui.components.run_view import PRIVATE
from ui.jobs.service import JobService
from ui.render import jobs

_REFRESH_SECONDS = 2.0


class JobsTab:
    """The tab, laid out where it is constructed; `notices` returns the jobs removed lately to free disk space."""

    def __init__(self, service: JobService, notices: Any) -> None:
        self._service = service
        self._notices = notices
        self._list = gr.HTML(jobs.no_jobs(), elem_id="jobs")
        self._timer = gr.Timer(_REFRESH_SECONDS, active=False)
        self._timer.tick(self._refresh, None, [self._list], **PRIVATE, queue=False)

    def show_on(self, tab: gr.Tab, *others: gr.Tab) -> None:
        """Refresh the list while `tab` is open, until one of the `others` is."""
        tab.select(self._refresh, None, [self._list], **PRIVATE, queue=False)
        tick_while_open(self._timer, tab, *others)

    def _refresh(self, request: gr.Request) -> str:
        return jobs.jobs(
            self._service.jobs(self._service.visitor(request)),
            self._notices(),
            named=self._service.policy.local,
        )


def tick_while_open(timer: gr.Timer, tab: gr.Tab, *others: gr.Tab) -> None:
    """Run `timer` only while `tab` is open, so that hidden tabs send no requests."""
    tab.select(lambda: gr.Timer(active=True), None, [timer], **PRIVATE, queue=False)
    for other in others:
        other.select(lambda: gr.Timer(active=False), None, [timer], **PRIVATE, queue=False)
