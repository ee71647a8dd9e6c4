"""The tab *Remove object*: mark it on a frame or more, or give a mask; check, try, run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import BadInput, LongtakeError
from pipelines.settings import InpaintSettings, MaskSettings, Settings, trial
from pipelines.spec import TaskSpec, settings_model
from pipelines.weights.catalog import PUBLISHED
from ui.components import pad
from ui.components.forms import make_component
from ui.components.run_view import PRIVATE, shown
from ui.i18n.texts import error_text
from ui.jobs.service import JobService
from ui.jobs.strokes import painted, read_strokes, save_marks
from ui.jobs.uploads import still, take_uploads_alone
from ui.tabs.base import Action, FormRequest, TaskTab


@dataclass(frozen=True)
class PadFrame:
    """What lies on the pad: frame `at` of a video of `frames` frames of `size` (width, height)."""

    size: tuple[int, int]
    frames: int
    at: int = 0


def _check(settings: Settings) -> Settings:
    model = settings_model("track")
    return model.model_validate(settings.model_dump(include=set(model.model_fields) - {"engine"}))


class InpaintTab(TaskTab):
    """Lays out the tab where it is made."""

    placed_later = ("box", "point")

    def __init__(self, desk: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        super().__init__(desk, texts, spec)
        self._tie_marks_together()

    @property
    def actions(self) -> list[Action]:
        """Check the mask, try, run."""
        return [
            Action("check", "track", "secondary", lambda settings: _check(trial(settings))),
            Action("check_all", "track", "secondary", _check),
            Action("try", "inpaint", "secondary", trial),
            Action("run", "inpaint"),
        ]

    @property
    def more(self) -> list[Component]:
        """A mask that is there already, whether to follow, what is painted, and on what."""
        return [self._mask, self._follow, self._strokes, self._sheet]

    def lay_out_inputs(self) -> None:
        """None here: the mask is one of two ways, further down."""

    @property
    def looked_at(self) -> list[Component]:
        """The video alone can be inspected."""
        return []

    def lay_out_middle(self) -> None:
        """The frame to mark on, and the marks as text."""
        with gr.Column(visible=False, elem_classes="lt-marking") as self._marking:
            gr.HTML(pad.tools())
            self._pad = gr.HTML(elem_id=self.id("editor"))
            self._frame = gr.Slider(
                0, 1, 0, step=1, label=self.texts("longtake_frame"), elem_id=self.id("frame")
            )
            gr.HTML(pad.marked(), elem_id=self.id("marked"))
            with gr.Row():
                for name in self.placed_later:
                    self.fields[name] = self.field(name)
            self._strokes = gr.Textbox(visible="hidden", elem_id=self.id("strokes"))
        # What wants another frame on the pad writes it here, as frame@name of the video.
        self._turn = gr.Textbox(visible="hidden", elem_id=self.id("turn"))
        self._sheet = gr.State(None)

    def lay_out_more(self) -> None:
        """Follow or not, and by what; and the other way: a mask that is there already."""
        texts = self.texts
        self._follow = gr.Checkbox(
            True,
            label=texts("longtake_follow"),
            info=texts("longtake_follow_info"),
            elem_id=self.id("follow"),
        )
        titles = {"builtin": texts("longtake_builtin"), "sam2": PUBLISHED["sam2"].title}
        tracker = make_component(InpaintSettings, "tracker", texts, self.id("setting-tracker"), titles)
        # Where its packages are missing there is nothing to choose.
        tracker.visible = find_spec("transformers") is not None
        self.fields["tracker"] = tracker
        with gr.Accordion(texts("longtake_mask_file"), open=False):
            self._mask = take_uploads_alone(
                gr.File(label=texts("longtake_input_mask"), elem_id=self.id("mask"), height=120)
            )

    def _tie_marks_together(self) -> None:
        page, quiet = [self._pad, self._sheet], {**PRIVATE, "concurrency_limit": 2}
        hints = [self.fields["box"], self.fields["point"], self._strokes]
        self.file.change(
            self._begin, [self.file, self._mask], [self._marking, self._frame, *page, *hints], **quiet
        )
        self._mask.change(
            lambda mask, sheet: gr.update(visible=sheet is not None and not mask),
            [self._mask, self._sheet],
            [self._marking],
            **quiet,
        )
        self._frame.change(
            self._turn_to, [self.file, self._frame, self._sheet], page, trigger_mode="always_last", **quiet
        )
        self._turn.change(self._jump, [self._turn, self.file, self._sheet], [self._frame, *page], **quiet)

    def ask(self, video: str | None, more: Sequence[Any], settings: Settings) -> FormRequest:
        """A mask that was given, else what was marked."""
        mask, follow, strokes, sheet = more
        if not isinstance(settings, MaskSettings):
            raise TypeError(f"masks are asked for with MaskSettings, not with {type(settings).__name__}")
        if mask:
            hints = {} if settings.track else {"box": (), "point": ()}
            return FormRequest(video, (mask,), settings.model_copy(update=hints))
        marks = painted(read_strokes(strokes), sheet.size) if sheet else ()
        path = save_marks(marks, Path(self.file.GRADIO_CACHE) / "marks", follow=follow)
        settings = settings.model_copy(update={"track": bool(path and follow)})
        if path or settings.follows:
            return FormRequest(video, (str(path),) if path else (), settings)
        raise BadInput("Nothing says what to remove.", "Mark it on a frame, or give a mask.")

    async def _begin(self, video: str | None, mask: str | None) -> tuple[Any, ...]:
        """A new video: its first frame to mark on, and nothing marked."""
        nothing = gr.update(visible=False), gr.skip(), "", None, "", "", ""
        if video is None:
            return nothing
        try:
            facts = (await self.desk.inspect(self.task, video, InpaintSettings())).facts
            sheet = PadFrame((facts.width, facts.height), facts.frames)
            page = await self._page(video, sheet)
        except (LongtakeError, OSError):
            return nothing  # the card says why
        frames = gr.update(value=0, maximum=max(1, facts.frames - 1))
        return gr.update(visible=not mask), frames, page, sheet, "", "", ""

    async def _turn_to(self, video: str | None, frame: float, sheet: PadFrame | None) -> tuple[Any, Any]:
        """Another frame on the pad."""
        if video is None or sheet is None or frame == sheet.at:
            return gr.skip(), gr.skip()
        turned = replace(sheet, at=min(int(frame), sheet.frames - 1))
        try:
            return await self._page(video, turned), turned
        except (LongtakeError, OSError) as error:
            raise shown(error) from error

    async def _jump(self, asked: str, video: str | None, sheet: PadFrame | None) -> tuple[Any, Any, Any]:
        """The frame that a list of frames leads to, where its video is the one on the pad."""
        frame, _, name = asked.rpartition("#")[0].partition("@")
        if video is None or sheet is None or Path(video).name != name:
            words = BadInput(f"{name or 'The video'} is not on the pad.", "Choose it as the video first.")
            gr.Warning(error_text(words))
            return gr.skip(), gr.skip(), gr.skip()
        if not frame.isdecimal():
            return gr.skip(), gr.skip(), gr.skip()
        return gr.update(value=int(frame)), *await self._turn_to(video, int(frame), sheet)

    async def _page(self, video: str, sheet: PadFrame) -> str:
        path = Path(video)
        picture = await still(path, sheet.at, Path(self.file.GRADIO_CACHE))
        return pad.sheet(str(picture), sheet.at, sheet.size, path.name)


TAB = InpaintTab
