"""The page: a strip that tells the machine, a tab per task, *Jobs* and *System*.

Every handler asks the desk and listens; none runs a job. So no event needs a lane of its own: the job queue starts jobs
one at a time, and leaving the page, reloading it or ending an API call stops none, unless the policy says so.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from pipelines.errors import LongtakeError
from pipelines.settings import ScoreSettings
from ui import forms, render_system
from ui.api import Api
from ui.desk import Desk
from ui.jobs_tab import JobsTab
from ui.monitor import Monitor
from ui.render_jobs import Removed
from ui.run_view import PRIVATE
from ui.score_tab import ScoreTab
from ui.system_tab import SystemTab
from ui.texts import error_text, i18n
from ui.visitors import Visitor

I18N = i18n(forms.field_texts(ScoreSettings))
_CACHE_AGE_SECONDS = 6 * 3600
_STRIP_SECONDS = 10.0


def build(desk: Desk, monitor: Monitor, removed: Callable[[], Sequence[Removed]] = tuple) -> gr.Blocks:
    """The page over `desk`. `monitor` knows the machine; `removed` tells which jobs made room lately."""
    page = gr.Blocks(
        title="Longtake", analytics_enabled=False, delete_cache=(600, _CACHE_AGE_SECONDS), fill_width=True
    )
    with page:
        with gr.Row(elem_classes="lt-head"):
            gr.Markdown("# Longtake", container=False)
            gr.Markdown(I18N("longtake_tagline"), container=False)
        strip = gr.HTML(render_system.hardware_strip(monitor.system(), desk.policy), elem_id="hardware")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(I18N("longtake_score"), id="score", render_children=True) as score:
                scoring = ScoreTab(desk, I18N)
            with gr.Tab(I18N("longtake_jobs"), id="jobs") as jobs:
                kept = JobsTab(desk, removed)
            with gr.Tab(I18N("longtake_system"), id="system") as system:
                machine = SystemTab(desk, monitor, I18N)
        kept.show_on(jobs, score, system)
        machine.show_on(system, score, jobs)
        _be_kept_fresh(strip, desk, monitor)
        door = _Door(desk)
        arrived = page.load(door.greet, None, [tabs, scoring.card, scoring.run_view.link], **PRIVATE)
        scoring.run_view.listen(arrived, scoring.asking)
        page.unload(door.part)
        Api(desk, lambda: monitor.system(private=desk.policy.local).model_dump(mode="json"))
    # Listeners are light and many; what is heavy waits in the job queue.
    page.queue(default_concurrency_limit=None, max_size=256)
    return page


def _be_kept_fresh(strip: gr.HTML, desk: Desk, monitor: Monitor) -> None:
    gr.Timer(_STRIP_SECONDS).tick(
        lambda: render_system.hardware_strip(monitor.system(), desk.policy),
        None,
        [strip],
        **PRIVATE,
        queue=False,
    )


class _Door:
    """Visitors who come and go."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def greet(self, request: gr.Request) -> tuple[Any, Any, str]:
        """Count the visitor in; the tab and the job that their link names, if any, in place of the empty card."""
        visitor = Visitor.of(request)
        self._desk.presence.arrive(str(request.session_hash), visitor.name)
        asked = dict(request.query_params)
        id, key = asked.get("job", ""), asked.get("key", "")
        if not id:
            return gr.skip(), gr.skip(), ""
        try:
            job = self._desk.find(visitor, id, key)
            return gr.Tabs(selected=job.record().task), gr.update(visible=False), self._desk.query(job)
        except LongtakeError as error:
            gr.Warning(error_text(error))
            return gr.skip(), gr.skip(), ""

    def part(self, request: gr.Request) -> None:
        """Count the visitor out."""
        self._desk.presence.leave(str(request.session_hash))
