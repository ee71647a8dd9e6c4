"""Posing a portrait by hand: sliders for head, eyes, lips and points of the expression, and what it then looks like."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.animation.motion.keypoints import EYES, LIPS, POINTS, movable
from pipelines.errors import LongtakeError
from pipelines.settings import PoseSettings
from ui.components import forms
from ui.components.run_view import PRIVATE
from ui.i18n.texts import both
from ui.jobs.service import JobService
from ui.render import job, media

_SLIDERS = ("yaw", "pitch", "roll", "eyes", "lips")
_FARTHEST = 0.1
"""How far a point is moved by its sliders, in the keypoints' own measure; the text field takes more."""


class PosePanel:
    """Lays out the panel where it is made; `tie` connects it with what else the form says of the portrait."""

    def __init__(self, desk: JobService, texts: gr.I18n) -> None:
        self._desk = desk
        with gr.Accordion(texts("longtake_pose"), open=False, elem_id="pose"):
            gr.Markdown(texts("longtake_pose_info"), elem_classes="lt-quiet")
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=260):
                    self._sliders = {name: self._field(name, texts) for name in _SLIDERS}
                    self._lay_out_points(texts)
                    self._reset = gr.Button(texts("longtake_pose_reset"), size="sm", elem_id="pose-reset")
                with gr.Column(scale=4, min_width=260):
                    self._shown = gr.HTML(elem_id="pose-shown")

    def _lay_out_points(self, texts: gr.I18n) -> None:
        choices = [(_named(point), point) for point in range(POINTS) if movable(point)]
        with gr.Accordion(texts("longtake_pose_points"), open=False):
            self._point = gr.Dropdown(
                choices, value=choices[0][1], label=texts("longtake_pose_point"), elem_id="pose-point"
            )
            with gr.Row():
                self._moves = [
                    gr.Slider(
                        -_FARTHEST, _FARTHEST, 0, step=0.001, label=axis, min_width=90, elem_id=f"pose-{axis}"
                    )
                    for axis in "xyz"
                ]
            self._key = self._field("key", texts)

    def _field(self, name: str, texts: gr.I18n) -> Component:
        return forms.make_component(PoseSettings, name, texts, f"pose-{name}")

    def tie(self, source: gr.File, fields: Mapping[str, Component]) -> None:
        """Draw anew whenever the pose changes; `fields` are the form's, of which some say how the face is cut out."""
        cut = [name for name in forms.field_names(PoseSettings) if name in fields]
        posed: dict[str, Any] = {**self._sliders, "key": self._key}
        names = [*posed, *cut]
        gr.on(
            [component.change for component in posed.values()],
            self._drawer(names),
            [source, *posed.values(), *(fields[name] for name in cut)],
            [self._shown],
            trigger_mode="always_last",
            concurrency_limit=1,
            **PRIVATE,
        )
        # What was drawn is of another portrait.
        source.change(lambda: "", None, [self._shown], **PRIVATE)
        self._reset.click(
            lambda: (*[0] * len(self._sliders), "", *[0] * len(self._moves)),
            None,
            [*self._sliders.values(), self._key, *self._moves],
            **PRIVATE,
        )
        # By the user alone: what another point's choice writes into the sliders moves nothing.
        gr.on(
            [slider.input for slider in self._moves],
            _moved,
            [self._key, self._point, *self._moves],
            [self._key],
            trigger_mode="always_last",
            **PRIVATE,
        )
        self._point.input(_move_of, [self._key, self._point], self._moves, **PRIVATE)

    def _drawer(self, names: list[str]) -> Any:
        async def draw(source: str | None, *values: Any) -> AsyncIterator[str]:
            if not source:
                yield f'<p class="lt-quiet">{both("pose.no_portrait")}</p>'
                return
            yield job.looking()
            try:
                settings = forms.read(PoseSettings, dict(zip(names, values, strict=True)))
                picture = await self._desk.pose(source, settings, Path(self._shown.GRADIO_CACHE))
            except (LongtakeError, OSError) as error:
                told = error if isinstance(error, LongtakeError) else LongtakeError(str(error))
                yield job.refusal(told)
                return
            yield media.posed(str(picture))

        return draw


def _named(point: int) -> str:
    part = "lips / 嘴唇" if point in LIPS else "eyes / 眼睛" if point in EYES else "face / 面部"
    return f"{point} · {part}"


def _moves(key: str) -> dict[int, tuple[float, ...]]:
    """The points that the text field moves; what is not written as it should be is left to the model to refuse."""
    found = {}
    for each in key.split():
        point, _, numbers = each.partition(":")
        try:
            found[int(point)] = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            continue
    return found


def _moved(key: str, point: int, *move: float) -> str:
    """The text field with one point moved, in the coordinates in which it moves."""
    kept = tuple(each if i in movable(point) else 0.0 for i, each in enumerate(move))
    moves = {**_moves(key), point: kept}
    told = {each: numbers for each, numbers in sorted(moves.items()) if any(numbers)}
    return " ".join(f"{each}:{','.join(f'{n:g}' for n in numbers)}" for each, numbers in told.items())


def _move_of(key: str, point: int) -> tuple[float, ...]:
    """How far a point is moved already."""
    return (*_moves(key).get(point, ()), 0.0, 0.0, 0.0)[:3]
