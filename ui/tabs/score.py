"""The tab *Score*: nothing is asked for but a video and settings."""

import gradio as gr

from pipelines.settings import ScoreSettings
from ui.jobs.service import JobService
from ui.tabs.base import TaskTab


class ScoreTab(TaskTab):
    """Lays out the tab where it is made."""

    def __init__(self, desk: JobService, texts: gr.I18n) -> None:
        super().__init__(desk, texts, "score", ScoreSettings, (("quality",), ("start", "end")))
