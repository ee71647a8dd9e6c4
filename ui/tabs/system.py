"""The tab *System*: the machine's resources, our share of them, and a check of everything that a run depends on."""

import asyncio
import json
import sys

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from pipelines.doctor import Finding
from pipelines.errors import BadInput, LongtakeError
from pipelines.storage.paths import PROJECT_ROOT
from ui.components.run_view import PRIVATE
from ui.jobs.service import JobService
from ui.render import system
from ui.server.answers import visitor_error
from ui.server.monitor import PERIOD_SECONDS, Monitor
from ui.tabs.jobs import tick_while_open

_FINDINGS = TypeAdapter(list[Finding])


class SystemTab:
    """The tab, laid out where it is constructed. Only the owner of a local server may free the worker or see paths."""

    def __init__(self, service: JobService, monitor: Monitor, texts: gr.I18n) -> None:
        self._service = service
        self._monitor = monitor
        self._panel = gr.HTML(elem_id="system")
        with gr.Row(elem_classes="lt-actions"):
            free = gr.Button(
                texts("longtake_free"), size="sm", scale=0, min_width=160, visible=service.policy.local
            )
            check = gr.Button(
                texts("longtake_doctor"), size="sm", scale=0, min_width=160, visible=service.policy.local
            )
        findings = gr.HTML(elem_id="doctor")
        self._timer = gr.Timer(PERIOD_SECONDS, active=False)
        self._timer.tick(self._refresh, None, [self._panel], **PRIVATE, queue=False)
        free.click(self._free, None, [self._panel], **PRIVATE, queue=False)
        check.click(self._run_doctor, None, [findings], **PRIVATE, concurrency_limit=1)

    def show_on(self, tab: gr.Tab, *others: gr.Tab) -> None:
        """Refresh the panel while `tab` is open, until one of the `others` is."""
        tab.select(self._refresh, None, [self._panel], **PRIVATE, queue=False)
        tick_while_open(self._timer, tab, *others)

    def _refresh(self) -> str:
        monitor = self._monitor
        return system.system_panel(monitor.system(private=self._service.policy.local), monitor.samples())

    def _free(self) -> str:
        try:
            if not self._service.policy.local:
                raise BadInput(
                    "Only whoever runs this server may free its worker.",
                    "It is let go when idle.",
                    "admin.worker",
                )
            self._service.queue.free_worker()
        except LongtakeError as error:
            raise visitor_error(error) from error
        return self._refresh()

    async def _run_doctor(self) -> str:
        if not self._service.policy.local:
            raise visitor_error(
                BadInput("Only whoever runs this server may look at everything.", "", "admin.doctor")
            )
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "pipelines",
                "doctor",
                "--json",
                "--jobs-dir",
                str(self._service.queue.jobs_dir),
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=PROJECT_ROOT,
        )
        out, _ = await process.communicate()
        try:
            return system.doctor_text(
                _FINDINGS.validate_python([json.loads(line) for line in out.splitlines()]), private=True
            )
        except (ValidationError, json.JSONDecodeError) as error:
            raise visitor_error(
                LongtakeError(
                    "The look at the system failed.",
                    "Run `python -m pipelines doctor`.",
                    "admin.doctor_failed",
                )
            ) from error
