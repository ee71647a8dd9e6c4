"""The tab *Remove object*: paint over it on a frame or more, or give a mask; check, try, run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import BadInput, LongtakeError
from pipelines.settings import InpaintSettings, Settings, TrackSettings, trial
from ui import render_pictures
from ui.desk import Desk
from ui.marks import RED, Sheet, save_marks
from ui.run_view import PRIVATE, shown
from ui.task_tab import Action, Asked, TaskTab
from ui.uploads import still, take_uploads_alone

_MASKS = [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".zip", ".mp4", ".mkv", ".mov", ".webm", ".avi"]
_BRUSH = "#{:02x}{:02x}{:02x}".format(*RED)


def _check(settings: Settings) -> Settings:
    shared = set(TrackSettings.model_fields) - {"engine"}
    return TrackSettings.model_validate(settings.model_dump(include=shared))


class InpaintTab(TaskTab):
    """Lays out the tab where it is made."""

    def __init__(self, desk: Desk, texts: gr.I18n) -> None:
        super().__init__(desk, texts, "inpaint", InpaintSettings, (("quality",), ("start", "end")))
        self._tie_marks_together()

    @property
    def actions(self) -> list[Action]:
        """Check the mask, try, run."""
        return [
            Action("check", "track", "secondary", lambda settings: _check(trial(settings))),
            Action("try", "inpaint", "secondary", trial),
            Action("run", "inpaint"),
        ]

    @property
    def more(self) -> list[Component]:
        """A mask that is there already, whether to follow, what is painted on this frame and on others."""
        return [self._mask, self._follow, self._editor, self._sheet]

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
                brush=gr.Brush(default_size=24, colors=[_BRUSH], color_mode="fixed"),
                elem_id=self.id("editor"),
                height=460,
            )
            with gr.Row():
                self._frame = gr.Slider(
                    0, 1, 0, step=1, label=texts("longtake_frame"), elem_id=self.id("frame"), scale=4
                )
                self._clear = gr.Button(texts("longtake_clear"), size="sm", scale=0, min_width=140)
            self._marked = gr.HTML(elem_id=self.id("marked"))
        self._sheet = gr.State(Sheet())

    def lay_out_more(self) -> None:
        """Follow or not, and the other way: a mask that is there already."""
        texts = self.texts
        self._follow = gr.Checkbox(
            True,
            label=texts("longtake_follow"),
            info=texts("longtake_follow_info"),
            elem_id=self.id("follow"),
        )
        with gr.Accordion(texts("longtake_mask_file"), open=False):
            self._mask = take_uploads_alone(
                gr.File(label=texts("longtake_mask"), file_types=_MASKS, elem_id=self.id("mask"), height=120)
            )

    def _tie_marks_together(self) -> None:
        page = [self._editor, self._sheet, self._marked]
        quiet: dict[str, Any] = {**PRIVATE, "concurrency_limit": 2}
        gr.on(
            [self.file.change, self._clear.click],
            self._begin,
            [self.file],
            [self._marking, self._frame, *page],
            **quiet,
        )
        self._editor.input(
            self._keep,
            [self._editor, self._sheet],
            [self._sheet, self._marked],
            trigger_mode="always_last",
            **quiet,
        )
        self._frame.release(self._turn_to, [self.file, self._frame, self._editor, self._sheet], page, **quiet)

    def ask(self, video: str | None, more: Sequence[Any], settings: Settings) -> Asked:
        """A mask that was given, else what was painted; hints that are written out may do alone."""
        mask, follow, editor, sheet = more
        if mask:
            return Asked(video, (mask,), settings)
        marks = sheet.with_newest(editor).marks
        if marks:
            path = save_marks(marks, Path(self.file.GRADIO_CACHE) / "marks", follow=follow)
            return Asked(video, (str(path),), settings.model_copy(update={"track": bool(follow)}))
        if isinstance(settings, InpaintSettings) and settings.follows:
            return Asked(video, (), settings)
        raise BadInput("Nothing says what to remove.", "Paint over it on a frame, or give a mask.")

    async def _begin(self, video: str | None) -> tuple[Any, ...]:
        """A new video, or all marks taken away: its first frame to paint on."""
        nothing = gr.update(visible=False), gr.skip(), None, Sheet(), ""
        if video is None:
            return nothing
        try:
            plan = await self.desk.inspect(self.task, video, InpaintSettings())
            sheet, paper = Sheet().turned_to(0, await self._picture(video, 0))
        except (LongtakeError, OSError):
            return nothing  # the card says why
        frames = gr.update(value=0, maximum=max(1, plan.facts.frames - 1))
        return gr.update(visible=True), frames, paper, sheet, render_pictures.marked(())

    def _keep(self, editor: Mapping[str, Any] | None, sheet: Sheet) -> tuple[Sheet, str]:
        """A stroke has arrived, and the visitor sees so."""
        sheet = sheet.with_painted(editor)
        return sheet, render_pictures.marked(sorted(sheet.marks))

    async def _turn_to(
        self, video: str | None, frame: float, editor: Mapping[str, Any] | None, sheet: Sheet
    ) -> tuple[Any, ...]:
        """Another frame to paint on; what was painted is kept, and shown again where it was painted."""
        if video is None:
            return None, sheet, ""
        try:
            picture = await self._picture(video, int(frame))
        except (LongtakeError, OSError) as error:
            raise shown(error) from error
        sheet, paper = sheet.with_newest(editor).turned_to(int(frame), picture)
        return paper, sheet, render_pictures.marked(sorted(sheet.marks))

    async def _picture(self, video: str, frame: int) -> Path:
        return await still(Path(video), frame, Path(self.file.GRADIO_CACHE))
