"""The tab *Animate portrait*: source, driving, a preview of the faces, a trial, the run."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import BadInput, LongtakeError
from pipelines.settings import AnimateSettings, Settings, trial
from pipelines.spec import TaskSpec, engines_of
from ui.components import forms
from ui.components.newest import Newest
from ui.components.pose_panel import PosePanel
from ui.components.run_view import PRIVATE
from ui.i18n.texts import input_key
from ui.jobs import again
from ui.jobs.service import JobService
from ui.jobs.uploads import example_portrait, faces_of, uploads_only
from ui.render import job as render
from ui.render import media
from ui.server.visitors import Visitor
from ui.tabs.base import TaskTab
from ui.tabs.parts import Action, FileProblem

_BY_CLICK = ("face", "driving_face")
_FACE_FIELDS = ("face", "driving_face", "source_box", "driving_box", "source_crop")
_SOURCE_FIELDS = ("face", "source_box", "source_crop", "salvage")
"""Settings on which the faces that are found in the source depend."""


class AnimateTab(TaskTab):
    """The tab, laid out where it is constructed."""

    example_label = "longtake_example_animate"
    groups = MappingProxyType(
        {
            "group.motion": (
                *("flag_relative_motion", "driving_option", "driving_multiplier", "animation_region"),
                *("flag_stitching", "flag_normalize_lip", "driving_smooth_observation_variance"),
            ),
            "group.retargeting": (
                *("flag_eye_retargeting", "flag_lip_retargeting", "flag_source_video_eye_retargeting"),
            ),
            "group.source_crop": (
                *("faces", "flag_do_crop", "flag_do_rot", "flag_pasteback", "scale", "vx_ratio", "vy_ratio"),
                *("source_max_dim", "source_division"),
            ),
            "group.driving_crop": (
                *("flag_crop_driving_video", "scale_crop_driving_video"),
                *("vx_ratio_crop_driving_video", "vy_ratio_crop_driving_video"),
            ),
        }
    )

    main = ("quality", "audio", "start", "end", "side_by_side")

    def __init__(self, service: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        super().__init__(service, texts, spec)
        self._connect_faces()
        self._pose.connect(self.file, self.form.components, self.form.by_name)

    @property
    def actions(self) -> list[Action]:
        """Try, run."""
        return [Action("try", "animate", "secondary", trial), Action("run", "animate")]

    @property
    def more(self) -> list[Component]:
        """The driving file."""
        return [self._driving]

    @property
    def required_files(self) -> list[Component]:
        """The driving file: a portrait alone has neither length nor rate."""
        return [self._driving]

    def filled(self, asked: again.Again) -> list[Any]:
        """The driving file."""
        return [(*asked.files, None)[1]]

    def lay_out_inputs(self) -> None:
        """The driving file."""
        texts = self.texts
        self._driving = uploads_only(
            gr.File(
                label=texts(input_key(self.task, "driving")),
                elem_id=self.id("driving"),
                height=150,
            )
        )

    def lay_out_more(self) -> None:
        """Place the settings that choose faces, for files with several faces or none that is found."""
        with gr.Accordion(self.texts("longtake_faces"), open=False):
            for name in _FACE_FIELDS:
                self.form.place(name)

    def lay_out_middle(self) -> None:
        """Place the preview of the faces that were found, and the panel that poses the portrait by hand."""
        self._faces = gr.HTML(elem_id=self.id("faces"))
        # A click on a face writes its field and number here: fields in a closed accordion are not in the page.
        self._clicked = gr.Textbox(visible="hidden", elem_id=self.id("chosen"))
        self._pose = PosePanel(self.service, self.texts)

    async def example(self) -> Any:
        """The example portrait and its driving video."""
        return [str(path) for path in await example_portrait(self.service.queue.jobs_dir)]

    def played(self, video: Any, others: Sequence[Any]) -> str:
        """The driving file: the card plays what moves."""
        return str(others[0])

    async def check_files(
        self, visitor: Visitor, video: str, settings: Settings, engine: str
    ) -> FileProblem | None:
        """Look for a face in the portrait, as the built-in engine does."""
        asked = AnimateSettings.model_validate({name: getattr(settings, name) for name in _SOURCE_FIELDS})
        blocks = engine == next(iter(engines_of(self.task)))
        try:
            _, found = await self._look_for_faces(visitor, (video,), asked)
        except BadInput as error:
            return FileProblem(render.refusal(error), blocks=True)
        except (LongtakeError, OSError, ValueError):
            return None  # The job says what is wrong.
        missing = next(iter(found["missing"]), None)
        return FileProblem(media.missing_source(missing, blocks=blocks), blocks) if missing else None

    async def _look_for_faces(
        self, visitor: Visitor, files: Sequence[str], settings: AnimateSettings
    ) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
        """Find and draw the faces of source and driving, or of the source alone. Raises the errors of `faces_of`."""
        service, cache = self.service, Path(self.file.GRADIO_CACHE)
        ask, most_pixels = service.looks.by(visitor), service.policy.most_pixels
        return await faces_of(
            [Path(file) for file in files], service.limited(settings), cache, most_pixels, ask
        )

    def _connect_faces(self) -> None:
        names = [*_FACE_FIELDS, "salvage"]
        watched = [
            *(self.form.fields[name] for name in _FACE_FIELDS),
            self.form.sheet_of("salvage").component,
        ]

        looks = Newest()

        async def preview(request: gr.Request, *values: Any) -> Any:
            with looks.run(request) as is_newest:
                shown = await found(request, *values)
                return shown if is_newest() else gr.skip()

        async def found(request: gr.Request, source: str | None, driving: str | None, *values: Any) -> str:
            if not source or not driving:
                return ""
            try:
                asked = self.form.by_name(values)
                settings = forms.read(AnimateSettings, {name: asked[name] for name in names})
                visitor = self.service.visitor(request)
                picture, marked = await self._look_for_faces(visitor, (source, driving), settings)
            except (LongtakeError, OSError, ValueError):
                # The card shows the error.
                return ""
            # The card says what the portrait lacks.
            missing = [side for side in marked["missing"] if side["side"] == "driving"]
            return media.faces(str(picture), marked["places"], missing)

        gr.on(
            [component.change for component in (self.file, self._driving, *watched)],
            preview,
            [self.file, self._driving, *self.form.components],
            [self._faces],
            trigger_mode="always_last",
            concurrency_limit=2,
            **PRIVATE,
        )
        # Fields in a closed accordion send no change event.
        self._clicked.change(
            _clicked_face, [self._clicked], [self.form.fields[name] for name in _BY_CLICK], **PRIVATE
        ).then(preview, [self.file, self._driving, *self.form.components], [self._faces], **PRIVATE)


def _clicked_face(clicked: str) -> list[Any]:
    """Updates of the face fields after a click, such as `face 2`; anything else changes nothing."""
    field, _, number = clicked.partition(" ")
    fits = number.isascii() and number.isdecimal()
    return [number if fits and field == name else gr.skip() for name in _BY_CLICK]


TAB = AnimateTab
