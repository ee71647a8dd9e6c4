"""The page: a strip that tells the machine, a tab per task, *Jobs* and *System*.

Every handler asks the desk and listens; none runs a job. So no event needs a lane of its own: the job queue starts jobs
one at a time, and leaving the page, reloading it or ending an API call stops none, unless the policy says so.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from pipelines.errors import LongtakeError
from pipelines.settings import AnimateSettings, InpaintSettings, PoseSettings, ScoreSettings
from ui.api import Api
from ui.components import forms
from ui.components.run_view import PRIVATE, named_in
from ui.i18n.texts import error_text, i18n
from ui.jobs.service import JobService
from ui.render import system as render_system
from ui.render.jobs import Removed
from ui.server.monitor import Monitor
from ui.tabs.animate import AnimateTab
from ui.tabs.base import TaskTab
from ui.tabs.inpaint import InpaintTab
from ui.tabs.jobs import JobsTab
from ui.tabs.score import ScoreTab
from ui.tabs.system import SystemTab

I18N = i18n(
    forms.field_texts(ScoreSettings)
    | forms.field_texts(InpaintSettings)
    | forms.field_texts(AnimateSettings)
    | forms.field_texts(PoseSettings)
)
_TAB_OF = {"score": "score", "inpaint": "inpaint", "track": "inpaint", "animate": "animate"}
"""The tab that shows the jobs of a task."""
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
            with gr.Tab(I18N("longtake_score"), id="score", render_children=True) as score:
                scoring = ScoreTab(desk, I18N)
            with gr.Tab(I18N("longtake_inpaint"), id="inpaint") as inpaint:
                removing = InpaintTab(desk, I18N)
            with gr.Tab(I18N("longtake_animate"), id="animate") as animate:
                animating = AnimateTab(desk, I18N)
            with gr.Tab(I18N("longtake_jobs"), id="jobs") as jobs:
                kept = JobsTab(desk, removed)
            with gr.Tab(I18N("longtake_system"), id="system") as system:
                machine = SystemTab(desk, monitor, I18N)
        kept.show_on(jobs, score, inpaint, animate, system)
        machine.show_on(system, score, inpaint, animate, jobs)
        _be_kept_fresh(strip, desk, monitor)
        tasks: dict[str, TaskTab] = {"score": scoring, "inpaint": removing, "animate": animating}
        cards, links = [t.card for t in tasks.values()], [t.run_view.link for t in tasks.values()]
        door = _Door(desk, list(tasks))
        shown = [tabs, *cards, *links]
        arrived = page.load(door.greet, None, shown, **PRIVATE)
        # A link on the page names its job here; loading the page anew would cut off what is being followed.
        wanted = gr.Textbox(visible="hidden", elem_id="wanted")
        led = wanted.change(door.lead, [wanted], shown, **PRIVATE, queue=False)
        for tab in tasks.values():
            tab.run_view.listen((arrived, led), tab.asking)
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
                tab, link = _TAB_OF.get(job.record().task, ""), self._desk.query(job)
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
