"""The tab *Animate portrait*: a source, what it follows, a look at the faces, a trial, the run."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.settings import AnimateSettings, trial
from pipelines.spec import TaskSpec
from ui.components import forms
from ui.components.pose_panel import PosePanel
from ui.components.run_view import PRIVATE
from ui.jobs.service import JobService
from ui.jobs.uploads import example_portrait, faces_of, take_uploads_alone
from ui.render import media
from ui.tabs.base import Action, TaskTab

_BY_CLICK = ("face", "driving_face")
_FACE_FIELDS = ("face", "driving_face", "source_box", "driving_box", "source_crop")


class AnimateTab(TaskTab):
    """Lays out the tab where it is made."""

    example_label = "longtake_example_animate"
    groups = MappingProxyType(
        {
            "longtake_motion": (
                *("flag_relative_motion", "driving_option", "driving_multiplier", "animation_region"),
                *("flag_stitching", "flag_normalize_lip", "driving_smooth_observation_variance"),
            ),
            "longtake_retargeting": (
                *("flag_eye_retargeting", "flag_lip_retargeting", "flag_source_video_eye_retargeting"),
            ),
            "longtake_source_crop": (
                *("faces", "flag_do_crop", "flag_do_rot", "flag_pasteback", "scale", "vx_ratio", "vy_ratio"),
                *("source_max_dim", "source_division"),
            ),
            "longtake_driving_crop": (
                *("flag_crop_driving_video", "scale_crop_driving_video"),
                *("vx_ratio_crop_driving_video", "vy_ratio_crop_driving_video"),
            ),
        }
    )

    main = (("quality", "audio"), ("start", "end"), ("side_by_side",))

    def __init__(self, desk: JobService, texts: gr.I18n, spec: TaskSpec) -> None:
        super().__init__(desk, texts, spec)
        self._tie_faces_together()
        self._pose.tie(self.file, self.fields)

    @property
    def actions(self) -> list[Action]:
        """Try, run."""
        return [Action("try", "animate", "secondary", trial), Action("run", "animate")]

    @property
    def more(self) -> list[Component]:
        """What drives."""
        return [self._driving]

    @property
    def looked_at(self) -> list[Component]:
        """A portrait alone has neither length nor rate."""
        return [self._driving]

    def lay_out_inputs(self) -> None:
        """What drives."""
        texts = self.texts
        self._driving = take_uploads_alone(
            gr.File(
                label=texts("longtake_input_driving"),
                elem_id=self.id("driving"),
                height=150,
            )
        )

    def lay_out_more(self) -> None:
        """Which faces are meant, where there are several or none is found."""
        with gr.Accordion(self.texts("longtake_faces"), open=False):
            for name in _FACE_FIELDS:
                self.fields[name] = self.field(name)

    def lay_out_middle(self) -> None:
        """Which faces were found, before anything runs; and the portrait posed by hand."""
        self._faces = gr.HTML(visible=False, elem_id=self.id("faces"))
        # What is clicked on them is written here, as a field and a number; fields in a closed group are not there.
        self._chosen = gr.Textbox(visible="hidden", elem_id=self.id("chosen"))
        self._pose = PosePanel(self.desk, self.texts)

    async def example(self) -> Any:
        """A portrait, and somebody who speaks."""
        return [str(path) for path in await example_portrait(self.desk.queue.jobs_dir)]

    def played(self, video: Any, others: Sequence[Any]) -> str:
        """The driving: it is what moves."""
        return str(others[0])

    def _tie_faces_together(self) -> None:
        names = [*_FACE_FIELDS, "salvage"]
        fields = [self.fields[name] for name in names]

        async def look(source: str | None, driving: str | None, *values: Any) -> Any:
            if not source or not driving:
                return gr.update(visible=False)
            try:
                settings = forms.read(AnimateSettings, dict(zip(names, values, strict=True)))
                cache = Path(self.file.GRADIO_CACHE)
                picture, places = await faces_of(Path(source), Path(driving), settings, cache)
            except (LongtakeError, OSError, ValueError):
                # The card says why.
                return gr.update(visible=False)
            return gr.update(value=media.faces(str(picture), places), visible=True)

        gr.on(
            [component.change for component in (self.file, self._driving, *fields)],
            look,
            [self.file, self._driving, *fields],
            [self._faces],
            trigger_mode="always_last",
            concurrency_limit=2,
            **PRIVATE,
        )
        # Fields of a closed group tell nobody that they have changed.
        self._chosen.change(
            _choice, [self._chosen], [self.fields[name] for name in _BY_CLICK], **PRIVATE
        ).then(look, [self.file, self._driving, *fields], [self._faces], **PRIVATE)


def _choice(clicked: str) -> list[Any]:
    """The field that a click was about with its number; what else comes from a browser changes nothing."""
    field, _, number = clicked.partition(" ")
    fits = number.isdecimal()
    return [number if fits and field == name else gr.skip() for name in _BY_CLICK]


TAB = AnimateTab
