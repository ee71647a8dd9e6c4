"""The tab *Remove object*: mark the object on one or more frames, or give a mask; check, try, run."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import BadInput, LongtakeError
from pipelines.jobs.job import Job
from pipelines.settings import InpaintSettings, MaskSettings, Settings, trial
from pipelines.spec import TaskSpec, settings_model
from pipelines.storage.names import shortened
from pipelines.weights.catalog import PUBLISHED
from ui.components import pad
from ui.components.forms import make_component
from ui.components.mask_note import MaskNote
from ui.components.newest import Newest
from ui.components.pad_state import KeptMarks, PadFrame, linked
from ui.components.run_view import PRIVATE
from ui.i18n.messages import error_text
from ui.i18n.texts import input_key
from ui.jobs import again
from ui.jobs.service import JobService
from ui.jobs.uploads import REMOVAL_BOX, marks, removal_clip, still, uploads_only
from ui.server.answers import visitor_error
from ui.server.visitors import Visitor
from ui.tabs.base import TaskTab
from ui.tabs.parts import Action, FormRequest


def _check(settings: Settings) -> Settings:
    """The settings of a mask check that are shared with a removal."""
    model = settings_model("track")
    return model.model_validate(settings.model_dump(include=set(model.model_fields) - {"engine"}))


class InpaintTab(TaskTab):
    """The tab, laid out where it is constructed."""

    placed_later = ("box", "point")

    def __init__(self, service: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        self._pages = Newest()
        super().__init__(service, texts, spec)
        self._connect_pad()
        self._mask_note.connect(self.file, self._mask, self.form)

    @property
    def actions(self) -> list[Action]:
        """Check the mask (two seconds or all), try, run."""
        return [
            Action("check", "track", "secondary", lambda settings: _check(trial(settings))),
            Action("check_all", "track", "secondary", _check),
            Action("try", "inpaint", "secondary", trial),
            Action("run", "inpaint"),
        ]

    @property
    def more(self) -> list[Component]:
        """The mask file, whether to follow the marks, the strokes, the frame on the pad, and marks kept for a video."""
        return [self._mask, self._follow, self._strokes, self._turned, self._kept_marks]

    def lay_out_inputs(self) -> None:
        """Place nothing: the mask file comes with the other settings of the mask, in `lay_out_more`."""

    @property
    def required_files(self) -> list[Component]:
        """The video alone can be inspected."""
        return []

    @property
    def marks(self) -> list[Any]:
        """A mask file, strokes, boxes or points."""
        return [self._mask, self._strokes, *(self.form.fields[name] for name in self.placed_later)]

    def lay_out_middle(self) -> None:
        """Place the pad, and the marks as text."""
        with gr.Column(visible=False, elem_classes="lt-marking") as self._marking:
            gr.HTML(html_template=pad.tools())
            self._pad = gr.HTML(elem_id=self.id("editor"))
            self._frame = gr.Slider(
                0, 1, 0, step=1, label=self.texts("longtake_frame"), elem_id=self.id("frame")
            )
            gr.HTML(pad.marked(), elem_id=self.id("marked"))
            self._follow = gr.Checkbox(
                True, label=self.texts("longtake_follow"), container=False, elem_id=self.id("follow")
            )
            # The script of the pad writes into the fields, so they stay in the page while they are folded.
            gr.HTML(pad.fold(), elem_classes="lt-fold")
            with gr.Row(elem_classes="lt-folded"):
                for name in self.placed_later:
                    self.form.place(name)
        # Not in the column: where Gradio shows that again, it shows the hidden fields in it, too.
        self._strokes = gr.Textbox(visible="hidden", elem_id=self.id("strokes"))
        # A script that wants another frame on the pad writes it here, as `frame@name of the video#time`.
        self._turn = gr.Textbox(visible="hidden", elem_id=self.id("turn"))
        self._turned = gr.State(None)
        # The marks of a job whose question is asked again: its video clears what is marked when it comes.
        self._kept_marks = gr.State(None)

    def lay_out_more(self) -> None:
        """Place the choice of a tracker, and the mask file as the alternative to marks."""
        texts = self.texts
        titles = {"builtin": texts("longtake_builtin"), "sam2": PUBLISHED["sam2"].title}
        tracker = make_component(InpaintSettings, "tracker", texts, self.id("setting-tracker"), titles)
        # Without the package that SAM 2 needs there is no choice.
        tracker.visible = find_spec("transformers") is not None
        self.form.add("tracker", tracker)
        with gr.Accordion(texts("longtake_mask_file"), open=False):
            self._mask = uploads_only(
                gr.File(
                    label=texts(input_key(self.task, "mask")),
                    elem_id=self.id("mask"),
                    height=120,
                )
            )
            self._mask_note = MaskNote(self.service, texts, self.id)

    def _connect_pad(self) -> None:
        page, quiet = [self._pad, self._turned], {**PRIVATE, "concurrency_limit": 2}
        prompts = [self.form.fields["box"], self.form.fields["point"], self._strokes]
        self.file.change(
            self._load_video,
            [self.file, self._mask, self._kept_marks],
            [self._marking, self._frame, *page, *prompts],
            **quiet,
        )
        self._mask.change(
            lambda mask, sheet: gr.update(visible=sheet is not None and not mask),
            [self._mask, self._turned],
            [self._marking],
            **quiet,
        )
        self._frame.change(
            self._show_frame,
            [self.file, self._frame, self._turned],
            page,
            trigger_mode="always_last",
            **quiet,
        )
        self._turn.change(
            self._follow_link, [self._turn, self.file, self._turned], [self._frame, *page], **quiet
        )
        asked = [self._turn, self.file, self._turned, self.run_view.link]
        self._turn.change(self._load_for_link, asked, self.filled_components, **quiet)

    async def example(self) -> Any:
        """The example's file."""
        return str(await removal_clip(self.service.queue.jobs_dir))

    async def example_request(self) -> FormRequest:
        """The example with a box around its balloon."""
        settings = InpaintSettings.model_validate({"box": (REMOVAL_BOX,)})
        return FormRequest(await self.example(), (), settings)

    async def read_form(
        self, visitor: Visitor, video: str | None, more: Sequence[Any], settings: Settings
    ) -> FormRequest:
        """The request with the given mask file, else with a mask made from the marks."""
        mask, follow, strokes, sheet, _ = more
        if not isinstance(settings, MaskSettings):
            raise TypeError(f"masks are asked for with MaskSettings, not with {type(settings).__name__}")
        if mask:
            if video:
                await self._mask_note.verify(visitor, video, mask, settings)
            prompts = {} if settings.track else {"box": (), "point": ()}
            return FormRequest(video, (mask,), settings.model_copy(update=prompts))
        path = None
        if sheet and video and strokes.strip():
            folder, ask = Path(self.file.GRADIO_CACHE) / "marks", self.service.looks.by(visitor)
            path = await marks(Path(video), strokes, sheet.size, folder, ask, follow=follow)
        settings = settings.model_copy(update={"track": bool(path and follow)})
        if path or settings.follows:
            return FormRequest(video, (str(path),) if path else (), settings)
        raise BadInput("Nothing says what to remove.", "Mark it on a frame, or give a mask.", "mask.nothing")

    def filled(self, asked: again.Again) -> list[Any]:
        """The mask file, or the marks, which stay where the video is on the pad already."""
        painted, mask = asked.painted, (*asked.files, None)[1]
        boxes, points = (" ".join(map(str, asked.asked.get(name, ()))) for name in self.placed_later)
        kept = KeptMarks(asked.files[0], painted.strokes, boxes, points, asked.frame)
        return [mask, painted.follow, painted.strokes, gr.skip(), kept]

    def remember(self, job: Job, more: Sequence[Any]) -> None:
        """Note what was painted; a mask file is an input of its own."""
        mask, follow, strokes, *_ = more
        again.save_marks(job, again.Paint("" if mask else strokes, bool(follow)))

    async def _load_video(
        self, request: gr.Request, video: str | None, mask: str | None, kept: KeptMarks | None
    ) -> tuple[Any, ...]:
        """Show the first frame of a new video on the pad, without marks; the first marked one of a job asked again."""
        with self._pages.run(request) as is_newest:
            shown = await self._first_page(request, video, mask, kept)
            return shown if is_newest() else (gr.skip(),) * len(shown)

    async def _first_page(
        self, request: gr.Request, video: str | None, mask: str | None, kept: KeptMarks | None
    ) -> tuple[Any, ...]:
        nothing = gr.update(visible=False), gr.skip(), "", None, "", "", ""
        if video is None:
            return nothing
        try:
            visitor = self.service.visitor(request)
            facts = (await self.service.inspect(visitor, self.task, video, InpaintSettings())).facts
            marks = kept if kept and kept.video == str(video) else KeptMarks()
            first = min(marks.first_frame, facts.frames - 1)
            sheet = PadFrame((facts.width, facts.height), facts.frames, first)
            page = await self._page(visitor, video, sheet)
        except (LongtakeError, OSError):
            return nothing  # the card shows the error
        frames = gr.update(value=first, maximum=max(1, facts.frames - 1))
        return gr.update(visible=not mask), frames, page, sheet, marks.boxes, marks.points, marks.strokes

    async def _show_frame(
        self, request: gr.Request, video: str | None, frame: float, sheet: PadFrame | None
    ) -> tuple[Any, Any]:
        """Show another frame on the pad."""
        if video is None or sheet is None or frame == sheet.index:
            return gr.skip(), gr.skip()
        turned = replace(sheet, index=min(int(frame), sheet.frames - 1))
        try:
            with self._pages.run(request) as is_newest:
                page = await self._page(self.service.visitor(request), video, turned)
                return (page, turned) if is_newest() else (gr.skip(), gr.skip())
        except (LongtakeError, OSError) as error:
            # Not raised: Gradio forgets the event that waits for one that fails.
            gr.Warning(visitor_error(error).message)
            return gr.skip(), gr.skip()

    async def _follow_link(
        self, request: gr.Request, link: str, video: str | None, sheet: PadFrame | None
    ) -> tuple[Any, Any, Any]:
        """Show the frame of a link in a report, where its video is the one on the pad."""
        frame, name = linked(link)
        if frame is None or video is None or sheet is None or Path(video).name != name:
            return gr.skip(), gr.skip(), gr.skip()
        return gr.update(value=frame), *await self._show_frame(request, video, frame, sheet)

    async def _load_for_link(
        self, request: gr.Request, link: str, video: str | None, sheet: PadFrame | None, job: str
    ) -> list[Any]:
        """Fill the form with the question of the job on show and turn to the frame of a link in its report.

        Nothing changes where its video is on the pad already; where it cannot be brought back, a warning says so.
        """
        frame, name = linked(link)
        unchanged = [gr.skip()] * len(self.filled_components)
        if frame is None or (video is not None and sheet is not None and Path(video).name == name):
            return unchanged
        try:
            asked = await self.asked_by(request, job)
            if asked.names[0] == name and asked.files[0] is not None:
                return self.fill(replace(asked, frame=frame))
        except (LongtakeError, OSError):
            pass  # the job is gone, or somebody else's
        words = BadInput(
            f"{shortened(name) or 'The video'} is not on the pad.",
            "Choose it as the video first.",
            "mark.not_loaded",
            name=shortened(name),
        )
        gr.Warning(error_text(words))
        return unchanged

    async def _page(self, visitor: Visitor, video: str, sheet: PadFrame) -> str:
        path, ask = Path(video), self.service.looks.by(visitor)
        cache, most = Path(self.file.GRADIO_CACHE), self.service.policy.most_pixels
        picture = await still(path, sheet.index, cache, most, ask)
        return pad.sheet(str(picture), sheet.index, sheet.size, path.name)


TAB = InpaintTab
