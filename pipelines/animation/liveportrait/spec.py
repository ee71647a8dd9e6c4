"""Registers the engine `liveportrait`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.jobs.events import Outputs
from pipelines.settings import AnimateSettings
from pipelines.spec import EngineSpec, Pace, register_engine
from pipelines.weights.catalog import PUBLISHED

if TYPE_CHECKING:
    from pipelines.stages import Pipeline

_FACES = "insightface"
"""Published face models: their value of the setting `faces`, and their name in the catalogue."""


def _open(inputs: tuple[Path, ...], settings: AnimateSettings) -> "Pipeline":
    from pipelines.animation.liveportrait.engine import LivePortraitEngine
    from pipelines.animation.pipeline import AnimatePipeline

    return AnimatePipeline.open(LivePortraitEngine, inputs, settings)


def _models(settings: AnimateSettings) -> tuple[str, ...]:
    return (_FACES,) if settings.faces == _FACES else ()


def _resolve(settings: AnimateSettings) -> AnimateSettings:
    if settings.faces != "auto":
        return settings
    from pipelines.animation.liveportrait.face_finder import faces_by  # loads OpenCV

    return settings.model_copy(update={"faces": faces_by(settings)})


def _export(outputs: Outputs, suffix: str) -> Outputs:
    template = outputs.further("template")
    if suffix != ".pkl" or template is None:
        return outputs
    from pipelines.animation.motion.templates import published_template

    return outputs.model_copy(update={"template": published_template(template)})


register_engine(
    EngineSpec(
        task="animate",
        name="liveportrait",
        title="LivePortrait",
        open=_open,
        weights=PUBLISHED["liveportrait"],
        network=True,
        least_device_gib=3.5,  # the tier 4gb of presets/tiers.toml
        # tests/bench/results/liveportrait.md: 7.2 core seconds per frame; pasting and the encoder come on top.
        pace={"cpu": Pace(7.3, 4.1e-8, shared=True)},
        suffixes=(".npz", ".pkl"),
        curve=(
            "1 where the driving face is visible, 0 where the portrait holds still",
            "看得到驱动人脸时为 1，肖像静止时为 0",
        ),
        models=_models,
        export=_export,
        resolve=_resolve,
    )
)
