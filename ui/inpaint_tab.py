"""The tab *Remove object*: paint over it on a frame or more, or give a mask; check, try, run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import BadInput, LongtakeError
from pipelines.events import Planned
from pipelines.settings import InpaintSettings, Settings
from ui import render
from ui.desk import Desk
from ui.marks import Mark, painted, save_marks
from ui.run_view import PRIVATE, shown
from ui.task_tab import Action, Asked, TaskTab
from ui.uploads import still, take_uploads_alone

_TRIAL_SECONDS = 2.0
_MASKS = [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".zip", ".mp4", ".mkv", ".mov", ".webm", ".avi"]
_RED = "#ff2d2d"

Marks = Mapping[int, Mark]


def _trial(settings: Settings) -> Settings:
    start = settings.start or 0.0
    end = start + _TRIAL_SECONDS
    return settings.model_copy(update={"end": end if settings.end is None else min(end, settings.end)})


class InpaintTab(TaskTab):
    """Lays out the tab where it is made."""

    def __init__(self, desk: Desk, texts: gr.I18n) -> None:
        super().__init__(desk, texts, "inpaint", InpaintSettings, (("quality",), ("start", "end")))
        self._tie_marks_together()

    @property
    def actions(self) -> list[Action]:
        """Check the mask, try, run."""
        return [
            Action("try", "inpaint", "secondary", _trial),
            Action("run", "inpaint"),
        ]

    @property
    def more(self) -> list[Component]:
        """Mask file, whether to follow, what is painted on which frame, and what was painted on others."""
        return [self._mask, self._follow, self._editor, self._frame, self._marks]

    def lay_out_middle(self) -> None:
        """The frame to paint on."""
        texts = self.texts
        with gr.Column(visible=False, elem_classes="lt-marking") as self._marking:
            self._editor = gr.ImageEditor(
                label=texts("longtake_paint"),
                type="numpy",
                format="png",
                layers=False,
                transforms=(),
                sources=(),
                brush=gr.Brush(default_size=24, colors=[_RED], color_mode="fixed"),
                elem_id=self.id("editor"),
                height=460,
            )
            with gr.Row():
                self._frame = gr.Slider(
                    0, 1, 0, step=1, label=texts("longtake_frame"), elem_id=self.id("frame"), scale=4
                )
                self._clear = gr.Button(texts("longtake_clear"), size="sm", scale=0, min_width=140)
            self._marked = gr.HTML(elem_id=self.id("marked"))
        self._marks = gr.State({})

    def lay_out_more(self) -> None:
        """Follow or not, and the other way: a mask that is there already."""
        texts = self.texts
        self._follow = gr.Checkbox(
            True, label=texts("longtake_follow"), info=texts("longtake_follow_info"), elem_id=self.id("follow")
        )
        with gr.Accordion(texts("longtake_mask_file"), open=False):
            self._mask = take_uploads_alone(
                gr.File(label=texts("longtake_mask"), file_types=_MASKS, elem_id=self.id("mask"), height=120)
            )

    def _tie_marks_together(self) -> None:
        place = [self._editor, self._frame, self._marks, self._marked]
        quiet = {**PRIVATE, "concurrency_limit": 2}
        self.file.change(self._begin, [self.file], [self._marking, *place], **quiet)
        self._frame.release(
            self._turn_to, [self.file, self._frame, self._editor, self._marks, self._shown], place, **quiet
        )
        self._clear.click(self._begin, [self.file], [self._marking, *place], **quiet)

    # -- marks -----------------------------------------------------------------------------------------------

    async def _begin(self, video: str | None) -> tuple[Any, ...]:
        """A new video, or all marks taken away: its first frame to paint on."""
        if video is None:
            return gr.update(visible=False), None, 0, {}, ""
        try:
            plan = await self.desk.inspect("inpaint", video, InpaintSettings())
            return gr.update(visible=True), *await self._page(video, 0, {}, plan)
        except (LongtakeError, OSError):
            return gr.update(visible=False), None, 0, {}, ""  # the card says why
'''
