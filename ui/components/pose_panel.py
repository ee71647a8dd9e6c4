"""Posing a portrait by hand: sliders for head, eyes, lips and keypoints of the expression, and the posed picture."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.components import Component

from pipelines.animation.motion.keypoints import EYES, LIPS, POINTS, movable
from pipelines.errors import LongtakeError
from pipelines.settings import PoseSettings
from ui.components import forms
from ui.components.newest import Newest
from ui.components.run_view import PRIVATE
from ui.components.updates import ends_quietly
from ui.i18n.texts import both, static
from ui.jobs.service import JobService
from ui.render import job, media

_SLIDERS = ("yaw", "pitch", "roll", "eyes", "lips")
_FARTHEST = 0.1
"""The range of a keypoint's sliders, in keypoint coordinates; the text field takes larger moves."""


_CLEAR_OF_ANOTHER = """(source, shown) =>
  !shown || shown.includes(`data-of="${source ? encodeURIComponent(source.path) : ''}"`) ? undefined : ''"""
"""Clears what is shown of another portrait than the chosen one. Else it writes nothing: there may be a newer pose."""
_UNCHANGED = "!*'()~"
"""Characters that JavaScript's encodeURIComponent leaves as they are, and `quote` would not."""


class PosePanel:
    """The panel, laid out where it is constructed; `connect` joins it to the form's portrait and face settings."""

    def __init__(self, service: JobService, texts: gr.I18n) -> None:
        self._service = service
        with gr.Accordion(texts("longtake_pose"), open=False, elem_id="pose"):
            gr.HTML(f"<p>{static('longtake_pose_info')}</p>", elem_classes="lt-quiet")
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=260):
                    self._sliders = {name: self._field(name, texts) for name in _SLIDERS}
                    self._lay_out_points(texts)
                    self._reset = gr.Button(texts("longtake_pose_reset"), size="sm", elem_id="pose-reset")
                with gr.Column(scale=4, min_width=260):
                    self._shown = gr.HTML(elem_id="pose-shown")

    def _lay_out_points(self, texts: gr.I18n) -> None:
        choices = [(_point_label(point), point) for point in range(POINTS) if movable(point)]
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

    def connect(
        self,
        source: gr.File,
        form: Sequence[Component],
        read: Callable[[Sequence[Any]], Mapping[str, Any]],
    ) -> None:
        """Draw again whenever the pose changes; those of the form's settings that choose or crop the face apply too.

        `read` makes the settings of the form, by name, from the values of the components `form`.
        """
        posed: dict[str, Any] = {**self._sliders, "key": self._key}

        def settings(values: Sequence[Any]) -> PoseSettings:
            mine, others = values[: len(posed)], read(values[len(posed) :])
            crop = {name: others[name] for name in forms.field_names(PoseSettings) if name in others}
            return forms.read(PoseSettings, {**crop, **dict(zip(posed, mine, strict=True))})

        drawn = gr.on(
            [component.change for component in posed.values()],
            self._drawer(settings),
            [source, *posed.values(), *form],
            [self._shown],
            trigger_mode="always_last",
            concurrency_limit=1,
            **PRIVATE,
        )
        # The drawn picture shows the previous portrait. Gradio runs the handlers of one event one after another, so
        # this may come after a pose of the new portrait, which stays.
        for event in (source.change, drawn.then):
            event(None, [source, self._shown], [self._shown], js=_CLEAR_OF_ANOTHER, **PRIVATE)
        self._reset.click(
            lambda: (*[0] * len(self._sliders), "", *[0] * len(self._moves)),
            None,
            [*self._sliders.values(), self._key, *self._moves],
            **PRIVATE,
        )
        # `input`, not `change`: choosing another point sets the sliders, which must not move anything.
        gr.on(
            [slider.input for slider in self._moves],
            _with_move,
            [self._key, self._point, *self._moves],
            [self._key],
            trigger_mode="always_last",
            **PRIVATE,
        )
        self._point.input(_move_of, [self._key, self._point], self._moves, **PRIVATE)

    def _drawer(self, read: Callable[[Sequence[Any]], PoseSettings]) -> Any:
        drawn = Newest()

        @ends_quietly
        async def draw(request: gr.Request, source: str | None, *values: Any) -> AsyncIterator[str]:
            named = f'<div data-of="{quote(source or "", safe=_UNCHANGED)}">'
            with drawn.run(request) as is_newest:
                async with aclosing(answers(request, source, *values)) as shown:
                    async for each in shown:
                        if not is_newest():
                            return
                        yield f"{named}{each}</div>"

        async def answers(request: gr.Request, source: str | None, *values: Any) -> AsyncGenerator[str]:
            if not source:
                yield f'<p class="lt-quiet">{both("pose.no_portrait")}</p>'
                return
            yield job.inspecting()
            try:
                settings = read(values)
                visitor, cache = self._service.visitor(request), Path(self._shown.GRADIO_CACHE)
                picture = await self._service.pose(visitor, source, settings, cache)
            except (LongtakeError, OSError) as error:
                known = (
                    error if isinstance(error, LongtakeError) else LongtakeError(str(error), "", "internal")
                )
                yield job.refusal(known)
                return
            yield media.posed(str(picture), settings.background if await _is_transparent(picture) else "")

        return draw


async def _is_transparent(picture: Path) -> bool:
    """Whether parts of the portrait that was posed as `picture` are transparent."""
    try:
        described = json.loads(await asyncio.to_thread(picture.with_suffix(".json").read_bytes))
    except (OSError, ValueError):
        return False  # A picture of an earlier version has no description.
    return bool(described["transparent"])


def _point_label(point: int) -> str:
    part = "lips / 嘴唇" if point in LIPS else "eyes / 眼睛" if point in EYES else "face / 面部"
    return f"{point} · {part}"


def _moves(key: str) -> dict[int, tuple[float, ...]]:
    """The moves in the text field, by point; words that cannot be parsed are left for the settings to refuse."""
    found = {}
    for each in key.split():
        point, _, numbers = each.partition(":")
        try:
            found[int(point)] = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            continue
    return found


def _with_move(key: str, point: object, *move: float) -> str:
    """The text field after a move of `point`, limited to the axes along which it can move."""
    if not isinstance(point, int):  # any value of a request may come as `point`
        return key
    kept = tuple(each if i in movable(point) else 0.0 for i, each in enumerate(move))
    moves = {**_moves(key), point: kept}
    moved = {each: numbers for each, numbers in sorted(moves.items()) if any(numbers)}
    return " ".join(f"{each}:{','.join(f'{n:g}' for n in numbers)}" for each, numbers in moved.items())


def _move_of(key: str, point: object) -> tuple[float, ...]:
    """The move of `point` in the text field, zeros where there is none."""
    # Any value of a request may come as `point`.
    known = _moves(key).get(point, ()) if isinstance(point, int) else ()
    return (*known, 0.0, 0.0, 0.0)[:3]
