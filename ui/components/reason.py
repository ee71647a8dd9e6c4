"""The sentence beside disabled buttons that says why nothing can run; buttons are described by it."""

import gradio as gr

from ui.i18n.texts import both
from ui.i18n.words import LIVE


class Reason:
    """The sentence, placed among the buttons of `task`; empty where they can be pressed."""

    def __init__(self, task: str, elem_id: str) -> None:
        self._task = task
        self._id = f"{elem_id}-text"
        self.component = gr.HTML(
            self.text("no_file"),
            js_on_load="longtakeReason(element)",
            apply_default_css=False,
            elem_id=elem_id,
            elem_classes="lt-reason",
        )

    def text(self, verdict: str) -> str:
        """The sentence for a verdict; empty for `ready`."""
        if verdict == "ready":
            return ""
        key = f"why.{verdict}.{self._task}"
        return f'<p id="{self._id}" role="status">{both(key if key in LIVE else f"why.{verdict}")}</p>'
