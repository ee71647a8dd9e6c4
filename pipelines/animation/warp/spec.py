"""Registers the engine `flowwarp`."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.settings import AnimateSettings
from pipelines.spec import EngineSpec, Pace, register_engine

if TYPE_CHECKING:
    from pipelines.stages import Pipeline


def _open(inputs: tuple[Path, ...], settings: AnimateSettings) -> "Pipeline":
    from pipelines.animation.pipeline import AnimatePipeline
    from pipelines.animation.warp.engine import WarpEngine

    return AnimatePipeline.open(WarpEngine, inputs, settings)


register_engine(
    EngineSpec(
        task="animate",
        name="flowwarp",
        open=_open,
        # tests/bench/results/animate.md: 33 frames per second on one core at 512 x 512, including the encoder.
        pace={"cpu": Pace(24e-3, 2.0e-8)},
    )
)
