"""The page: a tab per task, *Jobs* and *System*; the machine has a quiet corner.

Handlers ask `JobService` and follow events; none runs a job. So no event needs a concurrency limit of its own: the job
queue starts jobs one at a time, and leaving the page, reloading it or ending an API call stops none, unless the policy
says so.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import LongtakeError
from pipelines.settings import Machine, PoseSettings
from pipelines.spec import TaskSpec, settings_model, task_spec, tasks
from ui.api import Api
from ui.components import forms, own_settings
from ui.components.run_view import PRIVATE, parse_link
from ui.i18n.messages import error_text
from ui.i18n.texts import both, i18n, static
from ui.jobs import downloads, dropped
from ui.jobs.service import JobService
from ui.render import job as render_job
from ui.render import jobs as render_jobs
from ui.render import system as render_system
from ui.render.jobs import Removed
from ui.server.answers import AnsweringBlocks, visitor_error
from ui.server.monitor import Monitor
from ui.tabs.base import TaskTab
from ui.tabs.jobs import JobsTab
from ui.tabs.system import SystemTab

_FIRST = ("inpaint", "animate", "score")
"""The order of the tabs, by what most visitors come for; tabs of plug-ins follow."""
_TAB_TASKS = sorted(
    (task for task in tasks().values() if task.served and not task.part_of),
    key=lambda task: _FIRST.index(task.name) if task.name in _FIRST else len(_FIRST),
)
"""The tasks that have a tab, in the order of the tabs."""
_FORMS: list[type[Machine]] = [*(settings_model(task.name) for task in _TAB_TASKS), PoseSettings]
I18N = i18n({name: texts for form in _FORMS for name, texts in forms.field_texts(form).items()})
_CACHE_AGE_SECONDS = 6 * 3600
_STRIP_SECONDS = 10.0


def build(
    service: JobService,
    monitor: Monitor,
    removed: Callable[[], Sequence[Removed]] = tuple,
    *,
    has_logins: bool = False,
) -> gr.Blocks:
    """Build the page. `monitor` reports the machine; `removed` lists jobs deleted lately to free disk space."""
    page = AnsweringBlocks(
        title="Longtake", analytics_enabled=False, delete_cache=(600, _CACHE_AGE_SECONDS), fill_width=True
    )
    with page:
        with gr.Row(elem_classes="lt-head"):
            # Not gr.Markdown: its scripts are the largest of the first load.
            gr.HTML("<h1>Longtake</h1>", container=False)
            gr.HTML(f"<p>{static('longtake_tagline')}</p>", container=False)
            gr.HTML(render_jobs.notify_button(), container=False)
            strip = gr.HTML(
                render_system.hardware_strip(monitor.system(), service.policy), elem_id="hardware"
            )
            if has_logins:
                gr.HTML(f'<a href="logout">{both("log_out")}</a>', container=False)
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            task_tabs: dict[gr.Tab, TaskTab] = {}
            for task in _TAB_TASKS:
                # The first tab is visible at once, so it must be rendered with the page.
                with gr.Tab(
                    I18N(f"longtake_{task.name}"), id=task.name, render_children=not task_tabs
                ) as tab:
                    task_tabs[tab] = tab_of(task)(service, I18N, task)
            with gr.Tab(I18N("longtake_jobs"), id="jobs") as jobs:
                jobs_tab = JobsTab(service, removed)
            with gr.Tab(I18N("longtake_system"), id="system") as system:
                system_tab = SystemTab(service, monitor, I18N)
        jobs_tab.show_on(jobs, *task_tabs, system)
        system_tab.show_on(system, *task_tabs, jobs)
        _refresh_regularly(strip, service, monitor)
        cards, links = [t.card for t in task_tabs.values()], [t.run_view.link for t in task_tabs.values()]
        visits = _Visits(service, {tab.task: tab.card for tab in task_tabs.values()})
        link_outputs = [tabs, *cards, *links]
        arrived = page.load(visits.arrive, None, link_outputs, **PRIVATE)
        # A script writes the link that was clicked here: loading the page anew would end the streams of other jobs.
        wanted = gr.Textbox(visible="hidden", elem_id="wanted")
        clicked = wanted.change(visits.follow_link, [wanted], link_outputs, **PRIVATE, queue=False)
        for each in task_tabs.values():
            each.run_view.follow_after(arrived, clicked, wanted, each.submitted)
        _take_job_files(service, tabs, {each.task: each for each in task_tabs.values()})
        own_settings.connect(page, [each.own_form for each in task_tabs.values()])
        page.unload(visits.leave)
        page.routes.append(downloads.route(service.queue.jobs_dir, service.keys))
        Api(service, lambda: monitor.system(private=service.policy.local).model_dump(mode="json"))
    # Handlers are many and light; heavy work waits in the job queue.
    page.queue(default_concurrency_limit=None, max_size=256)
    return page


def _refresh_regularly(strip: gr.HTML, service: JobService, monitor: Monitor) -> None:
    gr.Timer(_STRIP_SECONDS).tick(
        lambda: render_system.hardware_strip(monitor.system(), service.policy),
        None,
        [strip],
        **PRIVATE,
        queue=False,
    )


def _take_job_files(service: JobService, tabs: gr.Tabs, forms_by_task: Mapping[str, TaskTab]) -> None:
    """Show the question of a `job.json` that is dropped on the page; a script writes its text into a hidden field."""
    field = gr.Textbox(visible="hidden", elem_id="dropped-job")

    def fill(text: str, request: gr.Request) -> list[Any]:
        if not text:
            return [gr.skip()] * len(outputs)
        try:
            brought = dropped.read(text.partition(" ")[2])
            asked = dropped.question(service, service.visitor(request), brought, Path(field.GRADIO_CACHE))
        except (LongtakeError, OSError) as error:
            raise visitor_error(error) from error
        name = brought.task.part_of or brought.task.name
        values = [
            value
            for task, form in forms_by_task.items()
            for value in (form.fill(asked) if task == name else [gr.skip()] * len(form.filled_components))
        ]
        return [gr.Tabs(selected=name), *values]

    outputs = [tabs, *(each for form in forms_by_task.values() for each in form.filled_components)]
    field.change(fill, [field], outputs, **PRIVATE, concurrency_limit=2)


def tab_of(task: TaskSpec) -> type[TaskTab]:
    """The tab class of `task`: `TAB` of the module `ui.tabs.<name>` where it exists, else `TaskTab`."""
    name = f"ui.tabs.{task.name}"
    module = importlib.import_module(name) if find_spec(name) else None
    found: type[TaskTab] = getattr(module, "TAB", TaskTab)
    return found


class _Visits:
    """Visitors who arrive, follow links and leave. `cards` are those of the tasks' tabs, in their order."""

    def __init__(self, service: JobService, cards: Mapping[str, gr.HTML]) -> None:
        self._service = service
        self._cards = cards

    def arrive(self, request: gr.Request) -> tuple[Any, ...]:
        """Register the visitor's session, and show the job that the address names, if any."""
        self._service.presence.arrive(str(request.session_hash), self._service.visitor(request).name)
        query = dict(request.query_params)
        return self._show(query.get("job", ""), query.get("key", ""), request, arrives=True)

    def follow_link(self, link: str, request: gr.Request) -> tuple[Any, ...]:
        """Show the job of a link that was clicked on the page."""
        return self._show(*parse_link(link), request)

    def _show(self, id: str, key: str, request: gr.Request, *, arrives: bool = False) -> tuple[Any, ...]:
        """Select the tab of a job, hide its card and set its link; change nothing where there is no job.

        To whoever `arrives` by a link that leads nowhere, that is said where the job would stand.
        """
        tab, link, refused = "", "", ""
        if id:
            try:
                visitor = self._service.visitor(request)
                job = self._service.find(visitor, id, key)
                task = task_spec(job.record().task)
                tab, link = (
                    (task.part_of or task.name) if task.served else "",
                    self._service.query(visitor, job, key),
                )
            except LongtakeError as error:
                if arrives:
                    refused = render_job.refusal(error)
                else:
                    gr.Warning(error_text(error))
        first, *_ = self._cards.values()
        return (
            gr.Tabs(selected=tab) if tab else gr.skip(),
            *(
                gr.update(visible=False)
                if name == tab
                else gr.update(value=refused, visible=True)
                if card is first and refused
                else gr.skip()
                for name, card in self._cards.items()
            ),
            # The other tabs go on with their jobs, which may have been started while this answer was on its way.
            *(link if name == tab else gr.skip() for name in self._cards),
        )

    def leave(self, request: gr.Request) -> None:
        """End the visitor's session."""
        self._service.presence.leave(str(request.session_hash))
