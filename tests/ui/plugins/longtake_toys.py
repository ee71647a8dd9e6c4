"""A plug-in: an inpainting engine that fills holes with one grey, and a task that turns a video into its negative."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipelines.settings import FilmSettings, InpaintSettings
from pipelines.settings.base import setting
from pipelines.spec import EngineSpec, InputSpec, TaskSpec, register_engine, register_task
from presets.tiers import own_tiers


class GreySettings(BaseModel):
    """What the engine `grey` is asked with."""

    grey_level: int = setting(
        "The grey that holes are filled with.", changes_result=True, engine="grey", default=128, ge=0, le=255
    )


def open_grey(inputs: tuple[Path, ...], settings: InpaintSettings) -> Any:
    """A removal with this engine. Imports happen here: the registry stays light."""
    from memory.plan import Load
    from pipelines.inpainting.engine import Fill, InPlaceEngine
    from pipelines.inpainting.pipeline import InpaintPipeline

    class Grey(InPlaceEngine):
        name = "grey"
        load = Load()

        def fill(self, read: Any, frames: Any, start: int, stop: int) -> Generator[Fill]:
            for frame, mask in read(start, stop):
                level = np.uint8(self.settings.grey_level)
                yield Fill(np.where(mask[..., None], level, frame), mask)

    return InpaintPipeline.open(Grey, inputs, settings)


register_engine(EngineSpec(task="inpaint", name="grey", title="Grey", open=open_grey, settings=GreySettings))


class NegateSettings(FilmSettings):
    """Turn a video into its negative."""

    keep: float = setting(
        "How much of the picture stays as it is.", changes_result=True, default=0.0, ge=0, le=1
    )


def open_negate(inputs: tuple[Path, ...], settings: NegateSettings) -> Any:
    """One negative."""
    from pipelines.frame_task import FrameEngine, FramePipeline

    class Negate(FrameEngine):
        name = "plain"

        def frames(self, run: Any, start: int, stop: int) -> Generator[Any]:
            share = self.settings.keep
            for pixels in self.read(run, start, stop):
                yield (pixels * share + (255 - pixels) * (1 - share)).astype(np.uint8)

    class NegatePipeline(FramePipeline):
        task = "negate"

    return NegatePipeline.open(Negate, inputs, settings)


register_task(
    TaskSpec(
        name="negate",
        title=("Negative", "负片"),
        help="Turn a video into its negative.",
        settings=NegateSettings,
        inputs=(InputSpec("file", "The video.", ("Video", "视频")),),
        result_version=1,
        presets=own_tiers().task("copy"),
    )
)
register_engine(EngineSpec(task="negate", name="plain", open=open_negate))
