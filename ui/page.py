"""The page: a strip that tells the machine, a tab per task, *Jobs* and *System*.

Every handler asks the desk and listens; none runs a job. So no event needs a lane of its own: the job queue starts jobs
one at a time, and leaving the page, reloading it or ending an API call stops none, unless the policy says so.
"""

import importlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import gradio as gr

from pipelines.errors import LongtakeError
from pipelines.settings import Machine, PoseSettings
from pipelines.spec import TaskSpec, settings_model, task_spec, tasks
from ui.api import Api
from ui.components import forms
from ui.components.run_view import PRIVATE, named_in
from ui.i18n.texts import error_text, i18n
from ui.jobs.service import JobService
from ui.render import system as render_system
from ui.render.jobs import Removed
from ui.server.monitor import Monitor
from ui.tabs.base import TaskTab
from ui.tabs.jobs import JobsTab
from ui.tabs.system import SystemTab

_SHOWN = [task for task in tasks().values() if task.served and not task.part_of]
"""The tasks with a tab, in its order."""
_FORMS: list[type[Machine]] = [*(settings_model(task.name) for task in _SHOWN), PoseSettings]
I18N = i18n({name: texts for form in _FORMS for name, texts in forms.field_texts(form).items()})
_CACHE_AGE_SECONDS = 6 * 3600
_STRIP_SECONDS = 10.0


def build(desk: JobService, monitor: Monitor, removed: Callable[[], Sequence[Removed]] = tuple) -> gr.Blocks:
    """The page over `desk`. `monitor` knows the machine; `removed` tells which jobs made room lately."""
    page = gr.Blocks(
        title="Longtake", analytics_enabled=False, delete_cache=(600, _CACHE_AGE_SECONDS), fill_width=True
    )
    with page:
        with gr.Row(elem_classes="lt-head"):
            gr.Markdown("# Longtake", container=False)
            gr.Markdown(I18N("longtake_tagline"), container=False)
        strip = gr.HTML(render_system.hardware_strip(monitor.system(), desk.policy), elem_id="hardware")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            shown: dict[gr.Tab, TaskTab] = {}
            for task in _SHOWN:
                # The first is seen at once, and is there when the page is.
                with gr.Tab(I18N(f"longtake_{task.name}"), id=task.name, render_children=not shown) as tab:
                    shown[tab] = tab_of(task)(desk, I18N, task)
            with gr.Tab(I18N("longtake_jobs"), id="jobs") as jobs:
                kept = JobsTab(desk, removed)
            with gr.Tab(I18N("longtake_system"), id="system") as system:
                machine = SystemTab(desk, monitor, I18N)
        kept.show_on(jobs, *shown, system)
        machine.show_on(system, *shown, jobs)
        _be_kept_fresh(strip, desk, monitor)
        cards, links = [t.card for t in shown.values()], [t.run_view.link for t in shown.values()]
        door = _Door(desk, [task.name for task in _SHOWN])
        led_to = [tabs, *cards, *links]
        arrived = page.load(door.greet, None, led_to, **PRIVATE)
        # A link on the page names its job here; loading the page anew would cut off what is being followed.
        wanted = gr.Textbox(visible="hidden", elem_id="wanted")
        led = wanted.change(door.lead, [wanted], led_to, **PRIVATE, queue=False)
        for each in shown.values():
            each.run_view.listen((arrived, led), each.asking)
        page.unload(door.part)
        Api(desk, lambda: monitor.system(private=desk.policy.local).model_dump(mode="json"))
    # Listeners are light and many; what is heavy waits in the job queue.
    page.queue(default_concurrency_limit=None, max_size=256)
    return page


def _be_kept_fresh(strip: gr.HTML, desk: JobService, monitor: Monitor) -> None:
    gr.Timer(_STRIP_SECONDS).tick(
        lambda: render_system.hardware_strip(monitor.system(), desk.policy),
        None,
        [strip],
        **PRIVATE,
        queue=False,
    )


def tab_of(task: TaskSpec) -> type[TaskTab]:
    """The tab of `task`: that of the module of its name in `ui.tabs`, where there is one, else the plain one."""
    name = f"ui.tabs.{task.name}"
    module = importlib.import_module(name) if find_spec(name) else None
    found: type[TaskTab] = getattr(module, "TAB", TaskTab)
    return found


class _Door:
    """Visitors who come and go. `tabs` are those that show jobs, in the order in which they are answered."""

    def __init__(self, desk: JobService, tabs: Sequence[str]) -> None:
        self._desk = desk
        self._tabs = tabs

    def greet(self, request: gr.Request) -> tuple[Any, ...]:
        """Count the visitor in, and show the job that their link names, if any."""
        self._desk.presence.arrive(str(request.session_hash), self._desk.visitor(request).name)
        asked = dict(request.query_params)
        return self._show(asked.get("job", ""), asked.get("key", ""), request)

    def lead(self, link: str, request: gr.Request) -> tuple[Any, ...]:
        """Show the job of a link on the page."""
        return self._show(*named_in(link), request)

    def _show(self, id: str, key: str, request: gr.Request) -> tuple[Any, ...]:
        """The tab of a job, its card hidden, and its link; of no job, everything as it is."""
        tab, link = "", ""
        if id:
            try:
                job = self._desk.find(self._desk.visitor(request), id, key)
                task = task_spec(job.record().task)
                tab, link = (task.part_of or task.name) if task.served else "", self._desk.query(job)
            except LongtakeError as error:
                gr.Warning(error_text(error))
        return (
            gr.Tabs(selected=tab) if tab else gr.skip(),
            *(gr.update(visible=False) if name == tab else gr.skip() for name in self._tabs),
            *(link if name == tab else "" for name in self._tabs),
        )

    def part(self, request: gr.Request) -> None:
        """Count the visitor out."""
        self._desk.presence.leave(str(request.session_hash))
