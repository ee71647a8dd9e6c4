"""What is wrong with an uploaded mask, said as soon as it is there, with a button that stretches it."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.errors import LongtakeError
from pipelines.settings import MaskSettings
from ui.components import forms
from ui.components.newest import Newest
from ui.components.run_view import PRIVATE
from ui.components.settings_form import SettingsForm
from ui.components.updates import ends_quietly
from ui.i18n.messages import error_html
from ui.i18n.texts import both
from ui.jobs.mask_check import check_mask
from ui.jobs.service import JobService
from ui.server.visitors import Visitor

_FIELDS = ("invert", "scale_mask", "start", "end")
"""The settings that decide whether a mask can be used."""


class MaskNote:
    """The note, laid out where it is constructed: below the mask's file."""

    def __init__(self, service: JobService, texts: gr.I18n, id: Callable[[str], str]) -> None:
        self._service = service
        self._checks = Newest()
        self._note = gr.HTML(elem_id=id("mask-note"), elem_classes="lt-mask-note")
        # The style sheet shows it where the note says that the size does not fit.
        self._stretch = gr.Button(texts("longtake_stretch_mask"), size="sm", elem_id=id("mask-stretch"))

    def connect(self, video: Component, mask: Component, form: SettingsForm) -> None:
        """Check the mask whenever it, the video or a setting that matters for it changes."""
        sheets = list({id(sheet): sheet for sheet in map(form.sheet_of, _FIELDS)}.values())
        settings = [sheet.component for sheet in sheets]

        @ends_quietly
        async def check(
            request: gr.Request, video: str | None, mask: str | None, *values: Any
        ) -> AsyncIterator[str]:
            pairs = zip(sheets, values, strict=True)
            known = {name: value for sheet, sent in pairs for name, value in sheet.values(sent).items()}
            asked = {name: known[name] for name in _FIELDS if name in known}
            with self._checks.run(request) as is_newest:
                async with aclosing(self._check(request, video, mask, asked)) as updates:
                    async for update in updates:
                        if not is_newest():
                            return
                        yield update

        gr.on(
            [each.change for each in (video, mask, *settings)],  # type: ignore[attr-defined]
            check,
            [video, mask, *settings],
            [self._note],
            trigger_mode="always_last",
            concurrency_limit=2,
            **PRIVATE,
        )
        sheet = form.sheet_of("scale_mask")
        self._stretch.click(
            lambda sent: {**sheet.values(sent), "scale_mask": True},
            [sheet.component],
            [sheet.component],
            queue=False,
            **PRIVATE,
        )

    async def verify(self, visitor: Visitor, video: str, mask: str, settings: MaskSettings) -> None:
        """Raise what is wrong with a mask that marks what to remove, or with what it is asked with."""
        if not settings.track:
            ask = self._service.looks.by(visitor)
            await check_mask(Path(video), Path(mask), settings, Path(self._note.GRADIO_CACHE), ask)

    async def _check(
        self, request: gr.Request, video: str | None, mask: str | None, asked: dict[str, Any]
    ) -> AsyncGenerator[str]:
        if not video or not mask:
            yield ""
            return
        yield _quiet("mask.looking")
        try:
            settings = forms.read(MaskSettings, asked)
            await self.verify(self._service.visitor(request), video, mask, settings)
        except LongtakeError as error:
            yield f'<p class="lt-note" role="alert" data-key="{error.key}">{error_html(error)}</p>'
            return
        yield _quiet("mask.stretched" if settings.scale_mask else "mask.fits")


def _quiet(key: str) -> str:
    return f'<p class="lt-quiet" role="status">{both(key)}</p>'
