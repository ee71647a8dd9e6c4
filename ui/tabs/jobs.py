"""The tab *Jobs*: running, waiting and finished jobs; each row links to the job's live view."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs.job import Job
from ui.components.run_view import PRIVATE, parse_link
from ui.jobs.listing import Entry
from ui.jobs.service import JobService
from ui.jobs.uploads import hand_out
from ui.render import jobs
from ui.server.answers import visitor_error
from ui.server.visitors import Visitor

_REFRESH_SECONDS = 2.0


class JobsTab:
    """The tab, laid out where it is constructed; `notices` returns the jobs removed lately to free disk space."""

    def __init__(self, service: JobService, notices: Callable[[], Sequence[jobs.Removed]]) -> None:
        self._service = service
        self._notices = notices
        self._drawing: asyncio.Task[None] | None = None
        gr.HTML(jobs.filters(), elem_id="jobs-filters")
        self._list = gr.HTML(jobs.no_jobs(), elem_id="jobs")
        # What the browser has: a list that has not changed is not sent again.
        self._shown = gr.State("")
        # A script writes here what a row's button asks for, as `act?job=…&key=…#time`.
        asked = gr.Textbox(visible="hidden", elem_id="jobs-asked")
        asked.change(self._act, [asked], [self._list, self._shown], **PRIVATE, queue=False)
        self._timer = gr.Timer(_REFRESH_SECONDS, active=False)
        self._timer.tick(self._refresh, [self._shown], [self._list, self._shown], **PRIVATE, queue=False)

    def show_on(self, tab: gr.Tab, *others: gr.Tab) -> None:
        """Refresh the list while `tab` is open, until one of the `others` is."""
        tab.select(self._refresh, [self._shown], [self._list, self._shown], **PRIVATE, queue=False)
        tick_while_open(self._timer, tab, *others)

    async def _refresh(self, shown: str, request: gr.Request) -> tuple[Any, Any]:
        visitor = self._service.visitor(request)
        entries = await asyncio.to_thread(self._service.jobs, visitor)
        self._draw(entries)
        html = await asyncio.to_thread(self._rendered, entries)
        known = hashlib.sha256(html.encode()).hexdigest()
        return (gr.skip(), gr.skip()) if known == shown else (html, known)

    def _draw(self, entries: Sequence[Entry]) -> None:
        """Have the thumbnails drawn that are missing, unless that is being done."""
        if self._drawing is None or self._drawing.done():
            found = [Job(self._service.queue.jobs_dir / entry.job) for entry in entries]
            self._drawing = asyncio.create_task(self._service.thumbnails.draw_missing(found))

    def _rendered(self, entries: Sequence[Entry]) -> str:
        local = self._service.policy.local
        return jobs.jobs(entries, self._notices(), named=local, pictures=self._pictures(entries))

    def _pictures(self, entries: Sequence[Entry]) -> dict[str, str]:
        """The thumbnails of jobs, as files that the page serves."""
        service, cache, found = self._service, Path(self._list.GRADIO_CACHE), {}
        for entry in entries:
            job = Job(service.queue.jobs_dir / entry.job)
            try:
                if picture := service.thumbnails.find(job):
                    found[entry.job] = hand_out(picture, cache, service.files_key(job))
            except OSError:
                continue  # it has been deleted meanwhile
        return found

    async def _act(self, asked: str, request: gr.Request) -> tuple[Any, Any]:
        """Do what the button of a row asks for; then show the list as it is."""
        visitor = self._service.visitor(request)
        try:
            await asyncio.to_thread(self._do, visitor, *asked.rpartition("#")[0].partition("?")[::2])
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        return await self._refresh("", request)

    def _do(self, visitor: Visitor, act: str, link: str) -> None:
        service = self._service
        job = service.find_to_act(visitor, *parse_link(link))
        match act:
            case "earlier" | "later":
                service.list.move(visitor, job, -1 if act == "earlier" else 1)
            case "remove" | "delete":
                service.remove(visitor, job)
            case _:
                raise BadInput("There is no such action.", "Use the buttons of the list.", "job.no_action")


def tick_while_open(timer: gr.Timer, tab: gr.Tab, *others: gr.Tab) -> None:
    """Run `timer` only while `tab` is open, so that hidden tabs send no requests."""
    tab.select(lambda: gr.Timer(active=True), None, [timer], **PRIVATE, queue=False)
    for other in others:
        other.select(lambda: gr.Timer(active=False), None, [timer], **PRIVATE, queue=False)
